"""The files that deny rules name, told by what they are and not by where they lie: a hard link in the workspace is one
more name of such a file. Only lists folders, because it runs before every session.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable

LIMIT = 30_000
"""How many names below the denied paths are looked at."""


def files_behind(paths: Iterable[str], state: str) -> tuple[frozenset[tuple[int, int]], bool]:
    """Device and inode of what lies at and below these paths; and whether that is everything. Left out is what our
    state folder keeps of Git's objects: they are other names of the workspace's own."""
    kept = (os.path.join(os.path.realpath(state), "snapshots"), "objects")
    found: set[tuple[int, int]] = set()
    # What lies near the top first: keys and tokens do, and what fills a browser's cache does not.
    pending = deque[str]()
    for path in paths:
        with contextlib.suppress(OSError):
            status = os.stat(path)
            found.add((status.st_dev, status.st_ino))
            pending.append(path)
    while pending and len(found) < LIMIT:
        # What is no folder, or cannot be listed by this user, has nothing more to add.
        with contextlib.suppress(OSError):
            folder = pending.popleft()
            device = os.stat(folder).st_dev
            with os.scandir(folder) as entries:
                for entry in entries:
                    found.add((device, entry.inode()))
                    if entry.is_dir(follow_symlinks=False) and not _is_kept(folder, entry.name, kept):
                        pending.append(entry.path)
    return frozenset(found), not pending


def _is_kept(folder: str, name: str, kept: tuple[str, str]) -> bool:
    return name == kept[1] and os.path.realpath(os.path.dirname(folder)) == kept[0]


def is_one_of(root: int, path: str, files: frozenset[tuple[int, int]]) -> bool:
    """Whether what lies below an open folder is one of the files, under a name of its own."""
    try:
        status = os.stat(path, dir_fd=root, follow_symlinks=False)
    except OSError:
        return True
    return status.st_nlink > 1 and (status.st_dev, status.st_ino) in files
