"""The relay between the user's terminal and the sandbox's own pseudo-terminal.

The sandbox never holds the user's terminal: what a program inside does to its terminal stays inside, and what it prints
passes through `OutputFilter` on its way out. While somebody is asked a question the relay stands still.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
import tty
from collections.abc import Callable
from contextlib import suppress

from ringfence.session.output_filter import OutputFilter

_CHUNK = 65_536


def window_size(terminal: int) -> tuple[int, int]:
    """Rows and columns of a terminal; 24 by 80 where it does not say."""
    try:
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(terminal, termios.TIOCGWINSZ, b"\0" * 8))
    except OSError:
        return 24, 80
    return rows or 24, columns or 80


def set_window_size(terminal: int, rows: int, columns: int) -> None:
    """Give a pseudo-terminal a size; the programs on it get SIGWINCH where it changed."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class TerminalRelay:
    """Carries bytes both ways between the user's terminal and a pseudo-terminal's master until `stop`."""

    def __init__(self, *, terminal_in: int | None, terminal_out: int, master: int, gone: Callable[[], None]) -> None:
        self._in = terminal_in
        self._out = terminal_out
        self._master = master
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._filter = OutputFilter()
        self._to_master = bytearray()
        self._saved: list[int | list[bytes | int]] | None = None
        self._suspended = False
        self._running = False
        self.entered = 0
        """How often the person has pressed Enter. Nothing inside can do that for them."""

    def start(self) -> None:
        """Take over the terminal."""
        os.set_blocking(self._master, False)
        if self._in is not None:
            self._saved = termios.tcgetattr(self._in)
            with suppress(termios.error):
                termios.tcsetattr(self._master, termios.TCSANOW, self._saved)
        self.resize()
        self._running = True
        self._attach()

    def resize(self) -> None:
        """Pass the size of the user's terminal on."""
        with suppress(OSError):
            set_window_size(self._master, *window_size(self._out))

    def suspend(self) -> None:
        """Stand still, with the terminal as the user had it, while a question is asked."""
        if self._running and not self._suspended:
            self._suspended = True
            self._detach()

    def resume(self) -> None:
        """Go on, and have a full-screen program draw itself anew."""
        if self._running and self._suspended:
            self._suspended = False
            self._attach()
            rows, columns = window_size(self._out)
            with suppress(OSError):
                # A size that changes and changes back is the one request for a redraw that every program understands.
                set_window_size(self._master, max(rows - 1, 1), columns)
                set_window_size(self._master, rows, columns)

    def stop(self) -> None:
        """Show what is still to be shown and give the terminal back."""
        if not self._running:
            return
        self._running = False
        self._detach()
        self._drain()
        with suppress(OSError):
            os.close(self._master)

    def _attach(self) -> None:
        if self._in is not None:
            with suppress(termios.error):
                tty.setraw(self._in, termios.TCSADRAIN)
            self._loop.add_reader(self._in, self._from_user)
        self._loop.add_reader(self._master, self._from_sandbox)
        if self._to_master:
            self._loop.add_writer(self._master, self._flush)

    def _detach(self) -> None:
        self._loop.remove_reader(self._master)
        self._loop.remove_writer(self._master)
        if self._in is not None:
            self._loop.remove_reader(self._in)
            if self._saved is not None:
                with suppress(termios.error):
                    termios.tcsetattr(self._in, termios.TCSADRAIN, self._saved)

    def _from_user(self) -> None:
        assert self._in is not None
        try:
            data = os.read(self._in, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._in)
            self._in = None
            self._gone()
            return
        self.entered += data.count(b"\r")
        self._to_master += data
        self._flush()

    def _flush(self) -> None:
        try:
            while self._to_master:
                written = os.write(self._master, self._to_master)
                del self._to_master[:written]
        except BlockingIOError:
            self._loop.add_writer(self._master, self._flush)
            return
        except OSError:
            self._to_master.clear()
        self._loop.remove_writer(self._master)

    def _from_sandbox(self) -> None:
        try:
            data = os.read(self._master, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            # EIO: nobody holds the other side any more. The next command may open it again, so this is not an end.
            self._loop.remove_reader(self._master)
            return
        self._show(data)

    def _drain(self) -> None:
        with suppress(OSError):
            while data := os.read(self._master, _CHUNK):
                self._show(data)

    def _show(self, data: bytes) -> None:
        shown = memoryview(self._filter.feed(data))
        try:
            while shown:
                shown = shown[os.write(self._out, shown) :]
        except BlockingIOError:
            os.set_blocking(self._out, True)
            os.write(self._out, shown)
        except OSError:
            self._gone()
