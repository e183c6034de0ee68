"""Shows a port of the sandbox on the host's loopback, so that a server inside can be looked at: each connection is
judged by its first bytes and carried. Listens nowhere but at `127.0.0.1` and `::1`."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Awaitable, Callable

from ringfence.model.event import WayUsed
from ringfence.model.ports import Recorder
from ringfence.model.situations import SandboxUnavailable
from ringfence.policy.effective import PublishedPort
from ringfence.session.ways.published import Kind, judge
from ringfence.session.ways.relay import pump

Connect = Callable[[int], Awaitable[socket.socket]]
_PART = 1 << 16
_HEAD_SECONDS = 30.0


def listen(port: PublishedPort) -> tuple[socket.socket, ...]:
    """The listening sockets of a published port; `SandboxUnavailable` where somebody has it already."""
    made: list[socket.socket] = []
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            made.append(_bound(family, address, port.host))
        except OSError as error:
            if family == socket.AF_INET6 and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                continue
            for each in made:
                each.close()
            why = (
                "somebody listens there" if error.errno == errno.EADDRINUSE else (error.strerror or str(error)).lower()
            )
            raise SandboxUnavailable(
                f"port {port.host} of this machine cannot be published: {why}",
                remedy=f"publish it under another number: `--publish {_other(port.host)}:{port.inside}`",
            ) from error
    return tuple(made)


def _bound(family: int, address: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
        made.listen(128)
    except BaseException:
        made.close()
        raise
    return made


def _other(port: int) -> int:
    return port + 1 if port < 65535 else 8080


class Publisher:
    """Answers the connections to one published port."""

    def __init__(self, port: PublishedPort, connect: Connect, recorder: Recorder) -> None:
        self._port = port
        self._connect = connect
        self._recorder = recorder

    async def answer(self, client: socket.socket) -> None:
        """Carry one connection."""
        try:
            inside = await self._connect(self._port.inside)
        except ConnectionRefusedError as refused:
            await self._say(client, str(refused))
            return
        with inside:
            # Some protocols begin with the server, so its bytes go out at once; the client's wait for the verdict.
            async with asyncio.TaskGroup() as tasks:
                answering = tasks.create_task(pump(inside, client))
                if not await self._carry(client, inside):
                    answering.cancel()

    async def _carry(self, client: socket.socket, inside: socket.socket) -> bool:
        loop = asyncio.get_running_loop()
        data = b""
        while True:
            part = await loop.sock_recv(client, _PART) if not data else await self._more(client)
            data += part
            judged = judge(data, ended=not part)
            if judged.kind is Kind.REFUSE:
                self._record(judged.why)
                await loop.sock_sendall(client, judged.answer)
                return False
            if judged.kind is Kind.PASS:
                await pump(client, inside, data)
                return True

    async def _more(self, client: socket.socket) -> bytes:
        async with asyncio.timeout(_HEAD_SECONDS):
            return await asyncio.get_running_loop().sock_recv(client, _PART)

    async def _say(self, client: socket.socket, text: str) -> None:
        body = f"ringfence: {text}\n".encode()
        head = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nConnection: close\r\n"
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError, OSError):
            # An answer before the request would be taken for one to another request.
            async with asyncio.timeout(1):
                await loop.sock_recv(client, _PART)
            await loop.sock_sendall(client, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def _record(self, why: str) -> None:
        self._recorder.record_soon(WayUsed(way="publish", what=f"port {self._port.host}", allowed=False, reason=why))
