"""A pool of kernel pipes, through which bytes move from one socket to another without passing through this process."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TypeAlias

Pipe: TypeAlias = tuple[int, int]
"""The reading and the writing end."""

CAPACITY = 1 << 20


class PipePool:
    """Empty pipes, kept for the next one who needs one."""

    def __init__(self, keep: int = 16) -> None:
        self._keep = keep
        self._free: list[Pipe] = []

    def take(self) -> Pipe | None:
        """An empty pipe; None where the process has no descriptors left, which is no reason to drop a connection."""
        if self._free:
            return self._free.pop()
        try:
            pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with contextlib.suppress(
            OSError
        ):  # the user's allowance for pipes is used up: a small one is slower, and works
            fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, CAPACITY)
        return pipe

    def give_back(self, pipe: Pipe, *, empty: bool) -> None:
        """Take a pipe back. One that still holds bytes is closed: they belong to one connection only."""
        if empty and len(self._free) < self._keep:
            self._free.append(pipe)
        else:
            _close(pipe)

    def close(self) -> None:
        """Close what is left."""
        while self._free:
            _close(self._free.pop())


def _close(pipe: Pipe) -> None:
    os.close(pipe[0])
    os.close(pipe[1])
