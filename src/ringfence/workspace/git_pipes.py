"""Pipes where Git reads files: whoever opens one to read it waits, and so would every snapshot.

Only pipes are touched that stand where Git looks, which is where nobody has one that is of use.
"""

from __future__ import annotations

import contextlib
import os
import stat

from ringfence.workspace.entries import open_below, open_folder, walk

_WRITE = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC


def pipes_for_git(tree: str) -> tuple[bytes, ...]:
    """The ignore files, and what lies in the folders of repositories, that are pipes."""
    found: list[bytes] = []

    def special(path: bytes, status: os.stat_result) -> None:
        parts = path.split(b"/")
        if stat.S_ISFIFO(status.st_mode) and (parts[-1] == b".gitignore" or b".git" in parts):
            found.append(path)

    top = open_folder(tree)
    try:
        for _ in walk(top, lambda path: False, lambda path, why: None, special):
            pass
    finally:
        os.close(top)
    return tuple(found)


def release(tree: str, pipes: tuple[bytes, ...]) -> None:
    """Let whoever waits to read one of them read its end at once: a writer came and went."""
    top = open_folder(tree)
    try:
        for path in pipes:
            # One that nobody waits for refuses a writer; one that is gone or was replaced is nothing to wait for.
            with contextlib.suppress(OSError):
                _come_and_go(top, path)
    finally:
        os.close(top)


def _come_and_go(top: int, path: bytes) -> None:
    above, _, name = path.rpartition(b"/")
    folder = open_below(top, above)
    try:
        if stat.S_ISFIFO(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.close(os.open(name, _WRITE, dir_fd=folder))
    finally:
        os.close(folder)
