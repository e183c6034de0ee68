"""What a command would run, by the content of the files: so that a script that was changed after it was approved is
noticed.

Programs that a command names and that can be read are looked at when a question is put, and again before the answer is
used. What a program goes on to load is not seen from outside; the sandbox is there for that.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable

from ringfence.model.action import CommandAction, EffectKind
from ringfence.model.canonical import digest
from ringfence.model.decision import Decision

_LARGEST = 256 << 20
"""Bytes that are read; a larger file is known by its inode, size and times, like one that nothing inside can change."""
_FILES = 64


def witness(decision: Decision, *, path: str | None, may_write: Callable[[str], bool]) -> str:
    """The digest of the files that the action of a decision would run; empty where it names none that can be read.

    `path`: where names without a slash are looked up. `may_write`: whether anything inside can write to a file.
    """
    action = decision.action
    if not isinstance(action, CommandAction):
        return ""
    named = [effect.object for effect in decision.effects if effect.kind is EffectKind.EXECUTE]
    if action.executable is not None:
        named.append(action.executable)
    found: dict[str, str] = {}
    for name in sorted(set(named))[:_FILES]:
        place = os.path.join(action.cwd, name) if "/" in name else shutil.which(name, path=path)
        if place is not None:
            found[place] = _state(place, read=may_write(os.path.realpath(place)))
    return digest(found) if found else ""


def _state(place: str, *, read: bool) -> str:
    """The content of a regular file, or what tells that there is none that can be read."""
    try:
        # SECURITY: a pipe that an agent left under the name of its script must not make us wait.
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as failure:
        return f"unreadable: {failure.errno}"
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return f"no file: {stat.S_IFMT(status.st_mode)}"
        # SECURITY: times are no proof where somebody may write: a mapped page is changed long after its time was set.
        if not read or status.st_size > _LARGEST:
            return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
        content = hashlib.sha256()
        while piece := os.read(descriptor, 1 << 20):
            content.update(piece)
        return f"{stat.S_IMODE(status.st_mode):o} {content.hexdigest()}"
    except OSError as failure:
        return f"unreadable: {failure.errno}"
    finally:
        os.close(descriptor)
