"""Ends every process that comes from this one. Without a process namespace nobody else does: a program can leave its
group, its session and its parent, but not those who take orphans on."""

from __future__ import annotations

import os

_SIGKILL, _SIGSTOP = 9, 19
_ROUNDS = 10_000


def end_all() -> None:
    """End all descendants, and wait for them."""
    for _ in range(_ROUNDS):
        found = descendants()
        # Stopped first: a process that multiplies faster than it is found cannot do so while it is stopped.
        for number in (_SIGSTOP, _SIGKILL):
            for pid in found:
                _signal(pid, number)
        if not _reap(wait=bool(found)):
            return


def descendants() -> list[int]:
    """The processes that come from this one and are not waited for yet."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            parent, state = _parent(name)
            if state != b"Z":
                children.setdefault(parent, []).append(int(name))
    found, left = list[int](), [os.getpid()]
    while left:
        below = children.get(left.pop(), [])
        found += below
        left += below
    return found


def _parent(name: str) -> tuple[int, bytes]:
    try:
        with open(f"/proc/{name}/stat", "rb") as file:
            # The program's name stands in parentheses and may hold any character.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0, b"Z"
    return int(fields[1]), fields[0]


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _reap(*, wait: bool) -> bool:
    """Whether there may be more."""
    while True:
        try:
            pid, _ = os.waitpid(-1, 0 if wait else os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        wait = False
