"""Finds the addresses of a name that policy has already allowed: once per connection, with a short memory.

Whether an address may be dialled is decided elsewhere, on exactly the addresses that were found here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import msgspec

from ringfence.model.ports import Clock

_REMEMBER_SECONDS = 5.0
_THREADS = 16
_MOST_REMEMBERED = 4096


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a name."""

    addresses: tuple[str, ...] = ()
    """In the order in which they should be tried."""
    error: str = ""
    """Why there are none."""


class Resolver(Protocol):
    """Finds addresses. A test hands in one that knows a few names."""

    def __call__(self, name: str, done: Callable[[Resolution], None]) -> None:
        """Call `done` exactly once, now or later, in the thread of the event loop."""
        ...

    def close(self) -> None:
        """Let go of what is held; `done` is not called any more."""
        ...


class SystemResolver:
    """The resolver of the machine, with its hosts file and search order, asked in threads of its own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="resolver")
        self._known: dict[str, tuple[float, Resolution]] = {}
        self._waiting: dict[str, list[Callable[[Resolution], None]]] = {}

    def __call__(self, name: str, done: Callable[[Resolution], None]) -> None:
        known = self._known.get(name)
        if known is not None and known[0] > self._clock.monotonic():
            return done(known[1])
        waiting = self._waiting.setdefault(name, [])
        waiting.append(done)
        if len(waiting) == 1:
            future = self._loop.run_in_executor(self._threads, _look_up, name)
            future.add_done_callback(lambda found: self._found(name, found))
        return None

    def close(self) -> None:
        self._waiting.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _found(self, name: str, found: asyncio.Future[Resolution]) -> None:
        waiting = self._waiting.pop(name, [])
        if found.cancelled():
            return
        resolution = found.result()
        if len(self._known) >= _MOST_REMEMBERED:
            self._known.clear()
        if resolution.addresses:
            self._known[name] = (self._clock.monotonic() + _REMEMBER_SECONDS, resolution)
        for done in waiting:
            done(resolution)


def _look_up(name: str) -> Resolution:
    try:
        answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as error:
        words = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return Resolution(error=f"its name cannot be resolved ({words})")
    return Resolution(addresses=tuple(dict.fromkeys(str(answer[4][0]) for answer in answers)))
