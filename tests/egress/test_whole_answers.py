"""An answer that comes whole takes a shorter way to its client than one in pieces, or one that somebody looks into."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
from tests.egress.inspecting import inspecting, leave, server, tunnel

from ringfence.egress import inspected
from ringfence.egress.course import Course
from ringfence.egress.inspection import Amendment, Request, Steps
from ringfence.egress.preparing import Prepared
from ringfence.policy.judges.connect import FactsWanted

_HEADS = {
    "a body": (b"200 OK\r\nContent-Length: 4\r\nETag: a\r\n", b"body"),
    "no body": (b"200 OK\r\nContent-Length: 0\r\n", b""),
    "a length that is said twice": (b"200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n", b"body"),
    "no content": (b"204 No Content\r\nX-A: b\r\n", b""),
    "not modified": (b"304 Not Modified\r\nContent-Length: 9\r\nDate: now\r\n", b""),
    "a field that Connection takes off": (b"200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 4\r\n", b"body"),
    "fields for the proxy alone": (
        b"200 OK\r\nProxy-Connection: close\r\nKeep-Alive: 5\r\nContent-Length: 4\r\n",
        b"body",
    ),
    "another way to the server": (b'200 OK\r\nAlt-Svc: h3=":443"\r\nContent-Length: 4\r\n', b"body"),
    "the last of its connection": (b"200 OK\r\nConnection: close\r\nContent-Length: 4\r\n", b"body"),
    "many fields": (b"200 OK\r\n" + b"".join(b"X-%d: %b\r\n" % (at, b"v" * at) for at in range(99)), b""),
}


class Passing(Steps):
    """Looks into everything, and lets it pass."""


def looks(request: Request) -> Steps:
    return Passing()


async def heard(reply: bytes, pieces: int, *amendments: Amendment) -> bytes:
    """What a client hears of two requests on one connection, whose answers come in pieces of that size."""

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            for at in range(0, len(reply), pieces):
                writer.write(reply[at : at + pieces])
                await writer.drain()
                await asyncio.sleep(0.0005 if pieces < len(reply) else 0)
            if b"Connection: close" in reply:
                return

    told = b""
    async with server(answers) as port, inspecting(amendments=amendments) as gateway, asyncio.timeout(20):
        reader, writer = await tunnel(gateway.port, port)
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port)
            told += await answer(reader)
        await leave(writer)
    return told


async def answer(reader: asyncio.StreamReader) -> bytes:
    told = await reader.readuntil(b"\r\n\r\n")
    length = [line for line in told.lower().split(b"\r\n") if line.startswith(b"content-length: ")]
    if length and b" 304 " not in told:
        told += await reader.readexactly(int(length[-1].partition(b": ")[2]))
    return told


@pytest.mark.slow
@pytest.mark.parametrize("of", _HEADS)
async def test_a_client_hears_the_same_however_an_answer_comes(of: str) -> None:
    head, body = _HEADS[of]
    if of == "many fields":
        head += b"Content-Length: 0\r\n"
    reply = b"HTTP/1.1 " + head + b"\r\n" + body

    whole = await heard(reply, len(reply))

    # With a length of its own, for two requests, and with nothing that was for us.
    assert whole.count(b"HTTP/1.1 ") == 2
    assert whole.endswith(body) and b"alt-svc" not in whole and b"x-hop" not in whole and b"keep-alive" not in whole
    piece = max(7, len(reply) // 16)
    assert await heard(reply, piece) == whole
    assert await heard(reply, len(reply), looks) == whole
    assert await heard(reply, piece, looks) == whole


@pytest.mark.slow
async def test_a_client_that_does_not_read_its_answers_gets_no_more_of_them() -> None:
    asked, body = 0, b"b" * 15_000  # in one record of TLS, so that it comes whole

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while True:
            await reader.readuntil(b"\r\n\r\n")
            asked += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            await writer.drain()

    async with server(answers) as port, inspecting() as gateway, asyncio.timeout(20):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port * 4000)
        before = -1
        while not asked or before != asked:
            before = asked
            await asyncio.sleep(0.5)
        assert asked < 2000  # what the kernel and one connection hold, and not the 60 MB of all of them
        for _ in range(4000):
            assert len(await answer(reader)) > len(body)
        await leave(writer)
    assert asked == 4000


async def test_what_is_not_counted_of_a_body_any_more_is_not_held_either(monkeypatch: pytest.MonkeyPatch) -> None:
    made, body = [], b"b" * 300_000

    class Known(Course):
        __slots__ = ()

        def __init__(self, *rest: Any, **named: Any) -> None:
            super().__init__(*rest, **named)
            made.append(self)

    monkeypatch.setattr(inspected, "Course", Known)

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(body))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()

    facts = FactsWanted(body=True)
    async with server(answers) as port, inspecting(wants=lambda *_: facts) as gateway, asyncio.timeout(20):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(b"POST / HTTP/1.1\r\nHost: a.test:%d\r\nContent-Length: %d\r\n\r\n" % (port, len(body)) + body)
        await answer(reader)
        await asyncio.sleep(0.05)
        held = [one for course in made for one in gc.get_referents(course) if isinstance(one, bytes | bytearray)]
        prepared = [one for course in made for one in gc.get_referents(course) if isinstance(one, Prepared)]
        await leave(writer)
    assert (len(made), sum(map(len, held)), prepared) == (1, 0, [])


@pytest.mark.parametrize("reply", [b"200 OK\r\nContent-Length: 4\r\n\r\nbody", b"", b"nonsense\r\n\r\n"])
async def test_a_request_that_is_over_is_gone_at_once(monkeypatch: pytest.MonkeyPatch, reply: bytes) -> None:
    made: list[weakref.ref[Course]] = []

    class Known(Course):
        __slots__ = ("__weakref__",)

        def __init__(self, *rest: Any, **named: Any) -> None:
            super().__init__(*rest, **named)
            made.append(weakref.ref(self))

    monkeypatch.setattr(inspected, "Course", Known)

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + reply if reply else b"")

    async with server(answers) as port, inspecting() as gateway, asyncio.timeout(20):
        gc.disable()
        try:
            for to in (port, 1):
                reader, writer = await tunnel(gateway.port, to)
                writer.write(b"GET / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % to)
                await answer(reader)
                await leave(writer)
            await asyncio.sleep(0.05)
            left = [one() for one in made if one() is not None]
        finally:
            gc.enable()
    assert (len(made), left) == (2, [])
