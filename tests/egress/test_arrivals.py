"""Connections that arrive one by one, from a sandbox without a network of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
from tests.egress.gatewaying import LOOPBACK, Names, answer

from ringfence.egress import Authorization, Cancel, Gateway
from ringfence.model.action import ConnectAction

_QUERY = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x01\x00\x01"


async def arrive(kind: Callable[[int], str], say: bytes) -> tuple[list[tuple[str, str, int]], bytes]:
    """What is asked about an arrived connection, and what comes back; the server answers with `served`."""
    asked: list[tuple[str, str, int]] = []

    def authorize(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        asked.append((origin, action.host, action.port))
        done(answer(action, declared=LOOPBACK))
        return lambda: None

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"served")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    gateway = Gateway(authorize, resolver=Names({}))
    ours, theirs = connected()
    try:
        gateway.arrive(kind(port), theirs)
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(ours, say)
        async with asyncio.timeout(5):
            return asked, await loop.sock_recv(ours, 1000)
    finally:
        ours.close()
        gateway.close()
        server.close()


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        return ours, listener.accept()[0]


@pytest.mark.parametrize(
    ("kind", "origin"),
    [("capture4 127.0.0.1 {}", "capture4"), ("host:{}", "host_port:{}")],
)
async def test_a_connection_goes_where_it_was_meant_to_go(kind: str, origin: str) -> None:
    used: list[int] = []

    def named(port: int) -> str:
        used.append(port)
        return kind.format(port)

    asked, data = await arrive(named, b"PING\r\n")

    assert (len(asked), data) == (1, b"served")
    assert asked[0][0] == origin.format(used[0])
    assert asked[0][2] == used[0]


async def test_an_address_that_stands_for_no_name_is_refused() -> None:
    asked, data = await arrive(lambda port: f"capture4 198.18.0.77 {port}", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert asked == []
    assert b"198.18.0.77" in data


async def test_packets_are_answered_one_by_one_until_their_client_goes() -> None:
    gateway = Gateway(lambda *_: lambda: None, resolver=Names({}))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    gateway.arrive("dns_packets", theirs)
    ours.setblocking(False)
    loop = asyncio.get_running_loop()
    for _ in range(2):
        ours.send(_QUERY)
        async with asyncio.timeout(5):
            reply = await loop.sock_recv(ours, 1000)
        assert reply[:2] == b"\x12\x34"
        assert reply[6:8] == b"\x00\x01"
    ours.send(b"no query")
    ours.close()
    async with asyncio.timeout(5):
        while theirs.fileno() >= 0:
            await asyncio.sleep(0)
    gateway.close()


async def test_nothing_is_taken_by_a_gateway_that_is_closed() -> None:
    gateway = Gateway(lambda *_: lambda: None, resolver=Names({}))
    gateway.close()
    ours, theirs = connected()

    gateway.arrive("proxy", theirs)

    assert theirs.fileno() == -1
    assert ours.recv(1) == b""
    ours.close()
