"""A request that nobody looks into takes a short way behind the first of its client. Whatever happens on it, nobody can
tell: the same is asked, sent, heard and put on record as where a route, which leads nowhere, keeps it off that way."""

from __future__ import annotations

import asyncio
import gc
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from tests.egress.gatewaying import LOOPBACK, answer
from tests.egress.inspecting import inspecting, leave, server, tunnel

from ringfence.egress import Authorization, Cancel, inspected
from ringfence.egress.course import Course
from ringfence.egress.http_fields import Said
from ringfence.egress.http_head import RequestHead
from ringfence.egress.inspection import Amendment, Request, Steps
from ringfence.egress.judging import Answer
from ringfence.egress.short_way import ShortWay
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Verdict
from ringfence.model.event import ConnectionClosed

_GET = b"GET %b HTTP/1.1\r\nHost: a.test:%d\r\n%b\r\n"
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"


class Told(msgspec.Struct, kw_only=True):
    """Everything that anybody sees of a conversation."""

    heard: list[bytes] = []
    """By the client, for each request."""
    served: list[bytes] = []
    """What servers got, for each answer."""
    connections: int = 0
    """To servers."""
    asked: list[tuple[str | None, str | None, str]] = []
    cancelled: int = 0
    refused: list[str] = []
    closed: list[ConnectionClosed] = []
    shortened: int = 0


class Counted(ShortWay):
    """Counts what it takes."""

    __slots__ = ()
    taken = 0

    def start(self, head: RequestHead, header: Said) -> bool:
        took = super().start(head, header)
        Counted.taken += took
        return took


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspected, "ShortWay", Counted)


Reply = Callable[[asyncio.StreamWriter, int], Awaitable[bool]]
"""Answers the request of that number; whether the connection goes on."""


def saying(*pieces: bytes, goes_on: bool = True, every: bool = False) -> Reply:
    """Says these pieces to the second request, or to all of them."""

    async def reply(writer: asyncio.StreamWriter, number: int) -> bool:
        for piece in pieces if every or number == 1 else (_OK,):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.005 if len(pieces) > 1 else 0)
        return goes_on or number != 1

    return reply


async def resetting(writer: asyncio.StreamWriter, number: int) -> bool:
    """Breaks the connection instead of the second answer."""
    if number != 1:
        return await saying(_OK, every=True)(writer, number)
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()
    return False


async def whole(reader: asyncio.StreamReader, *, head_only: bool = False) -> bytes:
    """One answer, with those before it that are not the last; what there is of it where it breaks off."""
    told = b""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            told += head
            if not re.match(rb"HTTP/1.1 1\d\d ", head):
                break
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if head_only or re.match(rb"HTTP/1.1 [23]04 ", head):
            return told
        if length:
            return told + await reader.readexactly(int(length[1]))
        ends = reader.readuntil(b"\r\n0\r\n\r\n") if b"hunked" in head else reader.read()
        return told + await ends
    except asyncio.IncompleteReadError as broken:
        return told + broken.partial
    except ConnectionError:
        return told + b"(broken)"


