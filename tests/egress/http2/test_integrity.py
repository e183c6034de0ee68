"""Bodies on many streams at once are the same bytes, both ways, whatever the two sides do.

Frames of all lengths, pauses, small windows, readers that stop, answers that come before the request is complete, and
requests that are given up in their middle.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from functools import partial

import pytest
from tests.egress.http2.speaking import Message, Peer, http2_client, http2_server, request
from tests.egress.inspecting import inspecting, server
from tests.egress.test_inspected_integrity import BLOB, origin

from ringfence.model.event import ConnectionClosed

CLIENTS = 6
STREAMS = 10
FRAMES = (700, 1460, 16_384, 16_384)


async def send(peer: Peer, stream: int, size: int, seed: random.Random, *, end: bool) -> bytes:
    """Sends that many bytes; their hash."""
    sent, left, most = hashlib.sha256(), size, seed.choice(FRAMES)
    while left:
        piece = BLOB[: min(left, seed.choice((1, 700, 40_000, 300_000)))]
        sent.update(piece)
        left -= len(piece)
        await peer.send(stream, piece, most=most)
        if seed.random() < 0.05:
            await asyncio.sleep(seed.random() * 0.01)
    if end:
        await peer.send(stream, b"", end=True)
    return sent.digest()


async def pausing(peer: Peer, seed: random.Random) -> None:
    """Makes room for what comes only now and then."""
    peer.takes = False
    while not peer.over.is_set():
        await asyncio.sleep(seed.random() * 0.01)
        peer.catch_up()
        peer.flush()


async def digesting(seed: random.Random, peer: Peer, stream: int) -> None:
    """Answers as many bytes as the path says, before or behind the request; the hashes of both are in the trailers."""
    message = peer.messages[stream]
    _, _, size, early = message.value(b":path").split(b"/")
    if early == b"0":
        await message.ended.wait()
    peer.answer(stream, [(b":status", b"200")])
    sent = await send(peer, stream, int(size), seed, end=False)
    await message.ended.wait()
    if message.code is None:
        received = hashlib.sha256(message.body).hexdigest().encode()
        peer.answer(stream, [(b"x-sent", sent.hex().encode()), (b"x-received", received)], end=True)


async def call(peer: Peer, port: int, number: int, seed: random.Random) -> tuple[bytes, int, Message]:
    """One request: the hash of what was sent, how long the answer has to be, and the answer."""
    down, up = seed.choice([0, 10, 5000, 100_000, 400_000]), seed.choice([0, 1, 20_000, 300_000])
    path = b"/%d/%d/%d" % (number, down, seed.random() < 0.5)
    head = request(port, path, b"POST", *(((b"content-length", b"%d" % up),) if seed.random() < 0.5 else ()))
    stream = peer.ask(head, end=False)
    sent = await send(peer, stream, up, seed, end=True)
    message = await peer.whole(stream)
    return sent, down, message


async def giving_up(peer: Peer, port: int, number: int, seed: random.Random) -> None:
    """A request that ends in its middle."""
    stream = peer.ask(request(port, b"/%d/300000/1" % number, b"POST"), end=False)
    await send(peer, stream, seed.choice([1, 30_000]), seed, end=False)
    await peer.messages[stream].begun.wait()
    peer.reset(stream)


async def client(number: int, proxy: int, port: int) -> None:
    seed = random.Random(number)
    window = seed.choice([2000, 16_384, 65_535, 1 << 20])
    async with http2_client(proxy, port, window=window) as peer, asyncio.TaskGroup() as group:
        async with asyncio.TaskGroup() as calls:
            if number % 3 == 1:
                group.create_task(pausing(peer, seed))
            made = [calls.create_task(call(peer, port, one, seed)) for one in range(STREAMS)]
            for one in range(3):
                calls.create_task(giving_up(peer, port, one, seed))
        for one in made:
            sent, down, message = one.result()
            assert (message.status, len(message.body)) == (b"200", down)
            assert message.trailers == [
                (b"x-sent", hashlib.sha256(message.body).hexdigest().encode()),
                (b"x-received", sent.hex().encode()),
            ]
        peer.writer.close()


@pytest.mark.slow
async def test_streams_are_the_same_on_both_sides_whatever_the_peers_do() -> None:
    closed: list[ConnectionClosed] = []
    seed = random.Random(3)
    async with (
        http2_server(partial(digesting, seed)) as (port, _),
        inspecting(http2=True, on_closed=closed.append) as gateway,
    ):
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(client(number, gateway.port, port))
        await gateway.idle()

    assert {event.error for event in closed} == {""}
    assert len(closed) == CLIENTS


async def client_of_http1(number: int, proxy: int, port: int) -> None:
    seed = random.Random(number)
    async with http2_client(proxy, port) as peer:

        async def one(turn: int) -> None:
            down, up = seed.choice([0, 10, 5000, 300_000]), seed.choice([0, 1, 20_000, 300_000])
            name = b"%d.%d" % (number, turn)
            path = b"/%b/%d/%d/%d" % (name, down, seed.random() < 0.5, seed.random() < 0.5)
            head = request(port, path, b"POST", *(((b"content-length", b"%d" % up),) if seed.random() < 0.5 else ()))
            stream = peer.ask(head, end=False)
            sent = await send(peer, stream, up, seed, end=True)
            message = await peer.whole(stream)
            digest = await peer.whole(peer.ask(request(port, b"/" + name)))
            assert (message.status, len(message.body), bytes(digest.body)) == (b"200", down, sent)

        async with asyncio.TaskGroup() as calls:
            for turn in range(STREAMS):
                calls.create_task(one(turn))


@pytest.mark.slow
async def test_streams_are_the_same_where_the_server_speaks_only_http1() -> None:
    closed: list[ConnectionClosed] = []
    async with (
        server(partial(origin, random.Random(3), {})) as port,
        inspecting(http2=True, on_closed=closed.append) as gateway,
    ):
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(client_of_http1(number, gateway.port, port))
        await gateway.idle()

    assert {event.error for event in closed} == {""}
