"""Which sessions are being recorded right now: one locked file each, so that a writer that was killed is noticed.

The lock is the kernel's and ends with the process, however it ends. Whoever comes next and can take it knows.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

_PREFIX = "session-"


class Presence:
    """The mark of one writer."""

    def __init__(self, folder: str, session: str) -> None:
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        self._path = os.path.join(folder, _PREFIX + session)
        # None where another writer of this session is at work: that one's mark counts.
        self._descriptor = _locked(self._path, os.O_CREAT)

    def end(self) -> None:
        """Take the mark away: the session's end is on record."""
        if self._descriptor is not None:
            os.unlink(self._path)
            os.close(self._descriptor)
            self._descriptor = None


class Lost:
    """A session whose writer is gone without having taken its mark away."""

    def __init__(self, session: str, path: str, descriptor: int) -> None:
        self.session = session
        self._path = path
        self._descriptor = descriptor

    def settle(self) -> None:
        """Take the mark away, once what happened is on record."""
        os.unlink(self._path)
        os.close(self._descriptor)


def is_recorded(folder: str, session: str) -> bool:
    """Whether a session is being recorded right now."""
    path = os.path.join(folder, _PREFIX + session)
    descriptor = _locked(path, 0)
    if descriptor is None:
        return os.path.exists(path)
    os.close(descriptor)
    return False


def folder_beside(ledger: str) -> str:
    """Where the marks of a ledger's writers lie."""
    return os.path.join(os.path.dirname(ledger), "recording")


def lost(folder: str) -> list[Lost]:
    """The sessions whose writers are gone; each stays locked for us until it is settled."""
    found = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        descriptor = _locked(path, 0) if name.startswith(_PREFIX) else None
        if descriptor is not None:
            found.append(Lost(name.removeprefix(_PREFIX), path, descriptor))
    return found


def _locked(path: str, create: int) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDWR | create | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
