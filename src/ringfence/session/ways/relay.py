"""Carries bytes between two sockets, both ways, until both are done. Bytes alone: a descriptor that is sent along with
them is closed by the kernel, because nothing here takes it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

MOST_AT_ONCE = 128
_PART = 1 << 16


async def relay(one: socket.socket, other: socket.socket, *, first: bytes = b"") -> None:
    """Carry until both have said that they are done, or one is gone. `first` was read of `one` already."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pump(one, other, first))
        tasks.create_task(pump(other, one))


async def pump(source: socket.socket, target: socket.socket, first: bytes = b"") -> None:
    """Carry in one direction, and pass the end on."""
    loop = asyncio.get_running_loop()
    data = first
    with contextlib.suppress(OSError):
        while True:
            if data:
                await loop.sock_sendall(target, data)
            data = await loop.sock_recv(source, _PART)
            if not data:
                break
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
    if data:
        # The target is gone: whoever still writes to us has to hear it.
        with contextlib.suppress(OSError):
            source.shutdown(socket.SHUT_RD)


async def serve(listener: socket.socket, answer: Callable[[socket.socket], Awaitable[None]]) -> None:
    """Answer each connection of a listener, until cancelled; then it is closed. A client's trouble is its own."""
    loop = asyncio.get_running_loop()
    # SECURITY: whoever is inside may open connections without end; past the limit they wait, unaccepted.
    places = asyncio.Semaphore(MOST_AT_ONCE)

    async def one(client: socket.socket) -> None:
        with client:
            client.setblocking(False)
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                await answer(client)

    with listener:
        async with asyncio.TaskGroup() as tasks:
            while True:
                await places.acquire()
                if listener.fileno() < 0:  # with the sandbox that it belongs to
                    return
                client, _ = await loop.sock_accept(listener)
                tasks.create_task(one(client)).add_done_callback(lambda _: places.release())


async def connected(path: str) -> socket.socket:
    """A connection to a unix socket of the host."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    made.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(made, path)
    except BaseException:
        made.close()
        raise
    return made


async def receive_exactly(source: socket.socket, size: int) -> bytes:
    """So many bytes; `IncompleteReadError` where the other side ends before."""
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < size:
        part = await loop.sock_recv(source, min(size - len(data), _PART))
        if not part:
            raise asyncio.IncompleteReadError(bytes(data[:16]), size)
        data += part
    return bytes(data)
