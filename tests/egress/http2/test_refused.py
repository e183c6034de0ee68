"""What two programs could read differently, or what costs more than it moves, never reaches a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from tests.egress.http2.speaking import Fields, Peer, http2_client, http2_server, request
from tests.egress.inspecting import Asked, inspecting, server
from tests.egress.test_inspected import OK

from ringfence.egress.http2.frames import MOST
from ringfence.egress.limits import Limits
from ringfence.model.decision import Decision

Change = Callable[[Fields], Fields]


def more(*fields: tuple[bytes, bytes]) -> Change:
    """The header with more fields."""
    return lambda headers: [*headers, *fields]


def other(name: bytes, value: bytes) -> Change:
    """The header with another value of a field."""
    return lambda headers: [(one, value if one == name else old) for one, old in headers]


def without(name: bytes) -> Change:
    """The header without a field."""
    return lambda headers: [field for field in headers if field[0] != name]


REFUSED = {
    "another host": other(b":authority", b"b.test:443"),
    "another port": other(b":authority", b"a.test:1"),
    "userinfo": other(b":authority", b"a.test@b.test"),
    "a NUL in the host": other(b":authority", b"a.test\0.b.test"),
    "another Host": more((b"host", b"b.test")),
    "two Hosts": more((b"host", b"a.test"), (b"host", b"a.test")),
    "no host": without(b":authority"),
    "another scheme": other(b":scheme", b"http"),
    "an absolute path": other(b":path", b"https://b.test/"),
    "a path without slash": other(b":path", b"g"),
    "an empty path": other(b":path", b""),
    "a space in the path": other(b":path", b"/a HTTP/1.1"),
    "a line in the path": other(b":path", b"/a\r\nX: y"),
    "dot segments": other(b":path", b"/ok/../admin"),
    "escaped dot segments": other(b":path", b"/ok/%2e%2e/admin"),
    "an escaped NUL": other(b":path", b"/a%00b"),
    "a fragment": other(b":path", b"/a#b"),
    "a method in lower case": other(b":method", b"get"),
    "a method with a line": other(b":method", b"GET / HTTP/1.1\r\nX: y\r\n\r\nGET"),
    "CONNECT": lambda _: [(b":method", b"CONNECT"), (b":authority", b"b.test:443")],
    "extended CONNECT": lambda headers: [(b":protocol", b"websocket"), *other(b":method", b"CONNECT")(headers)],
    "a pseudo-header of answers": lambda headers: [(b":status", b"200"), *headers],
    "a pseudo-header twice": lambda headers: [(b":path", b"/other"), *headers],
    "a pseudo-header behind fields": lambda headers: [*headers, (b"x", b"y"), (b":path", b"/other")],
    "an unknown pseudo-header": lambda headers: [(b":host", b"b.test"), *headers],
    "transfer-encoding": more((b"transfer-encoding", b"chunked")),
    "two codings": more((b"content-encoding", b"gzip"), (b"content-encoding", b"identity")),
    "two types": more((b"content-type", b"text/plain"), (b"content-type", b"application/json")),
    "connection": more((b"connection", b"x-other")),
    "keep-alive": more((b"keep-alive", b"1")),
    "proxy-connection": more((b"proxy-connection", b"close")),
    "proxy-authorization": more((b"proxy-authorization", b"Basic eA==")),
    "upgrade": more((b"upgrade", b"websocket")),
    "http2-settings": more((b"http2-settings", b"AAMAAABkAARAAAAAAAIAAAAA")),
    "te": more((b"te", b"gzip")),
    "upper case": more((b"X-Name", b"y")),
    "a space in a name": more((b"x name", b"y")),
    "a colon in a name": more((b"x:y", b"z")),
    "an empty name": more((b"", b"y")),
    "a line in a name": more((b"x\r\ny", b"z")),
    "a line in a value": more((b"x", b"y\r\nhost: b.test")),
    "a bare CR in a value": more((b"x", b"y\rz")),
    "a bare LF in a value": more((b"x", b"y\nz")),
    "a NUL in a value": more((b"x", b"y\0z")),
    "a control character in a value": more((b"x", b"y\x01z")),
    "white space around a value": more((b"x", b" y")),
    "two lengths": more((b"content-length", b"0"), (b"content-length", b"5")),
    "two equal lengths": more((b"content-length", b"0"), (b"content-length", b"0")),
    "a length that is none": more((b"content-length", b"+0")),
    "a length that is not kept": more((b"content-length", b"5")),
    "too many fields": more(*((b"x-%d" % number, b"y") for number in range(200))),
    "too long a header": more((b"x", b"y" * 70_000)),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
async def test_a_request_that_is_not_one_thing_reaches_nobody(change: Change) -> None:
    asked, refused = Asked(), list[Decision]()
    async with (
        http2_server() as (port, peers),
        inspecting(asked, http2=True, on_refused=refused.append) as gateway,
        asyncio.timeout(10),
        http2_client(gateway.port, port, careless=True) as client,
    ):
        message = await client.whole(client.ask(change(request(port))))

    told = message.status in (b"400", b"403") or client.farewell is not None
    assert told, (message.status, message.code)
    assert asked.actions == []
    assert peers == []


async def test_a_request_that_is_refused_leaves_the_connection_to_the_others() -> None:
    async with (
        http2_server() as (port, _),
        inspecting(http2=True) as gateway,
        asyncio.timeout(10),
        http2_client(gateway.port, port, careless=True) as client,
    ):
        wrong = client.ask(other(b":authority", b"b.test")(request(port)))
        right = client.ask(request(port))
        messages = [await client.whole(wrong), await client.whole(right)]

    assert [one.status for one in messages] == [b"403", b"200"]
    assert b"names the host `b.test" in messages[0].body


async def test_a_body_longer_than_it_says_does_not_arrive() -> None:
    async with (
        http2_server() as (port, peers),
        inspecting(http2=True) as gateway,
        asyncio.timeout(10),
        http2_client(gateway.port, port) as client,
    ):
        stream = client.ask(request(port, b"/p", b"POST", (b"content-length", b"2")), end=False)
        client.writer.write(DataFrame(stream, b"12", flags=[]).serialize())
        client.writer.write(DataFrame(stream, b"GET /smuggled HTTP/1.1", flags=["END_STREAM"]).serialize())
        await client.over.wait()

    assert client.farewell is not None
    assert [bytes(message.body) for peer in peers for message in peer.messages.values()] in ([], [b"12"])
    assert all(not message.ended.is_set() or message.code for peer in peers for message in peer.messages.values())


def rapid_resets(client: Peer, port: int) -> list[Frame]:
    """Requests that are given up at once, again and again."""
    frames: list[Frame] = []
    for number in range(MOST):
        stream = number * 2 + 1
        block = client.h2.encoder.encode(request(port, b"/g"))
        frames += [HeadersFrame(stream, block, flags=["END_HEADERS", "END_STREAM"]), RstStreamFrame(stream, 8)]
    return frames


def endless_header(client: Peer, port: int) -> list[Frame]:
    """A header that goes on and on."""
    block = client.h2.encoder.encode(request(port))
    literal = b"\x00\x01x\x01y" * 2000
    frames: list[Frame] = [HeadersFrame(1, block, flags=["END_STREAM"])]
    return [*frames, *(ContinuationFrame(1, literal) for _ in range(200))]


def small_table(client: Peer, _: int) -> list[Frame]:
    """A header of one short field that unpacks to a very long one."""
    first = client.h2.encoder.encode([(b"x", b"y" * 3000)])
    return [HeadersFrame(1, first + b"\xbe" * 2000, flags=["END_HEADERS", "END_STREAM"])]


FLOODS: dict[str, Callable[[Peer, int], list[Frame]]] = {
    "rapid resets": rapid_resets,
    "settings": lambda *_: [SettingsFrame(0, settings={4: 65_535})] * MOST,
    "pings": lambda *_: [PingFrame(0, b"12345678")] * (2 * MOST),
    "priorities": lambda *_: [PriorityFrame(1, depends_on=3)] * (2 * MOST),
    "window updates": lambda *_: [WindowUpdateFrame(0, window_increment=1)] * (2 * MOST),
    "an endless header": endless_header,
    "a header that unpacks to a bomb": small_table,
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_a_flood_ends_its_connection_and_no_other(flood: Callable[[Peer, int], list[Frame]]) -> None:
    async with (
        http2_server() as (port, _),
        inspecting(http2=True) as gateway,
        asyncio.timeout(20),
        http2_client(gateway.port, port) as client,
        http2_client(gateway.port, port) as bystander,
    ):
        client.writer.write(b"".join(frame.serialize() for frame in flood(client, port)))
        await client.over.wait()
        answer = await bystander.whole(bystander.ask(request(port)))

    assert answer.status == b"200"
    assert client.farewell is not None
    assert client.farewell.error_code in (ErrorCodes.ENHANCE_YOUR_CALM, ErrorCodes.PROTOCOL_ERROR)


async def test_empty_frames_without_end_end_the_connection() -> None:
    async with (
        http2_server() as (port, _),
        inspecting(http2=True) as gateway,
        asyncio.timeout(20),
        http2_client(gateway.port, port) as client,
    ):
        stream = client.ask(request(port, b"/p", b"POST"), end=False)
        client.writer.write(DataFrame(stream, b"").serialize() * (2 * MOST))
        await client.over.wait()

    assert client.farewell is not None
    assert client.farewell.error_code == ErrorCodes.ENHANCE_YOUR_CALM


@pytest.mark.slow
async def test_a_client_that_never_asks_is_not_waited_for() -> None:
    limits = Limits(head_seconds=0.3)
    async with (
        http2_server() as (port, _),
        inspecting(http2=True, limits=limits) as gateway,
        asyncio.timeout(5),
        http2_client(gateway.port, port) as client,
    ):
        await client.over.wait()

    assert client.farewell is not None


@pytest.mark.parametrize("trailers", [False, True])
async def test_a_body_shorter_than_it_says_takes_nothing_of_the_next_request(*, trailers: bool) -> None:
    async def keeping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(b"")
        mine = len(heard) - 1
        while data := await reader.read(65_536):
            heard[mine] += data
            if b"GET" in heard[mine]:
                writer.write(OK)

    heard: list[bytes] = []
    async with (
        server(keeping) as port,
        inspecting(http2=True) as gateway,
        asyncio.timeout(10),
        http2_client(gateway.port, port) as client,
        http2_client(gateway.port, port) as other,
    ):
        stream = client.ask(request(port, b"/p", b"POST", (b"content-length", b"500")), end=False)
        await client.send(stream, b"short")
        if trailers:
            block = client.h2.encoder.encode([(b"x-more", b"y")])
            client.writer.write(HeadersFrame(stream, block, flags=["END_HEADERS", "END_STREAM"]).serialize())
        else:
            client.writer.write(DataFrame(stream, b"", flags=["END_STREAM"]).serialize())
        await client.whole(stream)
        answer = await other.whole(other.ask(request(port)))

    assert answer.status == b"200"
    assert [one for one in heard if b"POST" in one and b"GET" in one] == []
    assert client.messages[stream].status != b"200"
