"""Conversations with the gateway where it ends the TLS and looks into requests, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable

import pytest
from tests.egress.inspecting import (
    Answers,
    Asked,
    inside,
    inspecting,
    leave,
    server,
    tunnel,
)

from ringfence.egress import Limits
from ringfence.egress.websocket_frames import FrameReader, Message, Opcode, frame
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Verdict
from ringfence.model.event import ConnectionClosed

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


def answering(reply: bytes, *, times: int = 1000) -> Answers:
    """A server that answers every head with the same bytes, some times on each connection, and then leaves."""

    async def answers(reader: Reader, writer: Writer) -> None:
        for _ in range(times):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()

    return answers


async def echo(reader: Reader, writer: Writer) -> None:
    """Answers each request with its own head."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(head), head))
        await writer.drain()


async def heads(reader: Reader) -> tuple[bytes, bytes]:
    """An answer of `echo`: its head, and the head that the server saw."""
    return await reader.readuntil(b"\r\n\r\n"), await reader.readuntil(b"\r\n\r\n")


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_a_request_is_judged_re_issued_and_answered() -> None:
    asked = Asked()
    async with server(echo) as port, inspecting(asked) as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        for number in (1, 2):
            writer.write(b"GET /%d?q HTTP/1.1\r\nHost: a.test:%d\r\nX-One: 1\r\nProxy-A: 2\r\n\r\n" % (number, port))
            answer, seen = await heads(reader)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert seen == b"GET /%d?q HTTP/1.1\r\nHost: a.test:%d\r\nx-one: 1\r\n\r\n" % (number, port)
        await leave(writer)
    assert asked.actions == [
        ConnectAction(host="a.test", port=port, method="GET", path="/1"),
        ConnectAction(host="a.test", port=port, method="GET", path="/2"),
    ]


async def test_pipelined_requests_are_judged_one_by_one_and_answered_in_order() -> None:
    asked = Asked(lambda action: Verdict.DENY if action.path == "/2" else Verdict.ALLOW)
    async with server(echo) as port, inspecting(asked) as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % (one, port) for one in (1, 2, 3)))
        first = await heads(reader)
        denied = await reader.readuntil(b"ask for `it`\n")
        last = await heads(reader)
        await leave(writer)
    assert (first[1][:6], denied[:22], last[1][:6]) == (b"GET /1", b"HTTP/1.1 403 Forbidden", b"GET /3")
    assert [action.path for action in asked.actions] == ["/1", "/2", "/3"]


async def test_a_thousand_denied_requests_in_one_piece_are_answered() -> None:
    async with inspecting(Asked(lambda _: Verdict.DENY), limits=Limits(head=1 << 20)) as gateway, asyncio.timeout(10):
        reader, writer = await tunnel(gateway.port, 443)
        writer.write(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n" * 1000)
        for _ in range(1000):
            assert (await reader.readuntil(b"ask for `it`\n")).startswith(b"HTTP/1.1 403")
        await leave(writer)


async def test_servers_see_one_connection_for_requests_of_several_clients() -> None:
    connections = 0

    async def counting(reader: Reader, writer: Writer) -> None:
        nonlocal connections
        connections += 1
        await echo(reader, writer)

    async with server(counting) as port, inspecting() as gateway, asyncio.timeout(5):
        for _ in range(3):
            reader, writer = await tunnel(gateway.port, port)
            writer.write(b"GET / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port)
            await heads(reader)
            await leave(writer)
    assert connections == 1


@pytest.mark.parametrize(
    ("reply", "heard"),
    [
        (OK, OK),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: a\r\n\r\n",
            b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\netag: a\r\n\r\n",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        (
            b'HTTP/1.1 200 OK\r\nAlt-Svc: h3=":443"\r\nConnection: X-Hop\r\nX-Hop: 1\r\nContent-Length: 0\r\n\r\n',
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK,
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + OK,
        ),
    ],
)
async def test_answers_are_framed_anew(reply: bytes, heard: bytes) -> None:
    async with server(answering(reply)) as port, inspecting() as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        for _ in range(2):
            writer.write(b"GET / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port)
            assert await reader.readexactly(len(heard)) == heard
        await leave(writer)


async def test_an_answer_to_head_has_no_body_and_keeps_its_length() -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
    async with server(answering(reply)) as port, inspecting() as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        for _ in range(2):
            writer.write(b"HEAD / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port)
            assert (await reader.readuntil(b"\r\n\r\n")).lower() == reply.lower()
        await leave(writer)


async def test_an_answer_that_ends_with_its_connection_ends_in_chunks_for_the_client() -> None:
    answers = answering(b"HTTP/1.0 200 OK\r\n\r\nsome", times=1)
    async with server(answers) as port, inspecting() as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port)
        heard = await reader.readuntil(b"\r\n0\r\n\r\n")
        await leave(writer)
    assert heard == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n0\r\n\r\n"


@pytest.mark.parametrize("cut", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nso", b"HTTP/1.1 200 OK\r\n\r\nso"])
async def test_an_answer_that_is_cut_off_does_not_look_complete(cut: bytes) -> None:
    async def answers(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(cut)
        await writer.drain()
        writer.transport.abort()

    async with server(answers) as port, inspecting() as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port)
        with contextlib.suppress(ConnectionError):
            assert not (await reader.read(-1)).endswith(b"0\r\n\r\n")
        await leave(writer)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
    ],
)
async def test_an_answer_that_cannot_be_read_in_one_way_is_a_bad_gateway(reply: bytes) -> None:
    async with server(answering(reply)) as port, inspecting() as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port)
        heard = await reader.readuntil(b"Bad Gateway\r\n")
        await leave(writer)
    assert b"HTTP/1.1 502 Bad Gateway\r\n" in heard


