"""The standard streams of a governed command: which pass through as they are, and which become a pseudo-terminal."""

from __future__ import annotations

import os
import stat
from enum import Enum, auto

import msgspec

from ringfence.model.situations import UsageInvalid


class Kind(Enum):
    """What becomes of a stream."""

    PASS = auto()
    """A pipe, file or socket: handed in untouched."""
    TERMINAL = auto()
    """The user's terminal: replaced by the sandbox's own."""
    NOTHING = auto()
    """Closed, or of no use: the null device."""


_NAMES = ("input", "output", "error")


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of standard input, output and error."""

    kinds: tuple[Kind, Kind, Kind]

    @property
    def terminal_out(self) -> int | None:
        """The descriptor on which the user sees what the pseudo-terminal shows."""
        return next((fd for fd in (1, 2, 0) if self.kinds[fd] is Kind.TERMINAL), None)

    @property
    def terminal_in(self) -> int | None:
        """The descriptor on which the user types."""
        return 0 if self.kinds[0] is Kind.TERMINAL else None


def survey() -> Streams:
    """Look at our own standard streams."""
    first, second, third = (_kind(fd) for fd in range(3))
    if first is Kind.TERMINAL and second is Kind.PASS and stat.S_ISFIFO(os.fstat(1).st_mode):
        # A pager at the end of the pipe reads the keyboard itself; two readers would share out the keys at random.
        first = Kind.NOTHING
    return Streams(kinds=(first, second, third))


def _kind(fd: int) -> Kind:
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return Kind.NOTHING
    if os.isatty(fd):
        return Kind.TERMINAL
    if stat.S_ISDIR(mode) or stat.S_ISBLK(mode):
        # SECURITY: a descriptor of a folder or a disk would lead out of the sandbox (T4).
        what = "folder" if stat.S_ISDIR(mode) else "block device"
        raise UsageInvalid(
            f"standard {_NAMES[fd]} is a {what}, which would lead out of the sandbox",
            remedy="redirect it from or to a file, a pipe or `/dev/null`",
        )
    return Kind.PASS
