"""Bodies through inspected connections are the same bytes, both ways, whatever the two sides do.

Sixty clients at once, each with several requests on one connection: random sizes and framings, pieces of all lengths,
pauses, narrow receivers, answers before the request is complete; hashes compared both ways.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import ssl
from functools import partial

import pytest
from tests.egress.inspecting import inside, inspecting, leave, server

from ringfence.model.event import ConnectionClosed

CLIENTS = 60
REQUESTS = 4
SMALL = (1, 90, 700, 1460, 3000)
LARGE = (1, 1460, 16384, 16385, 300_000)
BLOB = random.Random(7).randbytes(1 << 20)


async def send_body(writer: asyncio.StreamWriter, size: int, seed: random.Random, *, chunked: bool) -> bytes:
    """Sends that many bytes; their hash."""
    sent, left, sizes = hashlib.sha256(), size, seed.choice([SMALL, LARGE])
    while left:
        piece = BLOB[: min(left, seed.choice(sizes))]
        sent.update(piece)
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        await writer.drain()
        left -= len(piece)
        if seed.random() < 0.01:
            await asyncio.sleep(seed.random() * 0.01)
    if chunked:
        writer.write(b"0\r\n\r\n")
    return sent.digest()


async def receive_body(reader: asyncio.StreamReader, head: bytes, seed: random.Random) -> tuple[bytes, int]:
    """The hash and the length of the body behind a head."""
    got, size = hashlib.sha256(), 0

    async def take(left: int) -> None:
        nonlocal size
        while left:
            data = await reader.read(min(left, seed.choice([100, 3000, 65536, 1 << 18])))
            assert data, "the body is cut short"
            got.update(data)
            size += len(data)
            left -= len(data)
            if seed.random() < 0.02:
                await asyncio.sleep(seed.random() * 0.01)

    lowered = head.lower()
    if b"transfer-encoding: chunked" in lowered:
        while length := int((await reader.readuntil(b"\r\n")).strip(), 16):
            await take(length)
            assert await reader.readexactly(2) == b"\r\n"
        assert await reader.readexactly(2) == b"\r\n"
    else:
        await take(int(lowered.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
    return got.digest(), size


async def origin(
    seed: random.Random,
    hashes: dict[bytes, asyncio.Future[bytes]],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Answers each request as its path says: a name, how long the answer has to be, whether it is in chunks, and
    whether it may come early. `/NAME` alone asks for the hash of what was sent under that name."""

    def hash_of(name: bytes) -> asyncio.Future[bytes]:
        return hashes.setdefault(name, asyncio.get_running_loop().create_future())

    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        _, name, *rest = head.split(b" ")[1].split(b"/")
        if not rest:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n" + await hash_of(name))
            continue
        size, chunked, early = int(rest[0]), rest[1] == b"1", rest[2] == b"1"
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % size
        reply = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n"
        if early:
            async with asyncio.TaskGroup() as group:
                received = group.create_task(receive_body(reader, head, seed))
                writer.write(reply)
                group.create_task(send_body(writer, size, seed, chunked=chunked))
            digest, _ = received.result()
        else:
            digest, _ = await receive_body(reader, head, seed)
            writer.write(reply)
            await send_body(writer, size, seed, chunked=chunked)
        hash_of(name).set_result(digest)
        await writer.drain()


async def client(number: int, proxy: int, port: int, context: ssl.SSLContext | None) -> None:
    seed = random.Random(number)
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy, limit=1 << 14 if number % 4 == 1 else 1 << 18)
    writer.write(b"CONNECT a.test:%d HTTP/1.1\r\n\r\n" % port)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    if context is not None:
        await writer.start_tls(context, server_hostname="a.test")
    for turn in range(REQUESTS):
        down, up = seed.choice([0, 10, 5000, 300_000, 1_500_000]), seed.choice([0, 1, 20_000, 800_000])
        chunked = seed.random() < 0.5
        name = b"%d.%d" % (number, turn)
        path = b"/%b/%d/%d/%d" % (name, down, seed.random() < 0.5, seed.random() < 0.5)
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % up
        writer.write(b"POST %b HTTP/1.1\r\nHost: a.test:%d\r\n%b\r\n\r\n" % (path, port, framing))

        async def answer() -> tuple[bytes, int]:
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            return await receive_body(reader, head, seed)

        async with asyncio.TaskGroup() as group:
            sending = group.create_task(send_body(writer, up, seed, chunked=chunked))
            receiving = group.create_task(answer())
        writer.write(b"GET /%b HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % (name, port))
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(32) == sending.result()
        assert receiving.result()[1] == down
    await leave(writer)


@pytest.mark.slow
@pytest.mark.parametrize("secure", [True, False])
async def test_bodies_are_the_same_on_both_sides_whatever_the_peers_do(secure: bool) -> None:
    closed: list[ConnectionClosed] = []
    answers = partial(origin, random.Random(3), {})
    async with server(answers, secure=secure) as port, inspecting(on_closed=closed.append) as gateway:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(client(number, gateway.port, port, inside() if secure else None))
        await gateway.idle()

    assert {event.error for event in closed} == {""}
    assert len(closed) == CLIENTS
