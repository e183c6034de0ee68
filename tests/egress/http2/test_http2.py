"""HTTP/2 on inspected hosts: many requests at once, each judged by itself."""

from __future__ import annotations

import asyncio

import pytest
from h2.errors import ErrorCodes
from tests.egress.gatewaying import Running
from tests.egress.http2.speaking import Peer, echo, goaway, http2_client, http2_server, request
from tests.egress.inspecting import Asked, inside, inspecting, leave, server, tunnel
from tests.egress.test_inspected import OK
from tests.egress.test_inspected import answer as heard_of

from ringfence.egress.http2.client import InspectedHttp2
from ringfence.egress.http2.wire import MOST_WAITING, Wire
from ringfence.egress.limits import Limits
from ringfence.model.decision import Verdict
from ringfence.model.event import ConnectionClosed


async def test_a_request_is_judged_and_answered() -> None:
    asked = Asked()
    async with (
        http2_server() as (port, peers),
        inspecting(asked, http2=True) as gateway,
        asyncio.timeout(5),
        http2_client(gateway.port, port) as client,
    ):
        stream = client.ask(request(port, b"/p?q=1", b"POST"), end=False)
        await client.send(stream, b"12345", end=True)
        message = await client.whole(stream)

    assert (message.status, bytes(message.body)) == (b"200", b"12345")
    assert message.value(b"x-path") == b"/p?q=1"
    assert [(one.method, one.path) for one in asked.actions] == [("POST", "/p")]
    assert len(peers) == 1


async def test_many_requests_go_at_once_over_one_connection_to_the_server() -> None:
    async with (
        http2_server() as (port, peers),
        inspecting(http2=True) as gateway,
        asyncio.timeout(10),
        http2_client(gateway.port, port) as client,
    ):
        streams = [client.ask(request(port, b"/%d" % number)) for number in range(60)]
        messages = [await client.whole(stream) for stream in streams]

    assert [one.value(b"x-path") for one in messages] == [b"/%d" % number for number in range(60)]
    assert len(peers) == 1


async def test_a_denied_request_leaves_the_others_alone() -> None:
    asked = Asked(lambda action: Verdict.DENY if action.path == "/no" else Verdict.ALLOW)
    async with (
        http2_server() as (port, peers),
        inspecting(asked, http2=True) as gateway,
        asyncio.timeout(5),
        http2_client(gateway.port, port) as client,
    ):
        denied, allowed = client.ask(request(port, b"/no")), client.ask(request(port, b"/yes"))
        refusal, answer = await client.whole(denied), await client.whole(allowed)

    assert (refusal.status, refusal.value(b"x-ringfence-verdict")) == (b"403", b"deny")
    assert b"is denied" in refusal.body
    assert answer.status == b"200"
    assert [message.value(b":path") for message in peers[0].messages.values()] == [b"/yes"]


async def test_a_grpc_client_is_told_in_its_own_words() -> None:
    asked = Asked(lambda action: Verdict.DENY)
    async with (
        http2_server() as (port, _),
        inspecting(asked, http2=True) as gateway,
        asyncio.timeout(5),
        http2_client(gateway.port, port) as client,
    ):
        message = await client.whole(client.ask(request(port, b"/pkg.Service/Do", b"POST", *GRPC), end=False))

    told = dict(message.headers)
    assert (told[b":status"], told[b"grpc-status"], told[b"x-ringfence-verdict"]) == (b"200", b"7", b"deny")
    assert told[b"grpc-message"].startswith(b"ringfence: connection to `a.test:%d` is denied%%0A" % port)
    assert message.frames == 0


async def grpc(peer: Peer, stream: int) -> None:
    """Answers each message with the same one as it comes, as a method does that streams both ways; then the status."""
    message = peer.messages[stream]
    peer.answer(stream, [(b":status", b"200"), (b"content-type", b"application/grpc")])
    while not message.ended.is_set() or message.body:
        if message.body:
            piece = bytes(message.body)
            message.body.clear()
            await peer.send(stream, piece)
        else:
            message.came.clear()
            waiting = [asyncio.ensure_future(one.wait()) for one in (message.came, message.ended)]  # noqa: TID251
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for one in waiting:
                one.cancel()
    peer.answer(stream, [(b"grpc-status", b"0"), (b"grpc-message", b"well")], end=True)


GRPC = ((b"content-type", b"application/grpc"), (b"te", b"trailers"))


async def test_messages_stream_both_ways_and_the_trailers_arrive() -> None:
    async with (
        http2_server(grpc) as (port, peers),
        inspecting(http2=True) as gateway,
        asyncio.timeout(5),
        http2_client(gateway.port, port) as client,
    ):
        stream = client.ask(request(port, b"/pkg.Service/Chat", b"POST", *GRPC), end=False)
        message = client.messages[stream]
        for number in range(5):
            message.came.clear()
            await client.send(stream, b"message %d" % number)
            await message.came.wait()
            assert bytes(message.body).endswith(b"message %d" % number)
        await client.send(stream, b"", end=True)
        await client.whole(stream)

    assert message.trailers == [(b"grpc-status", b"0"), (b"grpc-message", b"well")]
    assert peers[0].messages[1].value(b"te") == b"trailers"


