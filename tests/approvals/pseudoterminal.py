"""A person at a terminal: a real pseudoterminal, what appears on it, and keys."""

from __future__ import annotations

import asyncio
import os
import pty
import tty


class Person:
    """Sits at a terminal, reads what appears and types."""

    def __init__(self) -> None:
        self._master, self._slave = pty.openpty()
        self.path = os.ttyname(self._slave)
        os.set_blocking(self._master, False)
        self.seen = ""
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def _read(self) -> None:
        try:
            self.seen += os.read(self._master, 65536).decode()
        except OSError:
            asyncio.get_running_loop().remove_reader(self._master)
        self._more.set()

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    async def sees(self, text: str) -> None:
        """Wait until a text has appeared."""
        while text not in self.seen:
            self._more.clear()
            await self._more.wait()

    def mode(self) -> list[object]:
        """The terminal's settings."""
        return tty.tcgetattr(self._slave)  # type: ignore[attr-defined]

    def hang_up(self) -> None:
        """Close the terminal's window."""
        if self._master >= 0:
            asyncio.get_running_loop().remove_reader(self._master)
            os.close(self._slave)
            os.close(self._master)
        self._slave = self._master = -1
