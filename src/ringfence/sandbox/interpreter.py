"""Starts a module of this package in a fresh interpreter: no memory, no variables and no descriptors of ours go
along."""

from __future__ import annotations

import fcntl
import os
import sys

_SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from ringfence.sandbox.{} import main; main()"
_LOW = 16


def start(module: str, descriptors: dict[int, int]) -> int:
    """Start a module's `main` with the given descriptors (number there: number here) and null streams; its process
    id."""
    path = interpreter()
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    # Out of the way first, so that no number that is needed is overwritten before it was used.
    wanted = dict.fromkeys(range(3), null) | descriptors
    moved = {number: fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, _LOW) for number, each in wanted.items()}
    os.close(null)
    try:
        # SECURITY: an empty environment: not even `/proc/1/environ` shows a variable of the user's. What descriptors
        # the user's shell left open to us is closed by the started module before anything else.
        return os.posix_spawn(
            path,
            [path, "-I", "-S", "-c", _PROGRAM.format(module), _SOURCE],
            {},
            file_actions=[(os.POSIX_SPAWN_DUP2, each, number) for number, each in sorted(moved.items())],
            setsid=True,
            setsigmask=[],
        )
    finally:
        for each in moved.values():
            os.close(each)


def interpreter() -> str:
    """The real interpreter: in a virtual environment `sys.executable` is a link that would be resolved at every
    start."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
