"""The terminal that a question borrows: opened anew, in a mode of its own, given back as it was found.

It is the controlling terminal, never the standard streams of a command: what is piped into those cannot answer.
"""

from __future__ import annotations

import asyncio
import os
import select
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

CONTROLLING = "/dev/tty"


class Relay(Protocol):
    """Whoever else draws on the terminal and reads its keys: the session, while an agent owns the screen."""

    def suspend(self) -> None:
        """Stop reading keys and drawing."""
        ...

    def resume(self) -> None:
        """Go on, and have the agent draw its screen anew."""
        ...


class NoRelay:
    """For a terminal that nobody else uses meanwhile."""

    def suspend(self) -> None:
        """Nothing to stop."""

    def resume(self) -> None:
        """Nothing to go on with."""


class TerminalGone(Exception):
    """There is no terminal, or no longer."""


class Screen:
    """An open terminal, without echo and without signals from keys."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()

    async def write(self, text: str) -> None:
        """Write all of a text; lines end with `\\n`."""
        data = text.encode("utf-8", "replace")
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                # Somebody pressed ^S: the deadline of the question goes on.
                await self._ready(self._loop.add_writer, self._loop.remove_writer)
            except OSError as failure:
                raise TerminalGone(f"the terminal went away: {failure.strerror}") from failure

    async def read(self) -> bytes:
        """Whatever was typed, at least one byte."""
        while True:
            await self._ready(self._loop.add_reader, self._loop.remove_reader)
            try:
                data = os.read(self._descriptor, 1024)
            except BlockingIOError:
                continue
            except OSError as failure:
                raise TerminalGone(f"the terminal went away: {failure.strerror}") from failure
            if not data:
                raise TerminalGone("the terminal went away")
            return data

    def discard(self) -> None:
        """Throw away what was typed and not read yet."""
        try:
            termios.tcflush(self._descriptor, termios.TCIFLUSH)
            while select.select([self._descriptor], [], [], 0)[0] and os.read(self._descriptor, 4096):
                pass
        except BlockingIOError:
            pass
        except (OSError, termios.error) as failure:
            raise TerminalGone("the terminal went away") from failure

    async def _ready(self, add: Callable[..., None], remove: Callable[[int], bool]) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()

        def now() -> None:
            if not ready.done():
                ready.set_result(None)

        add(self._descriptor, now)
        try:
            await ready
        finally:
            remove(self._descriptor)


@asynccontextmanager
async def borrowed(path: str, relay: Relay) -> AsyncIterator[Screen]:
    """The terminal for one question. Its mode and its owner get it back, whatever happens."""
    relay.suspend()
    try:
        descriptor = _open(path)
        try:
            before = _quiet(descriptor)
            try:
                yield Screen(descriptor)
            finally:
                _restore(descriptor, before)
        finally:
            os.close(descriptor)
    finally:
        relay.resume()


def _open(path: str) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as failure:
        raise TerminalGone(f"there is no terminal to ask on: {failure.strerror}") from failure
    if _belongs_to_another_job(descriptor):
        os.close(descriptor)
        raise TerminalGone("the terminal belongs to another job; bring the session to the foreground")
    return descriptor


def _belongs_to_another_job(descriptor: int) -> bool:
    # The system would stop us for changing the mode of a terminal that another job has in the foreground.
    try:
        return os.tcgetpgrp(descriptor) != os.getpgrp()
    except OSError:
        # It is not our controlling terminal: there are no jobs of ours on it.
        return False


def _quiet(descriptor: int) -> list[Any]:
    """No echo, no line editing, no signals from keys; returns the mode before."""
    try:
        before = termios.tcgetattr(descriptor)
        mode = termios.tcgetattr(descriptor)
        mode[0] &= ~(termios.IXON | termios.ICRNL | termios.INLCR | termios.IGNCR)
        mode[1] |= termios.OPOST | termios.ONLCR
        mode[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN)
        termios.tcsetattr(descriptor, termios.TCSANOW, mode)
    except termios.error as failure:
        raise TerminalGone("the terminal went away") from failure
    return before


def _restore(descriptor: int, before: list[Any]) -> None:
    # Where the terminal is gone, there is no mode left to restore.
    with suppress(termios.error):
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
