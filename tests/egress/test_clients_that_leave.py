"""A client that leaves while its request is with its server: the server hears of it, and the connection is recorded.

The second of two bare requests, which nobody looks into, is one that goes the short way."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from tests.egress.inspecting import inspecting, leave, server, tunnel

from ringfence.egress.inspection import Request, Steps
from ringfence.model.event import ConnectionClosed

_GET = b"GET / HTTP/1.1\r\nHost: a.test:PORT\r\n\r\n"
_POST = b"POST / HTTP/1.1\r\nHost: a.test:PORT\r\nContent-Length: 4\r\n\r\nbody"
_CHUNKS = b"POST / HTTP/1.1\r\nHost: a.test:PORT\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
_BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody"


class Passing(Steps):
    """Looks into everything, and lets it pass."""


def looks(request: Request) -> Steps:
    return Passing()


@pytest.mark.parametrize("ends", ["in order", "with a reset"])
@pytest.mark.parametrize("looked", [False, True], ids=["", "looked into"])
@pytest.mark.parametrize("begun", [b"", _BEGUN], ids=["no answer yet", "an answer that is begun"])
@pytest.mark.parametrize("before", [0, 1], ids=["first", "second"])
@pytest.mark.parametrize("request_", [_GET, _POST, _CHUNKS], ids=["bare", "with a body", "in chunks"])
async def test_a_server_that_does_not_answer_hears_that_its_client_left(
    request_: bytes, before: int, begun: bytes, looked: bool, ends: str
) -> None:
    closed: list[ConnectionClosed] = []
    waits, left = asyncio.Event(), asyncio.Event()

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(before + 1):
            await reader.readuntil(b"0\r\n\r\n" if b"hunked" in request_ else b"\r\n\r\n")
            if b"4\r\n\r\n" in request_:
                await reader.readexactly(4)
            if number < before:
                writer.write(_OK)
        writer.write(begun)
        waits.set()
        # Whether it is told in order or not.
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        left.set()

    async with (
        asyncio.timeout(10),
        server(answers) as port,
        inspecting(amendments=(looks,) if looked else (), on_closed=closed.append) as gateway,
    ):
        reader, writer = await tunnel(gateway.port, port)
        for _ in range(before):
            writer.write(request_.replace(b"PORT", b"%d" % port))
            await reader.readexactly(len(_OK))
        writer.write(request_.replace(b"PORT", b"%d" % port))
        await waits.wait()
        if begun:
            await reader.readuntil(b"body")
        if ends == "in order":
            await leave(writer)
        else:
            writer.transport.abort()
        await left.wait()
        await gateway.idle()
    assert [event.host for event in closed] == ["a.test"] and closed[0].error
