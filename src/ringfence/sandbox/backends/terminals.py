"""Terminals that programs inside open for themselves. `/dev/pts` holds the terminals of everybody on the machine, so
only those that came into being inside are theirs."""

from __future__ import annotations

import fcntl
import os
import re
from _struct import unpack

from ringfence.sandbox.backends.calls import Descriptor

_TIOCGPTN = 0x80045430
_PTMX = (b"/dev/ptmx", b"/dev/pts/ptmx")
_SLAVE = re.compile(rb"/dev/pts/[0-9]{1,7}")
_AT_ONCE = 256
_ENOSPC = 28


class Terminals:
    """The terminals that were opened inside, each held by its inode: its number goes to somebody else when it is
    closed."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}

    def open(self, path: bytes, flags: int) -> Descriptor | None:
        """Open one, if that is what the path names."""
        if path in _PTMX:
            return self._open_master(flags)
        if not _SLAVE.fullmatch(path) or not self._is_open(path.decode()):
            return None
        return _opened(f"/proc/self/fd/{self._held[path.decode()]}", flags)

    def _open_master(self, flags: int) -> Descriptor:
        for path in [each for each in self._held if not self._is_open(each)]:
            os.close(self._held.pop(path))
        if len(self._held) >= _AT_ONCE:
            raise OSError(_ENOSPC, "too many terminals")
        answer = _opened("/dev/ptmx", flags)
        (number,) = unpack("i", fcntl.ioctl(answer.number, _TIOCGPTN, bytes(4)))
        path = f"/dev/pts/{number}"
        self._held[path] = os.open(path, os.O_PATH | os.O_CLOEXEC)
        return answer

    def _is_open(self, path: str) -> bool:
        return path in self._held and os.readlink(f"/proc/self/fd/{self._held[path]}") == path


def _opened(path: str, flags: int) -> Descriptor:
    opened = os.open(path, flags & os.O_ACCMODE | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not flags & os.O_NONBLOCK:
        fcntl.fcntl(opened, fcntl.F_SETFL, fcntl.fcntl(opened, fcntl.F_GETFL) & ~os.O_NONBLOCK)
    return Descriptor(opened, close_on_exec=bool(flags & os.O_CLOEXEC))