class Asks:
    """Denies `/deny`, fails over `/raise`, answers `/late` and what is below later, and never answers `/never`."""

    def __init__(self, told: Told) -> None:
        self._told = told

    def __call__(self, action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        if action.method is None:
            done(answer(action, declared=LOOPBACK, needs_request=True))
            return lambda: None
        self._told.asked.append((action.method, action.path, origin))
        path = action.path or ""
        if path == "/raise":
            raise RuntimeError("nobody can be asked")
        given = answer(action, Verdict.DENY if path.endswith("/deny") else Verdict.ALLOW, declared=LOOPBACK)
        if path.startswith("/late"):
            asyncio.get_running_loop().call_later(0.02, done, given)
        elif path != "/never":
            done(given)
            done(given)  # a second time, nobody hears it
        return self._cancel

    def _cancel(self) -> None:
        self._told.cancelled += 1


async def conversed(
    requests: list[bytes], reply: Reply, *, short: bool, amendments: tuple[Amendment, ...] = (), hurry: bool = False
) -> Told:
    """A client's requests, one after the other. `hurry`: it leaves instead of waiting for its second answer."""
    told, number = Told(), 0
    Counted.taken = 0

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        told.connections += 1
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            told.served.append(head + (await reader.readexactly(int(length[1])) if length else b""))
            at, number = number, number + 1
            if not await reply(writer, at):
                return

    def refused(decision: Decision) -> None:
        told.refused.append(decision.reasons[0].rule)

    def closed(event: ConnectionClosed) -> None:
        reached = tuple(one.replace(f":{event.port}", ":PORT") for one in event.reached)
        told.closed.append(msgspec.structs.replace(event, port=0, duration_ms=0, reached=reached))

    more: dict[str, Any] = {} if short else {"route": lambda head, to: None}
    more |= {"amendments": amendments, "on_refused": refused, "on_closed": closed}
    async with server(answers) as port, asyncio.timeout(20):
        async with inspecting(Asks(told), **more) as gateway:
            reader, writer = await tunnel(gateway.port, port)
            for at, request in enumerate(requests):
                writer.write(request.replace(b"PORT", b"%d" % port))
                if hurry and at == 1:
                    await asyncio.sleep(0.05)
                    break
                told.heard.append(await whole(reader, head_only=request.startswith(b"HEAD")))
            await leave(writer)
            await gateway.idle()
        told.shortened = Counted.taken
        if number and not told.closed[0].error:
            assert told.closed[0].address == "127.0.0.1"
    told.served = [one.replace(b":%d" % port, b":PORT") for one in told.served]
    told.heard = [one.replace(b":%d" % port, b":PORT") for one in told.heard]
    return told


def get(path: bytes = b"/", *lines: bytes) -> bytes:
    return _GET.replace(b"%d", b"PORT") % (path, b"".join(line + b"\r\n" for line in lines))


async def same(requests: list[bytes], reply: Reply, taken: int, **more: Any) -> Told:
    """The conversation on the short way, which takes so many requests; on the long one all is the same."""
    short = await conversed(requests, reply, short=True, **more)
    long = await conversed(requests, reply, short=False, **more)
    assert (short.shortened, long.shortened) == (taken, 0)
    short.shortened = 0
    assert short == long
    return short


_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
_REPLIES: dict[str, tuple[Reply, int]] = {
    "as usual": (saying(_OK), 2),
    "in pieces": (saying(_OK[:9], _OK[9:-6], _OK[-6:-2], _OK[-2:]), 2),
    "the head, then the body": (saying(_OK[:-4], _OK[-4:]), 2),
    "in chunks": (saying(_CHUNKS), 2),
    "no content": (saying(b"HTTP/1.1 204 No Content\r\n\r\n"), 2),
    "as before": (saying(b"HTTP/1.1 304 Not Modified\r\nETag: a\r\n\r\n"), 2),
    "an early hint": (saying(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + _OK), 2),
    "a hint, then the answer": (saying(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", _OK), 2),
    "the last one": (saying(_OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), goes_on=False), 2),
    "until the end": (saying(b"HTTP/1.1 200 OK\r\n\r\nbody", goes_on=False), 2),
    "of the old version": (saying(_OK.replace(b"1.1", b"1.0"), goes_on=False), 2),
    "more than one": (saying(_OK + _OK), 2),
    "and then some": (saying(_OK, b"more"), 2),
    "none": (saying(goes_on=False), 2),
    "none, with a reset": (resetting, 2),
    "cut short": (saying(_OK[:-2], goes_on=False), 1),
    "nonsense": (saying(b"nonsense\r\n\r\n"), 1),
    "two lengths": (saying(_OK.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n")), 1),
    "another protocol": (saying(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), 1),
}


@pytest.mark.parametrize("of", _REPLIES)
async def test_whatever_a_server_answers(of: str) -> None:
    reply, taken = _REPLIES[of]

    told = await same([get(b"/1"), get(b"/2?a=b"), get(b"/3")], reply, taken)

    assert told.heard[0] == b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
    assert told.served[1] == get(b"/2?a=b") and told.asked[1] == ("GET", "/2", "connect")


_REQUESTS: dict[str, tuple[bytes, int]] = {
    "as usual": (get(b"/2", b"Accept: */*", b"User-Agent: x"), 2),
    "kept alive": (get(b"/2", b"Connection: keep-alive"), 2),
    "with a credential": (get(b"/2", b"Authorization: Bearer x"), 2),
    "for the connection": (get(b"/2", b"Authorization: NTLM x"), 1),
    "the last one": (get(b"/2", b"Connection: close"), 0),
    "with a field that ends here": (get(b"/2", b"Connection: x-hop", b"X-Hop: 1"), 1),
    "for the head": (get(b"/2").replace(b"GET", b"HEAD"), 1),
    "with a body": (get(b"/2", b"Content-Length: 4") + b"body", 1),
    "of another method": (get(b"/2", b"Content-Length: 4").replace(b"GET", b"POST") + b"body", 1),
    "of another method, without a body": (get(b"/2").replace(b"GET", b"DELETE"), 1),
    "in chunks": (get(b"/2", b"Transfer-Encoding: chunked").replace(b"GET", b"POST") + b"4\r\nbody\r\n0\r\n\r\n", 1),
    "that waits for a word": (get(b"/2", b"Expect: 100-continue", b"Content-Length: 4") + b"body", 1),
    "with another method inside": (get(b"/2", b"X-HTTP-Method-Override: DELETE"), 1),
    "of the old version": (get(b"/2").replace(b"HTTP/1.1", b"HTTP/1.0"), 0),
    "for another host": (get(b"/2").replace(b"a.test", b"b.test"), 1),
    "for the host in other letters": (get(b"/2").replace(b"a.test", b"A.TEST"), 0),
    "for another protocol": (get(b"/2", b"Connection: upgrade", b"Upgrade: h2c"), 1),
    "with the same twice": (get(b"/2", b"Content-Type: a", b"Content-Type: b"), 1),
    "malformed": (get(b"/2", b"a b"), 0),
    "of one that is denied": (get(b"/deny"), 2),
    "of one that is allowed later": (get(b"/late"), 2),
    "of one that is denied later": (get(b"/late/deny"), 2),
    "that cannot be judged": (get(b"/raise"), 2),
    "with the next one behind it": (get(b"/2") + get(b"/4"), 3),
}


@pytest.mark.parametrize("of", _REQUESTS)
async def test_whatever_a_client_asks(of: str) -> None:
    request, taken = _REQUESTS[of]

    reply = saying(_OK[:-4]) if request.startswith(b"HEAD") else saying(_OK)
    told = await same([get(b"/1"), request, get(b"/3")], reply, taken)

    assert len(told.closed) == 1 and told.heard[0].startswith(b"HTTP/1.1 200")
    assert not any(b"/deny" in one or b"/raise" in one for one in told.served)


async def test_nobody_is_asked_any_more_for_a_client_that_left() -> None:
    told = await same([get(b"/1"), get(b"/never")], saying(_OK), 1, hurry=True)

    assert (told.cancelled, len(told.served), told.closed[0].error) == (1, 1, "the client went away")


async def test_an_answer_for_a_client_that_left_reaches_nobody() -> None:
    async def slow(writer: asyncio.StreamWriter, number: int) -> bool:
        await asyncio.sleep(0.1 * number)
        return await saying(_OK)(writer, number)

    told = await same([get(b"/1"), get(b"/2")], slow, 1, hurry=True)

    assert (len(told.heard), len(told.served)) == (1, 2)


def _looking(at: str, seen: list[str]) -> Amendment:
    class Sees(Steps):
        def request(self, head: RequestHead) -> RequestHead:
            seen.append(head.path)
            return msgspec.structs.replace(head, fields=(*head.fields, (b"x-seen", b"1")))

    def amendment(request: Request) -> Steps | None:
        seen.append(f"asked of {request.action.path}")
        if request.head.path == "/fail":
            raise RuntimeError("this one cannot say")
        return Sees() if request.head.path == at else None

    return amendment


@pytest.mark.parametrize("path", [b"/2", b"/look", b"/fail", b"/late", b"/late/deny"])
async def test_who_wants_to_look_into_a_request_is_asked_once_and_does(path: bytes) -> None:
    seen: list[str] = []

    told = await same([get(b"/1"), get(path), get(b"/3")], saying(_OK), 2, amendments=(_looking("/look", seen),))

    once = seen[: len(seen) // 2]
    asked = [one for one in once if one.startswith("asked")]
    assert once * 2 == seen and len(asked) == len(set(asked)) == (2 if path == b"/late/deny" else 3)
    assert [b"x-seen" in one for one in told.served].count(True) == (path == b"/look")


async def test_a_fault_on_the_way_to_the_long_one_leaves_no_connection_to_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise MemoryError

    ended = asyncio.Event()

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_OK)
        await reader.readuntil(b"\r\n\r\n")
        monkeypatch.setattr(inspected, "Course", failing)
        writer.write(_CHUNKS)
        assert await reader.read() == b""
        ended.set()

    told = Told()
    async with server(answers, secure=False) as port, inspecting(Asks(told)) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"CONNECT a.test:%d HTTP/1.1\r\n\r\n" % port)
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(2):
            writer.write(get().replace(b"PORT", b"%d" % port))
            await whole(reader)
        async with asyncio.timeout(2):
            await ended.wait()
        await leave(writer)


@pytest.mark.parametrize("path", [b"/late", b"/late/deny", b"/never"])
@pytest.mark.parametrize("short", [True, False])
async def test_a_request_that_somebody_was_asked_about_is_gone_at_once(path: bytes, short: bool) -> None:
    gc.collect()
    gc.disable()
    try:
        told = await conversed([get(b"/1"), get(path)], saying(_OK), short=short, hurry=path == b"/never")
        left = [one for one in gc.get_objects() if isinstance(one, ShortWay | Course | Answer)]
    finally:
        gc.enable()
    assert len(told.asked) == 2 and left == []


async def test_a_grant_that_is_revoked_ends_it() -> None:
    told = Told()
    waits = asyncio.Event()

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_OK)
        await reader.readuntil(b"\r\n\r\n")
        waits.set()
        assert await reader.read() == b""

    Counted.taken = 0
    async with server(answers) as port, inspecting(Asks(told)) as gateway, asyncio.timeout(20):
        reader, writer = await tunnel(gateway.port, port)
        for _ in range(2):
            writer.write(get().replace(b"PORT", b"%d" % port))
        await whole(reader)
        await waits.wait()
        assert gateway.gateway.close_matching(lambda host, _: host == "a.test") == 1
        assert await whole(reader) in (b"", b"(broken)")
        await leave(writer)
    assert Counted.taken == 1


@pytest.mark.parametrize("wanted", ["operations", "query", "headers"])
async def test_what_rules_want_to_know_of_a_request_is_found_out_on_the_long_way(wanted: str) -> None:
    from ringfence.policy.judges.connect import FactsWanted

    facts = FactsWanted(**{wanted: True if wanted == "operations" else ("key",)})
    told, number = Told(), 0
    Counted.taken = 0

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        while True:
            await reader.readuntil(b"\r\n\r\n")
            number += 1
            writer.write(_OK)

    async with server(answers) as port, inspecting(Asks(told), wants=lambda *_: facts) as gateway, asyncio.timeout(20):
        reader, writer = await tunnel(gateway.port, port)
        for _ in range(2):
            writer.write(get().replace(b"PORT", b"%d" % port))
            await whole(reader)
        await leave(writer)
    assert (Counted.taken, number) == (0, 2)