async def test_what_a_server_says_behind_its_answer_is_nobody_s_answer() -> None:
    stolen = OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"
    async with server(answering(stolen)) as port, inspecting() as gateway, asyncio.timeout(5):
        for _ in range(3):
            reader, writer = await tunnel(gateway.port, port)
            writer.write(b"GET / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port)
            assert await reader.readexactly(len(OK)) == OK
            await leave(writer)


async def test_a_client_that_waits_for_a_go_gets_the_servers() -> None:
    async def answers(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await reader.readexactly(3) == b"abc"
        writer.write(OK)
        await writer.drain()
        await reader.read()

    async with server(answers) as port, inspecting() as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(b"PUT / HTTP/1.1\r\nHost: a.test:%d\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n" % port)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert await reader.readexactly(len(OK)) == OK
        await leave(writer)


async def test_a_kept_connection_that_its_server_closed_costs_no_request() -> None:
    async with server(answering(OK, times=1)) as port, inspecting() as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        for _ in range(4):
            writer.write(b"GET / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port)
            assert await reader.readexactly(len(OK)) == OK
        await leave(writer)


async def answer(reader: Reader) -> bytes:
    """One answer with a length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head + await reader.readexactly(length)


async def refused(sent: bytes) -> tuple[bytes, list[Decision], bytes]:
    """What a client hears, what was refused, and what reached the server, of bytes with `PORT` in them."""
    decisions: list[Decision] = []
    reached = bytearray()

    async def listens(reader: Reader, writer: Writer) -> None:
        while data := await reader.read(65536):
            reached.extend(data)
            if data.endswith(b"\r\n\r\n"):
                writer.write(OK)

    async with server(listens) as port, inspecting(on_refused=decisions.append) as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(sent.replace(b"PORT", b"%d" % port))
        heard = await answer(reader)
        if heard == OK and sent.count(b"HTTP/1.1\r\n") > 1:
            heard += await answer(reader)
        await leave(writer)
    return heard, decisions, bytes(reached)


SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a.test:PORT\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"POST / HTTP/1.1\r\nHost: a.test:PORT\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a.test:PORT\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a.test:PORT\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a.test:PORT\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a.test:PORT\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a.test:PORT\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: a.test:PORT\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.test:PORT\r\nHost: b.test\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a.test:PORT\n\n",
        b"GET /a HTTP/1.1\r\nHost: a.test:PORT\r\nX: a\nY: b\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a.test:PORT\r\n\r\n",
        b"GET /../a HTTP/1.1\r\nHost: a.test:PORT\r\n\r\n",
        b"GET /%2e%2e/a HTTP/1.1\r\nHost: a.test:PORT\r\n\r\n",
        b"GET /a%00 HTTP/1.1\r\nHost: a.test:PORT\r\n\r\n",
        b"GET /a\\b HTTP/1.1\r\nHost: a.test:PORT\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a.test:PORT\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: a.test:PORT\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\nHost: a.test:PORT\r\n\r\n",
    ],
)
async def test_what_two_readers_could_read_differently_reaches_no_server(sent: bytes) -> None:
    heard, _, reached = await refused(sent + SMUGGLED)

    assert heard.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert reached == b""


@pytest.mark.parametrize("body", [b"zz\r\n", b"1;x\r\na\r\n", b"1\r\nab\r\n", b"0\r\nHost: b.test\r\n\r\n", b"1\na"])
async def test_a_malformed_body_is_refused_in_words_and_never_whole(body: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a.test:PORT\r\nTransfer-Encoding: chunked\r\n\r\n"

    heard, _, reached = await refused(head + body + SMUGGLED)

    assert heard.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"smuggled" not in reached
    assert not reached.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("sent", "rule"),
    [
        (b"GET / HTTP/1.1\r\nHost: b.test:PORT\r\n\r\n", "http.host"),
        (b"GET / HTTP/1.1\r\nHost: a.test:1\r\n\r\n", "http.host"),
        (b"GET / HTTP/1.1\r\nHost: a.test.evil.test\r\n\r\n", "http.host"),
        (b"POST / HTTP/1.1\r\nHost: a.test:PORT\r\nX-HTTP-Method-Override: DELETE\r\n\r\n", "http.method"),
        (b"GET / HTTP/1.1\r\nHost: a.test:PORT\r\nX-Method-Override: put\r\n\r\n", "http.method"),
        (b"POST /?_method=DELETE HTTP/1.1\r\nHost: a.test:PORT\r\n\r\n", "http.method"),
        (b"GET / HTTP/1.1\r\nHost: a.test:PORT\r\nX-Original-URL: /admin\r\n\r\n", "http.path"),
        (b"GET / HTTP/1.1\r\nHost: a.test:PORT\r\nX-Forwarded-Host: b.test\r\n\r\n", "http.host"),
        (b"POST / HTTP/1.1\r\nHost: a.test:PORT\r\ncontent_length: 4\r\n\r\n", "http.framing"),
        (b"GET http://a.test:PORT/ HTTP/1.1\r\nHost: a.test:PORT\r\n\r\n", "http.host"),
        (b"CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n", "http.connect"),
        (b"GET / HTTP/1.1\r\nHost: a.test:PORT\r\nConnection: upgrade\r\nUpgrade: ssh\r\n\r\n", "http.upgrade"),
    ],
)
async def test_what_leads_past_the_host_is_refused_on_any_request(sent: bytes, rule: str) -> None:
    first = b"GET /first HTTP/1.1\r\nHost: a.test:PORT\r\n\r\n"

    heard, decisions, reached = await refused(first + sent)

    assert heard.startswith(OK + b"HTTP/1.1 403 Forbidden\r\n")
    assert [one.reasons[0].rule for one in decisions] == [rule]
    assert reached.count(b"HTTP/1.1") == 1


async def test_an_offer_to_speak_http2_in_the_clear_does_not_reach_the_server() -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"

    heard, _, reached = await refused(b"GET / HTTP/1.1\r\nHost: a.test:PORT\r\n" + offer + b"\r\n")

    assert heard == OK
    assert b"h2c" not in reached and b"http2" not in reached.lower()


async def test_a_client_that_asks_for_another_name_in_tls_gets_no_certificate() -> None:
    decisions: list[Decision] = []
    async with inspecting(on_refused=decisions.append) as gateway, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"CONNECT a.test:443 HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            await writer.start_tls(inside(), server_hostname="b.test")
        await leave(writer)
    assert [one.reasons[0].rule for one in decisions] == ["tls.name"]


async def test_a_server_that_cannot_be_verified_gets_no_request() -> None:
    reached = False

    async def answers(reader: Reader, writer: Writer) -> None:
        nonlocal reached
        reached = bool(await reader.read(1))

    async with server(answers, name="b.test") as port, inspecting() as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port)
        heard = await answer(reader)
        await leave(writer)
    assert heard.startswith(b"HTTP/1.1 502") and b"its certificate cannot be verified: hostname mismatch" in heard
    assert not reached


async def test_a_client_that_speaks_tls_before_it_may_is_understood() -> None:
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = inside().wrap_bio(to_client, to_server, server_hostname="a.test")
    async with server(echo) as port, inspecting() as gateway, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        writer.write(b"CONNECT a.test:%d HTTP/1.1\r\n\r\n" % port + to_server.read())
        await reader.readuntil(b"\r\n\r\n")

        async def until(step: Callable[[], object]) -> object:
            while True:
                try:
                    return step()
                except ssl.SSLWantReadError:
                    writer.write(to_server.read())
                    to_client.write(await reader.read(65536))

        await until(tls.do_handshake)
        tls.write(b"GET /early HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port)
        heard = await until(lambda: tls.read(65536))
        await leave(writer)
    assert isinstance(heard, bytes) and heard.startswith(b"HTTP/1.1 200 OK")


async def test_what_is_no_http_inside_tls_is_refused() -> None:
    async with inspecting() as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, 443)
        writer.write(b"SSH-2.0-x\r\n\r\n")
        assert (await reader.read(-1)).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        await leave(writer)


async def websocket(reader: Reader, writer: Writer) -> None:
    """Agrees, then sends every message back and ends with a close."""
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"Connection: Upgrade\r\nUpgrade: websocket" in head and b"extensions" not in head
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    frames = FrameReader(masked=True)
    while True:
        frames.feed(await reader.read(65536))
        while (item := frames.next()) is not None:
            if isinstance(item, Message):
                writer.write(frame(Opcode.TEXT if item.text else Opcode.BINARY, item.data, None))
            else:
                writer.write(frame(item.opcode, item.data, None))
                if item.opcode is Opcode.CLOSE:
                    return


ASKS = (
    b"GET /ws HTTP/1.1\r\nHost: a.test:%d\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)


async def test_a_websocket_carries_whole_messages_both_ways() -> None:
    messages = [b"a" * size for size in (0, 1, 125, 126, 65535, 65536, 300_000)]
    closed: list[ConnectionClosed] = []
    async with server(websocket) as port, inspecting(on_closed=closed.append) as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(ASKS % port)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        for data in messages:
            writer.write(frame(Opcode.BINARY, data, os.urandom(4)))
        writer.write(frame(Opcode.CLOSE, b"\x03\xe8", os.urandom(4)))
        frames, heard = FrameReader(masked=False), []
        while data := await reader.read(65536):
            frames.feed(data)
            while (item := frames.next()) is not None:
                heard.append(item.data)
        await leave(writer)
        await gateway.idle()
    assert heard == [*messages, b"\x03\xe8"]
    assert [event.error for event in closed] == [""]


async def test_a_revoked_grant_ends_connections_that_are_looked_into_at_once() -> None:
    async with server(echo) as port, inspecting() as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port)
        await heads(reader)

        count = gateway.gateway.close_matching(lambda host, _: host == "a.test")

        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        await leave(writer)
    assert count == 1


@pytest.mark.parametrize("secure", [True, False])
async def test_a_client_that_leaves_while_somebody_is_asked_withdraws_the_question(secure: bool) -> None:
    asked, withdrawn = asyncio.Event(), asyncio.Event()

    class Pending(Asked):
        def __call__(self, action: ConnectAction, origin: str, done: Callable[..., None]) -> Callable[[], None]:
            if action.method is None:
                return super().__call__(action, origin, done)
            asked.set()
            return withdrawn.set

    async with inspecting(Pending()) as gateway, asyncio.timeout(30):
        if secure:
            _, writer = await tunnel(gateway.port, 443)
            writer.write(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        else:
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n")
        await asked.wait()
        await leave(writer)
        await withdrawn.wait()


async def test_a_client_of_the_proxy_may_go_to_another_host_with_each_plain_request() -> None:
    asked = Asked()
    async with server(echo, secure=False) as port, inspecting(asked) as gateway, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        for host in ("a.test", "b.test"):
            writer.write(f"GET http://{host}:{port}/x HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            _, seen = await heads(reader)
            assert seen == f"GET /x HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
        await leave(writer)
    assert [action.host for action in asked.actions] == ["a.test", "b.test"]


async def test_a_client_of_the_proxy_has_to_name_the_whole_url_on_every_request() -> None:
    asked = Asked()
    async with server(echo, secure=False) as port, inspecting(asked) as gateway, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(f"GET http://a.test:{port}/x HTTP/1.1\r\nHost: a.test:{port}\r\n\r\n".encode())
        await heads(reader)
        writer.write(f"GET /y HTTP/1.1\r\nHost: a.test:{port}\r\n\r\n".encode())
        answer = await reader.readuntil(b"\r\n")
        await leave(writer)
    assert (answer, [action.path for action in asked.actions]) == (b"HTTP/1.1 403 Forbidden\r\n", ["/x"])
