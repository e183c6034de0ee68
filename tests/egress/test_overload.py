"""Too many clients, no descriptors, slow readers, a gateway that is killed: nobody hangs, and nothing opens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from tests.egress.gatewaying import allow_loopback, gateway_on, listening

from ringfence.egress import socks
from ringfence.egress.limits import Limits
from ringfence.model.event import LimitReached

ONE = Limits(connections=1, linger_seconds=0.2)


@pytest.fixture
def arrived() -> asyncio.Queue[bytes]:
    """Has something for each client of the server."""
    return asyncio.Queue()


@pytest.fixture
async def origin(arrived: asyncio.Queue[bytes]) -> AsyncIterator[int]:
    """A server that says `hello` and repeats what it hears."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.put_nowait(b"")
        writer.write(b"hello")
        with contextlib.suppress(ConnectionResetError):
            while (data := await reader.read(65536)) and data != b"\0bye":
                writer.write(data)
        writer.close()

    sock = listening()
    server = await asyncio.start_server(serve, sock=sock)
    yield sock.getsockname()[1]
    server.close()


async def tunnel(port: int, origin: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"CONNECT 127.0.0.1:{origin} HTTP/1.1\r\nHost: 127.0.0.1:{origin}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(5)
    return reader, writer


async def says(port: int, first: bytes) -> bytes:
    """What a client hears that says this."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b"reset"
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("first", "heard"),
    [
        (b"CONNECT a.test:443 HTTP/1.1\r\n\r\n", b"HTTP/1.1 503 Service Unavailable"),
        (b"\x05\x01\x00", socks.CHOSEN + socks.reply(socks.FAILED)),
        (b"", b"HTTP/1.1 503 Service Unavailable"),
    ],
)
async def test_one_client_too_many_is_told_in_its_own_words(origin: int, first: bytes, heard: bytes) -> None:
    reached: list[LimitReached] = []
    async with gateway_on("proxy", allow_loopback, limits=ONE, on_limit=reached.append) as gateway:
        reader, writer = await tunnel(gateway.port, origin)

        told = await says(gateway.port, first)

        writer.write(b"\0till here")
        assert await reader.readexactly(10) == b"\0till here"
        writer.close()
    assert told.startswith(heard)
    assert reached == [
        LimitReached(
            limit="connections",
            allowed=1,
            seen=2,
            outcome="refused",
            keeper="gateway",
            program="",
            layer="built-in",
            source="gateway",
        )
    ]


async def test_a_captured_client_too_many_is_told_as_well(origin: int) -> None:
    async with gateway_on("proxy", allow_loopback, limits=ONE) as gateway:
        _, writer = await tunnel(gateway.port, origin)
        heard = []
        for first in (b"\x16\x03\x01", b"GET / HTTP/1.1\r\n", b"SSH-2.0-x\r\n", b"\x00other"):
            ours, theirs = socket.socketpair()
            gateway.gateway.arrive(f"capture4 127.0.0.1 {origin}", theirs)
            ours.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(ours, first)
            try:
                heard.append(await asyncio.wait_for(loop.sock_recv(ours, 4096), 5))
            except ConnectionResetError:
                heard.append(b"")
            ours.close()
        writer.close()

    assert [one[:8] for one in heard] == [b"\x15\x03\x03\0\x02\x02\x31", b"HTTP/1.1", b"SSH-2.0-", b""]


async def test_a_flood_of_clients_too_many_makes_one_event_and_no_queue(origin: int) -> None:
    reached: list[LimitReached] = []
    async with gateway_on("proxy", allow_loopback, limits=ONE, on_limit=reached.append) as gateway:
        _, writer = await tunnel(gateway.port, origin)

        async with asyncio.TaskGroup() as clients:
            request = b"GET http://a.test/ HTTP/1.1\r\n\r\n"
            asked = [clients.create_task(says(gateway.port, request)) for _ in range(400)]
        told = [one.result() for one in asked]

        writer.close()
        await gateway.idle()
    assert {one[:12] for one in told} <= {b"HTTP/1.1 503", b"reset"}
    assert len(reached) == 1


@pytest.mark.slow
async def test_without_descriptors_those_who_wait_are_turned_away_and_the_open_ones_go_on(origin: int) -> None:
    reached: list[LimitReached] = []
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with gateway_on("proxy", allow_loopback, on_limit=reached.append) as gateway:
        reader, writer = await tunnel(gateway.port, origin)
        waiting = [socket.socket() for _ in range(3)]
        taken = []
        try:
            # From here on no number above those in use is given out.
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, before[1]))
            with pytest.raises(OSError):
                while True:
                    taken.append(os.dup(0))
            for each in waiting:
                each.setblocking(False)
                await asyncio.get_running_loop().sock_connect(each, ("127.0.0.1", gateway.port))
            heard = [await _reads(each) for each in waiting]
            writer.write(b"\0till here")
            said = await reader.readexactly(10)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for descriptor in taken:
                os.close(descriptor)
            for each in waiting:
                each.close()
        again = await says(gateway.port, f"CONNECT 127.0.0.1:{origin} HTTP/1.1\r\n".encode() + b"Host: x\r\n\r\n")
        writer.close()

    assert heard == ["reset"] * 3
    assert said == b"\0till here"
    assert again.startswith(b"HTTP/1.1 ")
    assert [one.limit for one in reached] == ["descriptors"]


async def _reads(sock: socket.socket) -> str:
    try:
        async with asyncio.timeout(10):
            return repr(await asyncio.get_running_loop().sock_recv(sock, 16))
    except ConnectionResetError:
        return "reset"


_KILLED = """
import asyncio, json, socket, sys
from tests.egress.gatewaying import Names, allow_loopback
from ringfence.egress import Gateway

async def main():
    control = socket.socket(fileno=0)
    names, descriptors, _, _ = socket.recv_fds(control, 4096, 32)
    gateway = Gateway(allow_loopback, resolver=Names({"api.test": ("127.0.0.1",)}))
    gateway.serve(dict(zip(json.loads(names), (socket.socket(fileno=one) for one in descriptors), strict=True)))
    control.send(b"ready")
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_gateway_that_is_killed_leaves_no_network_inside(origin: int, arrived: asyncio.Queue[bytes]) -> None:
    control, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    outside, given = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    inside = subprocess.Popen([sys.executable, "-m", "tests.egress.inside"], stdin=child, env=environment)
    gateway = subprocess.Popen([sys.executable, "-c", _KILLED], stdin=given, env=environment)
    for one in (child, given):
        one.close()
    for one in (control, outside):
        one.settimeout(20)
    control.send(json.dumps([]).encode())
    names, descriptors, _, _ = socket.recv_fds(control, 4096, 32)
    socket.send_fds(outside, [names], descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    assert outside.recv(16) == b"ready"

    async def attempt(what: str, **arguments: object) -> str:
        control.send(json.dumps({"do": what, **arguments}).encode())
        return str(json.loads(await asyncio.to_thread(control.recv, 1 << 20)))

    before = await attempt("talk", host="api.test", port=origin, say="\0bye", name=True)
    await arrived.get()
    async with asyncio.TaskGroup() as tasks:
        held = tasks.create_task(attempt("talk", host="api.test", port=origin, name=True))
        await arrived.get()
        gateway.send_signal(signal.SIGKILL)
        gateway.wait(10)
    after = [
        await attempt("talk", host="127.0.0.1", port=origin, say="x"),
        await attempt("talk", host="93.184.216.34", port=443, say="x"),
        await attempt("resolve", name="api.test"),
    ]
    control.close()
    outside.close()
    inside.wait(10)

    assert before.startswith("hello")
    assert held.result() in ("", "hello", "ConnectionResetError: Connection reset by peer")
    assert after == ["ConnectionRefusedError: Connection refused"] * 2 + [after[2]]
    assert after[2] in ("ConnectionRefusedError: Connection refused", "TimeoutError: timed out")
    assert arrived.empty()


@pytest.mark.slow
async def test_a_thousand_idle_tunnels_and_slow_readers_stop_nobody(origin: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 8192:
        pytest.skip("this process may not have as many descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 8192), hard))
    async with gateway_on("proxy", allow_loopback) as gateway, asyncio.timeout(60):
        idle = [await tunnel(gateway.port, origin) for _ in range(1000)]
        slow = [await tunnel(gateway.port, origin) for _ in range(4)]
        for reader, writer in slow:
            # Nobody reads what comes back: the way is full in both directions.
            reader._transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(bytes(8_000_000))

        reader, writer = await tunnel(gateway.port, origin)
        for count in range(200):
            said = struct.pack(">I", count)
            writer.write(said)
            assert await reader.readexactly(4) == said
        assert gateway.gateway.open_connections == 1005
        for _, one in (*idle, *slow, (reader, writer)):
            one.transport.abort()
        await gateway.idle()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
