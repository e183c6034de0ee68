"""What all requests and messages together may hold in memory: whoever would need more is told, the others go on."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack

import pytest
from tests.egress.inspecting import inspecting, leave, server, tunnel
from tests.egress.test_inspected import ASKS, OK, Reader, Writer, answer
from tests.egress.test_inspected_steps import Served

from ringfence.egress.held import Room
from ringfence.egress.http_response import ResponseHead
from ringfence.egress.inspection import Held, Steps
from ringfence.egress.limits import Limits
from ringfence.egress.websocket_frames import FrameReader, Opcode, frame
from ringfence.model.event import LimitReached
from ringfence.policy.judges.connect import FactsWanted

SMALL = Limits(held_bytes=100_000)
HEAD = "POST /p HTTP/1.1\r\nHost: a.test:{port}\r\nContent-Length: {size}\r\n\r\n"
FULL = LimitReached(
    limit="held_bytes",
    allowed=100_000,
    seen=100_001,
    outcome="refused",
    keeper="gateway",
    program="",
    layer="built-in",
    source="gateway",
)


async def echo(reader: Reader, writer: Writer) -> None:
    """Agrees to a WebSocket, and sends every message back until the client goes."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    frames = FrameReader(masked=True)
    while data := await reader.read(65536):
        frames.feed(data)
        while (item := frames.next()) is not None:
            writer.write(frame(Opcode.BINARY, item.data, None))


class Whole(Steps):
    """Wants to see bodies before they go."""

    whole = 1 << 20


@pytest.mark.slow
@pytest.mark.parametrize("wanted", ["by a step", "by a rule"])
async def test_bodies_that_find_no_room_are_refused_and_the_others_go_on(wanted: str) -> None:
    limits: list[LimitReached] = []
    facts = FactsWanted(operations=True, body=True)
    options = {"amendments": (lambda _: Whole(),)} if wanted == "by a step" else {"wants": lambda *_: facts}
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(server(Served()))
        gateway = await stack.enter_async_context(inspecting(limits=SMALL, on_limit=limits.append, **options))
        await stack.enter_async_context(asyncio.timeout(10))
        head = HEAD.format(port=port, size=80_000).encode()
        first, second, third = [await tunnel(gateway.port, port) for _ in range(3)]

        first[1].write(head + b"x" * 60_000)
        await asyncio.sleep(0.2)
        second[1].write(head + b"x" * 60_000)
        refused = await second[0].read()
        first[1].write(b"x" * 20_000)
        went_on = await answer(first[0])
        third[1].write(head + b"x" * 80_000)
        came_later = await answer(third[0])
        for _, writer in (first, second, third):
            await leave(writer)

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"ringfence: the session holds 100000 bytes of requests and answers, which is the limit" in refused
    assert (went_on, came_later) == (OK, OK)
    assert limits == [FULL]


@pytest.mark.slow
async def test_a_message_that_finds_no_room_ends_its_websocket_with_the_reason() -> None:
    limits: list[LimitReached] = []
    options = {"amendments": (lambda _: Steps(),), "limits": SMALL, "on_limit": limits.append}
    async with server(echo) as port, inspecting(**options) as gateway, asyncio.timeout(10):
        (one, tells), (other, asks) = [await tunnel(gateway.port, port) for _ in range(2)]
        for reader, writer in ((one, tells), (other, asks)):
            writer.write(ASKS % port)
            await reader.readuntil(b"\r\n\r\n")

        whole = frame(Opcode.BINARY, b"x" * 80_000, os.urandom(4))
        tells.write(whole[:60_000])
        await asyncio.sleep(0.2)
        asks.write(whole)
        frames, heard = FrameReader(masked=False), b""
        while data := await other.read(65536):
            frames.feed(data)
            while (item := frames.next()) is not None:
                heard += item.data
        tells.write(whole[60_000:])
        echoed = await one.readexactly(80_000)
        for writer in (tells, asks):
            await leave(writer)

    assert heard.startswith(b"\x03\xf0ringfence: the session holds 100000 bytes")
    assert echoed.endswith(b"x" * 79_000)
    assert limits == [FULL]


class Gathered(Steps):
    """Keeps answers until they are complete."""

    gathers = True

    def __init__(self) -> None:
        self._held = b""

    @property
    def kept(self) -> int:
        return len(self._held)

    def received(self, data: bytes) -> bytes | Held:
        self._held += data
        return b""

    def all_received(self) -> bytes | Held:
        return self._held


@pytest.mark.slow
async def test_answers_that_find_no_room_are_refused_and_the_others_go_on() -> None:
    limits: list[LimitReached] = []
    writers: list[Writer] = []
    seen: list[ResponseHead] = []

    class Noticing(Gathered):
        def response(self, head: ResponseHead) -> ResponseHead | Held:
            seen.append(head)
            return head

    async def answers(reader: Reader, writer: Writer) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writers.append(writer)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 80000\r\n\r\n" + b"y" * 60_000)

    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(server(answers))
        options = {"amendments": (lambda _: Noticing(),), "limits": SMALL, "on_limit": limits.append}
        gateway = await stack.enter_async_context(inspecting(**options))
        await stack.enter_async_context(asyncio.timeout(10))
        first, second, third = [await tunnel(gateway.port, port) for _ in range(3)]

        asks = b"GET /p HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port
        first[1].write(asks)
        await asyncio.sleep(0.2)
        second[1].write(asks)
        refused = await second[0].read()
        writers[0].write(b"y" * 20_000)
        went_on = await answer(first[0])
        third[1].write(asks)
        while len(writers) < 3:
            await asyncio.sleep(0.01)
        writers[2].write(b"y" * 20_000)
        came_later = await answer(third[0])
        for _, writer in (first, second, third):
            await leave(writer)

    assert len(seen) == 3
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"ringfence: the session holds 100000 bytes of requests and answers, which is the limit" in refused
    assert [len(one.partition(b"\r\n\r\n")[2]) for one in (went_on, came_later)] == [80_000, 80_000]
    assert limits == [FULL]


def test_what_is_let_go_of_is_room_for_others() -> None:
    refused: list[str] = []
    room = Room(10, lambda: refused.append("full"))
    first, second = room.share(), room.share()

    held = [first.hold(8), second.hold(3), second.hold(2), first.hold(9), first.hold(0), second.hold(10)]

    assert held == [True, False, True, False, True, True]
    assert (room.taken, refused) == (10, ["full", "full"])
