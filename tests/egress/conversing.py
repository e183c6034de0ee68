"""Conversations with a gateway on real sockets: what each side says, and what the other hears."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

import pytest
from tests.egress.gatewaying import LOOPBACK, answer

from ringfence.egress import Authorization, Cancel
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Verdict

CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"
CHOSEN, SUCCEEDED, NOT_ALLOWED = b"\x05\x00", b"\x05\x00\x00\x01" + bytes(6), b"\x05\x02\x00\x01" + bytes(6)


class Side:
    """One end of a conversation."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def says(self, data: bytes) -> None:
        self._writer.write(data)

    async def hears(self, data: bytes) -> None:
        async with asyncio.timeout(30):
            assert await self._reader.readexactly(len(data)) == data

    async def hears_all(self) -> bytes:
        async with asyncio.timeout(30):
            return await self._reader.read()

    async def hears_a_reset(self) -> None:
        async with asyncio.timeout(30):
            with pytest.raises(ConnectionResetError):
                await self._reader.read()

    def finishes(self) -> None:
        self._writer.write_eof()

    def leaves(self) -> None:
        self._writer.close()

    def breaks_off(self) -> None:
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


class Server:
    """A server on loopback; each connection to it is one side of a conversation."""

    def __init__(self, server: asyncio.Server, sides: asyncio.Queue[Side]) -> None:
        self._server = server
        self._sides = sides
        self.port: int = server.sockets[0].getsockname()[1]

    async def answers(self) -> Side:
        async with asyncio.timeout(30):
            return await self._sides.get()

    @property
    def unvisited(self) -> bool:
        return self._sides.empty()


def connect(host: str, port: int) -> bytes:
    return f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()


def socks(host: str, port: int) -> bytes:
    return b"\x05\x01\0\x03" + bytes([len(host)]) + host.encode() + port.to_bytes(2, "big")


class Slow:
    """An authorisation that is answered when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[ConnectAction, str]] = []
        self.cancelled = 0
        self._answers: list[Callable[[Authorization], None]] = []

    def __call__(self, action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        self.asked.append((action, origin))
        self._answers.append(done)
        return self._cancel

    def _cancel(self) -> None:
        self.cancelled += 1

    def says(self, verdict: Verdict) -> None:
        for done in self._answers:
            done(answer(self.asked[-1][0], verdict, declared=LOOPBACK))

    async def is_asked(self, times: int = 1) -> None:
        async with asyncio.timeout(30):
            while len(self.asked) < times:
                await asyncio.sleep(0.005)

    async def is_cancelled(self) -> None:
        async with asyncio.timeout(30):
            while not self.cancelled:
                await asyncio.sleep(0.005)
