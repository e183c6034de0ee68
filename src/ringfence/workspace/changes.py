"""What a session left in the workspace: how many files changed, and which of them may run or be obeyed by themselves.

Found after the session by change time, which the kernel sets and a program cannot set back. Deleted files are not seen.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator

import msgspec

from ringfence.workspace.git_index_names import misleads

LIMIT = 200_000
"""Entries that are looked at; beyond it the count says so."""

_UNINTERESTING = (
    ".git/HEAD",
    ".git/objects",
    ".git/logs",
    ".git/refs",
    ".git/COMMIT_EDITMSG",
    ".git/ORIG_HEAD",
)
"""What every commit changes, and nothing runs."""
_SAMPLE = re.compile(r"(?:.*/)?\.git/hooks/[^/]+\.sample")
"""What `git init` copies into each repository. Git runs hooks by their exact names, so none of these."""

_INDEX = re.compile(r"index|sharedindex\..*")
_MOST_OF_AN_INDEX = 256 * 1024 * 1024


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """Files that were created or changed since a moment."""

    files: int
    control_files: tuple[str, ...]
    """Relative paths, sorted, at most a hundred."""
    complete: bool
    """False where the workspace has more entries than are looked at."""


def changes_since(workspace: str, since_ns: int, is_control_file: Callable[[str], bool]) -> Changes:
    """Look through the workspace, not following links."""
    files, looked_at = 0, 0
    control: list[str] = []
    for relative, status in _entries(workspace):
        looked_at += 1
        if looked_at > LIMIT:
            return Changes(files=files, control_files=tuple(sorted(control)), complete=False)
        if status.st_ctime_ns < since_ns:
            continue
        if not relative.startswith(".git/"):
            files += 1
        if len(control) == 100 or _SAMPLE.fullmatch(relative):
            continue
        if is_control_file(relative) or _is_hostile_index(workspace, relative):
            control.append(relative)
    return Changes(files=files, control_files=tuple(sorted(control)), complete=True)


def _is_hostile_index(workspace: str, relative: str) -> bool:
    """Whether this is an index of Git's that makes a later `git checkout` write elsewhere."""
    folder, name = os.path.split(relative)
    if not _INDEX.fullmatch(name) or os.path.basename(folder) != ".git":
        return False
    try:
        descriptor = os.open(os.path.join(workspace, relative), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return True
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return True
        data = stream.read(_MOST_OF_AN_INDEX + 1)
    return len(data) > _MOST_OF_AN_INDEX or misleads(data)


def _entries(workspace: str) -> Iterator[tuple[str, os.stat_result]]:
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            entries = list(os.scandir(os.path.join(workspace, folder)))
        except OSError:
            continue
        for entry in entries:
            relative = f"{folder}/{entry.name}" if folder else entry.name
            if relative in _UNINTERESTING or relative.endswith("/.git/HEAD"):
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(relative)
                else:
                    yield relative, entry.stat(follow_symlinks=False)
            except OSError:
                continue
