"""Bytes through the gateway are the same bytes, in order, both ways, whatever the two sides do.

Eighty peers at once with random chunks, half closes and pauses, hashes compared both ways. It is the first test of the
data path: an edge-triggered engine can stall or reorder in ways that every measurement of throughput passes.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
from functools import partial

import pytest
from tests.egress.gatewaying import allow_loopback, gateway_on

PEERS = 84
SMALL = (1, 90, 700, 1460, 3000)
LARGE = (1, 1460, 16384, 16385, 300_000)
BLOB = random.Random(7).randbytes(1 << 20)


async def _origin(seed: random.Random, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads two numbers; sends that many bytes while it reads that many, and ends with the hash of what it read."""
    down, up = int(await reader.readline()), int(await reader.readline())
    sizes = seed.choice([SMALL, LARGE])
    got = hashlib.sha256()

    async def receive() -> None:
        left = up
        while left:
            data = await reader.read(min(left, seed.choice([100, 3000, 65536, 1 << 18])))
            if not data:
                return
            got.update(data)
            left -= len(data)
            if seed.random() < 0.02:
                await asyncio.sleep(seed.random() * 0.01)

    async def send() -> None:
        left = down
        while left:
            size = min(left, seed.choice(sizes))
            writer.write(BLOB[:size])
            await writer.drain()
            left -= size

    async with asyncio.TaskGroup() as group:
        group.create_task(receive())
        group.create_task(send())
    writer.write(got.digest())
    writer.write_eof()
    await reader.read()
    writer.close()


async def _client(port: int, *, narrow: bool) -> socket.socket:
    """A connection; a narrow one takes so little at once that the gateway has to wait for it."""
    sock = socket.socket()
    if narrow:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return sock


async def _peer(number: int, proxy: int, origin: int) -> tuple[int, int]:
    """One client: what it received has the right length, and the hash that the origin sends is of what it sent."""
    seed = random.Random(number)
    down, up = seed.choice([0, 10, 5000, 300_000, 2_000_000]), seed.choice([0, 1, 20_000, 1_000_000])
    sizes = seed.choice([SMALL, LARGE])
    reader, writer = await asyncio.open_connection(sock=await _client(proxy, narrow=number % 4 == 1), limit=1 << 14)
    numbers = b"%d\n%d\n" % (down, up)
    early = number % 2 == 0
    request = b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % origin
    writer.write(request + numbers if early else request)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    if not early:
        writer.write(numbers)
    sent = hashlib.sha256()

    async def send() -> None:
        left = up
        while left:
            size = min(left, seed.choice(sizes))
            sent.update(BLOB[:size])
            writer.write(BLOB[:size])
            await writer.drain()
            left -= size
        if number % 3 == 0:
            writer.write_eof()

    async def receive() -> bytes:
        data = bytearray()
        while part := await reader.read(seed.choice([512, 16384, 1 << 18])):
            data += part
            if seed.random() < 0.02:
                await asyncio.sleep(seed.random() * 0.015)
        return bytes(data)

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        received = group.create_task(receive())
    writer.close()
    data = received.result()
    assert len(data) == down + 32
    assert data[-32:] == sent.digest()
    return down + 32, up + len(numbers)


@pytest.mark.slow
async def test_bytes_are_the_same_on_both_sides_whatever_the_peers_do() -> None:
    closed = []
    origin = await asyncio.start_server(partial(_origin, random.Random(3)), "127.0.0.1", 0)
    async with gateway_on("proxy", allow_loopback, on_closed=closed.append) as gateway, asyncio.timeout(60):
        port = origin.sockets[0].getsockname()[1]

        async with asyncio.TaskGroup() as group:
            peers = [group.create_task(_peer(number, gateway.port, port)) for number in range(PEERS)]
        await gateway.idle()

    origin.close()
    assert sorted((event.received_bytes, event.sent_bytes) for event in closed) == sorted(p.result() for p in peers)
    assert {event.error for event in closed} == {""}