async def test_an_answer_that_is_all_head_stays_one() -> None:
    async def failing(peer: Peer, stream: int) -> None:
        peer.answer(stream, [(b":status", b"200"), (b"grpc-status", b"12")], end=True)

    async with (
        http2_server(failing) as (port, _),
        inspecting(http2=True) as gateway,
        asyncio.timeout(5),
        http2_client(gateway.port, port) as client,
    ):
        stream = client.ask(request(port, b"/pkg.Service/None", b"POST", *GRPC), end=False)
        message = await client.whole(stream)

    assert message.headers == [(b":status", b"200"), (b"grpc-status", b"12")]
    assert (message.frames, message.trailers) == (0, [])


async def test_a_server_that_speaks_only_http1_answers_each_request() -> None:
    async def http1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            heads.append(head)
            if b"chunked" in head:
                body = await reader.readuntil(b"0\r\n\r\n")
                heads.append(body)
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n")
            writer.write(b"3\r\nyes\r\n0\r\n\r\n")

    heads: list[bytes] = []
    async with (
        server(http1) as port,
        inspecting(http2=True) as gateway,
        asyncio.timeout(5),
        http2_client(gateway.port, port) as client,
    ):
        first = await client.whole(client.ask(request(port)))
        stream = client.ask(request(port, b"/p", b"POST", (b"te", b"trailers")), end=False)
        await client.send(stream, b"12345", end=True)
        second = await client.whole(stream)

    assert [(one.headers, bytes(one.body)) for one in (first, second)] == [([(b":status", b"200")], b"yes")] * 2
    assert heads == [
        b"GET /g HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port,
        b"POST /p HTTP/1.1\r\nHost: a.test:%d\r\nTransfer-Encoding: chunked\r\n\r\n" % port,
        b"5\r\n12345\r\n0\r\n\r\n",
    ]


async def test_a_client_of_http1_reaches_a_server_that_speaks_both() -> None:
    async def http1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.read()

    async with server(http1) as port, inspecting(http2=True) as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port)
        heard = await heard_of(reader)
        await leave(writer)

    assert heard == OK


async def test_a_client_of_http1_is_told_that_a_server_speaks_only_http2() -> None:
    async with http2_server() as (port, _), inspecting(http2=True) as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port)
        heard = await heard_of(reader)
        await leave(writer)

    assert heard.startswith(b"HTTP/1.1 502")


async def test_what_a_client_gives_up_is_given_up_at_the_server() -> None:
    async def never(peer: Peer, stream: int) -> None:
        await peer.whole(stream)

    async with (
        http2_server(never) as (port, peers),
        inspecting(http2=True) as gateway,
        asyncio.timeout(5),
        http2_client(gateway.port, port) as client,
    ):
        stream = client.ask(request(port, b"/p", b"POST"), end=False)
        while not (peers and peers[0].messages):
            await asyncio.sleep(0.005)
        client.reset(stream)
        message = await peers[0].whole(1)

    assert message.code == ErrorCodes.CANCEL


async def test_how_a_server_gives_up_reaches_the_client() -> None:
    async def refusing(peer: Peer, stream: int) -> None:
        peer.reset(stream, ErrorCodes.REFUSED_STREAM)

    async with (
        http2_server(refusing) as (port, _),
        inspecting(http2=True) as gateway,
        asyncio.timeout(5),
        http2_client(gateway.port, port) as client,
    ):
        message = await client.whole(client.ask(request(port)))

    assert (message.code, message.headers) == (ErrorCodes.REFUSED_STREAM, [])


async def test_a_server_that_goes_away_finishes_what_it_took_and_another_connection_takes_the_rest() -> None:
    async def leaving(peer: Peer, stream: int) -> None:
        if peer is peers[0] and stream == 1:
            peer.writer.write(goaway(1))
        await echo(peer, stream)

    async with (
        http2_server(leaving) as (port, peers),
        inspecting(http2=True) as gateway,
        asyncio.timeout(5),
        http2_client(gateway.port, port) as client,
    ):
        long = client.ask(request(port, b"/long", b"POST"), end=False)
        while not (peers and peers[0].messages):
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)
        second = await client.whole(client.ask(request(port, b"/second")))
        await client.send(long, b"12345", end=True)
        first = await client.whole(long)

    assert (first.status, bytes(first.body), second.status) == (b"200", b"12345", b"200")
    assert [[one.value(b":path") for one in peer.messages.values()] for peer in peers] == [[b"/long"], [b"/second"]]


