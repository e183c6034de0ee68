"""Servers that break, or break the protocol: the client is told, and nothing of it is taken for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, Frame, HeadersFrame, PingFrame, PushPromiseFrame, SettingsFrame
from tests.egress.http2.speaking import Message, Peer, http2_client, http2_server, request
from tests.egress.inspecting import inspecting
from tests.egress.test_inspected_steps import UNSURE

from ringfence.egress.http2.frames import MOST
from ringfence.egress.inspection import Held, Steps

Answers = Callable[[Peer, int], Awaitable[None]]


async def asked(answers: Answers) -> tuple[Message, Message]:
    """What a client hears, first from a server that does something wrong, then again."""
    async with (
        http2_server(answers) as (port, _),
        inspecting(http2=True) as gateway,
        asyncio.timeout(10),
        http2_client(gateway.port, port) as client,
    ):
        return await client.whole(client.ask(request(port, b"/wrong"))), await client.whole(client.ask(request(port)))


def writing(*make: Callable[[Peer, int], Frame]) -> Answers:
    """A server that writes frames nobody expects; to any other request it answers as it should."""

    async def answers(peer: Peer, stream: int) -> None:
        if peer.messages[stream].value(b":path") != b"/wrong":
            peer.answer(stream, [(b":status", b"204")], end=True)
            return
        peer.writer.write(b"".join(one(peer, stream).serialize() for one in make))
        await peer.over.wait()

    return answers


def head(*fields: tuple[bytes, bytes], end: bool = False) -> Callable[[Peer, int], Frame]:
    """The head of an answer."""
    flags = ["END_HEADERS", *(["END_STREAM"] if end else [])]
    return lambda peer, stream: HeadersFrame(stream, peer.h2.encoder.encode(list(fields)), flags=flags)


def data(content: bytes, *, end: bool = False) -> Callable[[Peer, int], Frame]:
    """Some of its body."""
    return lambda _, stream: DataFrame(stream, content, flags=["END_STREAM"] if end else [])


def pushed(peer: Peer, stream: int) -> Frame:
    """A request that nobody made."""
    block = peer.h2.encoder.encode(
        [(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a")]
    )
    return PushPromiseFrame(stream, 2, block, flags=["END_HEADERS"])


GOOD = (b":status", b"200")
WRONG = {
    "no status": [head((b"x", b"y"), end=True)],
    "a status that is none": [head((b":status", b"abc"), end=True)],
    "a switch of protocols": [head((b":status", b"101"), end=True)],
    "a pseudo-header of requests": [head(GOOD, (b":path", b"/"), end=True)],
    "a connection header": [head(GOOD, (b"connection", b"x"), end=True)],
    "a line in a value": [head(GOOD, (b"x", b"y\r\nz: a"), end=True)],
    "upper case": [head(GOOD, (b"X", b"y"), end=True)],
    "two lengths": [head(GOOD, (b"content-length", b"2"), (b"content-length", b"3")), data(b"12", end=True)],
    "a push": [pushed],
    "data without a head": [data(b"12", end=True)],
    "pings without end": [lambda *_: PingFrame(0, b"12345678")] * (2 * MOST),
    "settings without end": [lambda *_: SettingsFrame(0)] * MOST,
    "interims without end": [head((b":status", b"103"))] * 40,
}


@pytest.mark.parametrize("frames", WRONG.values(), ids=WRONG)
async def test_what_is_no_answer_is_told_as_an_error(frames: list[Callable[[Peer, int], Frame]]) -> None:
    wrong, again = await asked(writing(*frames))

    assert wrong.status == b"502" or wrong.code == ErrorCodes.INTERNAL_ERROR
    assert again.status == b"204"


@pytest.mark.parametrize(
    "frames",
    [
        [head(GOOD, (b"content-length", b"5")), data(b"12", end=True)],
        [head(GOOD, (b"content-length", b"1")), data(b"12", end=True)],
    ],
    ids=["shorter", "longer"],
)
async def test_an_answer_of_another_length_is_not_taken_for_complete(
    frames: list[Callable[[Peer, int], Frame]],
) -> None:
    wrong, again = await asked(writing(*frames))

    assert wrong.status == b"502" or wrong.code == ErrorCodes.INTERNAL_ERROR
    assert again.status == b"204"


@pytest.mark.parametrize("begun", [False, True])
async def test_a_connection_that_breaks_ends_its_requests_and_the_next_one_gets_another(*, begun: bool) -> None:
    async def breaking(peer: Peer, stream: int) -> None:
        if peer.messages[stream].value(b":path") == b"/wrong":
            if begun:
                peer.answer(stream, [GOOD])
                await peer.send(stream, b"some")
            peer.writer.transport.abort()
        else:
            peer.answer(stream, [(b":status", b"204")], end=True)

    wrong, again = await asked(breaking)

    told = (wrong.status, wrong.code)
    assert told == ((b"200", ErrorCodes.INTERNAL_ERROR) if begun else (b"502", None))
    assert again.status == b"204"


async def test_a_server_that_takes_few_streams_gets_few() -> None:
    async def counting(peer: Peer, stream: int) -> None:
        nonlocal most
        most = max(most, peer.h2.open_inbound_streams)
        await asyncio.sleep(0.01)
        peer.answer(stream, [(b":status", b"204")], end=True)

    most = 0
    async with (
        http2_server(counting, streams=3) as (port, peers),
        inspecting(http2=True) as gateway,
        asyncio.timeout(10),
        http2_client(gateway.port, port) as client,
    ):
        first = await client.whole(client.ask(request(port)))
        others = [await client.whole(stream) for stream in [client.ask(request(port)) for _ in range(20)]]

    assert [one.status for one in (first, *others)] == [b"204"] * 21
    assert (most, len(peers)) == (3, 1)


async def test_a_server_that_is_not_there_is_told() -> None:
    async with http2_server() as (port, _):
        """Its port is free again when it is gone."""
    async with (
        inspecting(http2=True) as gateway,
        asyncio.timeout(10),
        http2_client(gateway.port, port) as client,
    ):
        messages = [await client.whole(stream) for stream in [client.ask(request(port)) for _ in range(90)]]

    assert {one.status for one in messages} == {b"502"}


async def test_interim_answers_do_not_pile_up_while_somebody_is_asked() -> None:
    class Asks(Steps):
        def sent(self, data: bytes) -> bytes | Held:
            return Held(decision=UNSURE, data=data)

    async def early(peer: Peer, stream: int) -> None:
        for _ in range(200):
            peer.answer(stream, [(b":status", b"103"), (b"link", b"x" * 4000)])
            await peer.writer.drain()
        await peer.over.wait()

    async with (
        http2_server(early) as (port, peers),
        inspecting(http2=True, amendments=(lambda _: Asks(),), confirm=lambda *_: lambda: None) as gateway,
        asyncio.timeout(5),
        http2_client(gateway.port, port) as client,
    ):
        stream = client.ask(request(port, b"/p", b"POST"), end=False)
        await client.send(stream, b"12345")
        while not peers:
            await asyncio.sleep(0.005)
        await peers[0].over.wait()

        assert not client.over.is_set()
