"""The event loop of the data path: edge-triggered epoll, nested in asyncio.

An epoll descriptor can itself be waited for, so asyncio watches one descriptor and every tunnel is served from that one
callback, without a transport, a future or a task per connection.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Callable

from ringfence.egress.pipes import PipePool

READABLE = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
WRITABLE = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR
HANGUP = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
BROKEN = select.EPOLLHUP | select.EPOLLERR
_EVERYTHING = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_BATCH = 512
_ROUNDS = 4
"""So often events are fetched before the event loop has its turn: where there is much to do, its own work is saved."""
_RESET = struct.pack("ii", 1, 0)

logger = logging.getLogger(__name__)

bare: type[socket.socket] = socket.SocketType  # type: ignore[assignment]
"""A socket with the kernel's operations and no files, which saves two functions each where it is made and closed."""

Handler = Callable[[int], None]
"""Is called with the events of its socket."""


class Engine:
    """Watches sockets and gives pumps their turns. Lives in the event loop that runs when it is made."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.pipes = PipePool()
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._again: deque[Callable[[], None]] = deque()
        self._leaving: list[socket.socket] = []
        self._turning = False
        self._kicked = False
        self._closed = False
        self.loop.add_reader(self._epoll.fileno(), self._turn)

    def watch(self, sock: socket.socket, handler: Handler) -> None:
        """Call `handler` on each edge of the socket, until it is discarded."""
        descriptor = sock.fileno()
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, _EVERYTHING)

    def listen(self, sock: socket.socket, handler: Handler) -> None:
        """Call `handler` as long as connections wait on a listener; level-triggered, so that none is forgotten."""
        descriptor = sock.fileno()
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, select.EPOLLIN)

    def pause(self, sock: socket.socket, seconds: float) -> None:
        """Leave a listener alone for a while, because there is no descriptor for another connection."""
        self._epoll.modify(sock.fileno(), 0)
        self.loop.call_later(seconds, self._resume, sock)

    def handle(self, sock: socket.socket, handler: Handler) -> None:
        """Replace the handler of a watched socket."""
        self._handlers[sock.fileno()] = handler

    def discard(self, sock: socket.socket, *, reset: bool = False) -> None:
        """Forget a socket and close it; with `reset`, so that the other side cannot take it for an orderly end."""
        self._handlers.pop(sock.fileno(), None)
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if self._turning:
            # INVARIANT: no descriptor number is reused within one batch of events, so that an event can never reach
            # the connection that got the number of the one it was meant for.
            self._leaving.append(sock)
        else:
            _close(sock)

    def again(self, turn: Callable[[], None]) -> None:
        """Call `turn` after the others had theirs."""
        self._again.append(turn)
        if not self._turning:
            self._kick()

    def close(self) -> None:
        """Stop watching. The sockets belong to those who gave them."""
        if self._closed:
            return
        self._closed = True
        self.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._handlers.clear()
        self.pipes.close()

    def _resume(self, sock: socket.socket) -> None:
        if not self._closed and sock.fileno() in self._handlers:
            self._epoll.modify(sock.fileno(), select.EPOLLIN)

    def _turn(self) -> None:
        self._kicked = False
        for _ in range(_ROUNDS):
            if self._closed or not self._batch():
                break
        if self._again:
            self._kick()

    def _batch(self) -> bool:
        """Whether there was anything to do."""
        handlers = self._handlers
        self._turning = True
        try:
            batch = self._epoll.poll(0, _BATCH)
            for descriptor, events in batch:
                handler = handlers.get(descriptor)
                if handler is not None:
                    try:
                        handler(events)
                    except Exception:  # noqa: BLE001  one connection's fault must not cost the others their events
                        self._break(handler)
            again = bool(self._again)
            self._run_again()
        finally:
            self._turning = False
            while self._leaving:
                _close(self._leaving.pop())
        return again or bool(batch)

    def _break(self, handler: Handler) -> None:
        """A fault of ours: the connection that met it is closed, and only that one."""
        logger.exception("a connection is closed because of an error in the gateway")
        close = getattr(getattr(handler, "__self__", None), "close", None)
        if close is not None:
            close("an error in the gateway")

    def _run_again(self) -> None:
        for _ in range(len(self._again)):
            self._again.popleft()()

    def _kick(self) -> None:
        if not self._kicked and not self._closed:
            self._kicked = True
            self.loop.call_soon(self._turn)


def _close(sock: socket.socket) -> None:
    """As `sock.close()`, which takes three functions to get there. A second time, there is nothing left to close."""
    descriptor = sock.detach()
    if descriptor >= 0:
        try:  # noqa: SIM105  twice for each connection
            os.close(descriptor)
        except OSError:
            pass  # a reset that came meanwhile: it is closed all the same
