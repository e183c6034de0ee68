"""A server on loopback, and clients that dial a gateway; each is one side of a conversation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from tests.egress.conversing import Server, Side
from tests.egress.gatewaying import Running


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    sides: asyncio.Queue[Side] = asyncio.Queue()
    made: list[Side] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append(Side(reader, writer))
        sides.put_nowait(made[-1])

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    yield Server(listening, sides)
    listening.close()
    for side in made:
        side.leaves()


@pytest.fixture
async def people() -> AsyncIterator[list[Side]]:
    made: list[Side] = []
    yield made
    for side in made:
        side.leaves()


@pytest.fixture
def dials(people: list[Side]) -> Callable[[Running], object]:
    async def dial(gateway: Running) -> Side:
        side = Side(*await asyncio.open_connection("127.0.0.1", gateway.port))
        people.append(side)
        return side

    return dial