@pytest.mark.slow
async def test_a_slow_reader_stops_its_server_and_nobody_else() -> None:
    async def pouring(peer: Peer, stream: int) -> None:
        peer.answer(stream, [(b":status", b"200")])
        if peer.messages[stream].value(b":path") == b"/quick":
            return await peer.send(stream, b"quick", end=True)
        for _ in range(400):
            await peer.send(stream, b"x" * 16_384)
            poured.append(16_384)
        return await peer.send(stream, b"", end=True)

    poured: list[int] = []
    async with (
        http2_server(pouring) as (port, _),
        inspecting(http2=True) as gateway,
        asyncio.timeout(20),
        http2_client(gateway.port, port) as client,
    ):
        client.takes = False
        slow = client.ask(request(port, b"/slow"))
        settled = -1
        while settled != len(poured):
            settled = len(poured)
            await asyncio.sleep(0.2)
        client.takes = True
        client.h2.increment_flow_control_window(65_535)
        client.flush()
        stream = client.ask(request(port, b"/quick"))
        answer = await client.whole(stream)
        before = sum(poured)
        client.h2.increment_flow_control_window(400 * 16_384, slow)
        client.h2.increment_flow_control_window(400 * 16_384)
        client.flush()
        message = await client.whole(slow)

    assert (bytes(answer.body), len(message.body)) == (b"quick", 400 * 16_384)
    assert before < 1_500_000


async def test_requests_wait_for_each_other_where_each_needs_a_connection() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        while await reader.readuntil(b"\r\n\r\n"):
            open_now.append(writer)
            most = max(most, len(open_now))
            await asyncio.sleep(0.01)
            open_now.pop()
            writer.write(OK)

    most, open_now = 0, list[asyncio.StreamWriter]()
    async with (
        server(slow) as port,
        inspecting(http2=True) as gateway,
        asyncio.timeout(10),
        http2_client(gateway.port, port) as client,
    ):
        messages = [await client.whole(stream) for stream in [client.ask(request(port)) for _ in range(40)]]
        client.writer.close()
        await gateway.idle()

    assert [one.status for one in messages] == [b"200"] * 40
    assert most == 8


async def test_only_so_many_clients_speak_http2() -> None:
    limits = Limits(http2_connections=1)
    async with (
        http2_server(protocols=("h2", "http/1.1")) as (port, _),
        inspecting(http2=True, limits=limits) as gateway,
        asyncio.timeout(5),
    ):
        async with http2_client(gateway.port, port):
            context = inside()
            context.set_alpn_protocols(["h2", "http/1.1"])
            _, writer = await tunnel(gateway.port, port, context=context)
            chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
            await leave(writer)
        await gateway.idle()
        async with http2_client(gateway.port, port) as client:
            answer = await client.whole(client.ask(request(port)))

    assert (chosen, answer.status) == ("http/1.1", b"200")


def wire(gateway: Running) -> Wire:
    """What the gateway speaks with its only client through."""
    (stage,) = gateway.gateway._core.open
    assert isinstance(stage, InspectedHttp2)
    return stage.wire


@pytest.mark.slow
async def test_streams_that_nobody_reads_do_not_fill_the_memory() -> None:
    async def pouring(peer: Peer, stream: int) -> None:
        peer.answer(stream, [(b":status", b"200")])
        await peer.send(stream, b"x" * (40 * 65_536))
        poured.append(stream)

    poured: list[int] = []
    async with (
        http2_server(pouring) as (port, _),
        inspecting(http2=True) as gateway,
        asyncio.timeout(20),
        http2_client(gateway.port, port, window=0) as client,
    ):
        for _ in range(60):
            client.ask(request(port))
        settled, waiting = -1, 0
        while settled != waiting or not waiting:
            settled = waiting
            await asyncio.sleep(0.3)
            waiting = sum(stream.waiting for stream in wire(gateway).streams.values())

    assert poured == []
    assert MOST_WAITING < waiting < 3 * MOST_WAITING


@pytest.mark.slow
async def test_a_client_without_requests_is_told_goodbye_whatever_else_it_says() -> None:
    async def pinging(client: Peer) -> None:
        while not client.over.is_set():
            client.h2.ping(b"12345678")
            client.flush()
            await asyncio.sleep(0.05)

    async with (
        http2_server() as (port, _),
        inspecting(http2=True, limits=Limits(idle_seconds=1.5)) as gateway,
        asyncio.timeout(30),
        http2_client(gateway.port, port) as client,
        asyncio.TaskGroup() as group,
    ):
        answers = []
        for _ in range(8):
            await asyncio.sleep(0.25)
            answers.append(await client.whole(client.ask(request(port))))
        group.create_task(pinging(client))
        await client.over.wait()

    assert [one.status for one in answers] == [b"200"] * 8
    assert client.farewell is not None
    assert client.farewell.error_code == ErrorCodes.NO_ERROR


@pytest.mark.slow
async def test_a_client_that_reads_nothing_is_not_waited_for() -> None:
    async def pouring(peer: Peer, stream: int) -> None:
        peer.answer(stream, [(b":status", b"200")])
        await peer.send(stream, b"x" * 100_000, end=True)

    closed: list[ConnectionClosed] = []
    async with (
        http2_server(pouring) as (port, _),
        inspecting(http2=True, limits=Limits(half_closed_seconds=0.4), on_closed=closed.append) as gateway,
        asyncio.timeout(10),
        http2_client(gateway.port, port, window=10) as client,
    ):
        client.takes = False
        client.ask(request(port))
        await client.over.wait()
        await gateway.idle()

    assert [one.error for one in closed] == ["the client does not read its answer"]
