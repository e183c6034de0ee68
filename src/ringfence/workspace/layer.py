"""Reads the upper layer of a staged workspace: what a session wrote, deleted and replaced, without mounting anything.

SECURITY: the layer was filled from inside (T2). Nothing in it is followed, opened as anything but a regular file, or
believed beyond what the kernel itself puts there: deletions and folders that replace the one below.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable

import msgspec

from ringfence.workspace.entries import Entry, Found, Kind, open_file, open_folder, walk
from ringfence.workspace.store import Store
from ringfence.workspace.taking import Taking

IGNORE_FILE = b".gitignore"
_OPAQUE = "user.overlay.opaque"
_NEVER_MADE = ("user.overlay.redirect", "user.overlay.metacopy")
"""What this overlay is told not to make: with it, a path would stand for something else."""
_PRIVILEGE = 0o6000
_IGNORE_SIZE = 1 << 20


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """What lies in a layer, without the contents."""

    folders: tuple[bytes, ...]
    others: tuple[bytes, ...]
    """Files and links."""
    deleted: frozenset[bytes]
    replaced: frozenset[bytes]
    """Folders that hide what lies below them in the real tree."""
    ignore_files: tuple[tuple[bytes, bytes], ...]
    """Path and content of the files that say what Git ignores."""
    refused: tuple[tuple[bytes, str], ...]
    """What can never become part of the real tree, and why."""

    def gone(self, path: bytes) -> bool:
        """Whether something of the real tree is not there any more in the session's view."""
        parts = path.split(b"/")
        above = {b"/".join(parts[:number]) for number in range(1, len(parts) + 1)}
        return not self.deleted.isdisjoint(above) or not self.replaced.isdisjoint(above - {path})


def outline(upper: str) -> Outline:
    """Look through a layer."""
    looking = _Looking()
    top = open_folder(upper)
    try:
        for found in walk(top, lambda _: False, looking.refuse, looking.special):
            looking.see(found)
    finally:
        os.close(top)
    return Outline(
        folders=tuple(looking.folders),
        others=tuple(looking.others),
        deleted=frozenset(looking.deleted),
        replaced=frozenset(looking.replaced),
        ignore_files=tuple(looking.ignore_files),
        refused=tuple(looking.refused),
    )


class _Looking:
    def __init__(self) -> None:
        self.folders: list[bytes] = []
        self.others: list[bytes] = []
        self.deleted: list[bytes] = []
        self.replaced: list[bytes] = []
        self.ignore_files: list[tuple[bytes, bytes]] = []
        self.refused: list[tuple[bytes, str]] = []

    def refuse(self, path: bytes, why: str) -> None:
        self.refused.append((path, why))

    def special(self, path: bytes, status: os.stat_result) -> None:
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            self.deleted.append(path)
        else:
            self.refuse(path, f"it is a {_named(status.st_mode)}")

    def see(self, found: Found) -> None:
        if found.status.st_mode & _PRIVILEGE and found.kind is not Kind.LINK:
            self.refuse(found.path, "its bits that lend rights (set-user-ID, set-group-ID) are taken off")
        if found.kind is Kind.FOLDER:
            self.folders.append(found.path)
            if _attribute(found, _OPAQUE) == b"y":
                self.replaced.append(found.path)
        else:
            self.others.append(found.path)
            if found.kind is Kind.FILE and found.name == IGNORE_FILE:
                self._ignore_file(found)
        if any(_attribute(found, name) is not None for name in _NEVER_MADE):
            self.refuse(found.path, "it stands for something else in the layer")

    def _ignore_file(self, found: Found) -> None:
        try:
            with open(open_file(found.name, found.folder), "rb") as stream:
                self.ignore_files.append((found.path, stream.read(_IGNORE_SIZE)))
        except OSError as error:
            self.refuse(found.path, (error.strerror or str(error)).lower())


def merged(
    upper: str, seen: Outline, base: Iterable[Entry], store: Store, skip: Callable[[bytes], bool]
) -> tuple[tuple[Entry, ...], tuple[tuple[bytes, str], ...]]:
    """The workspace as the session saw it in the end, with the contents kept in the store; and what could not be kept.

    `base` is the real tree as it was at the start; `skip` names what of the layer is left out.
    """
    whole = {entry.path: entry for entry in base if not seen.gone(entry.path)}
    taking = Taking(store, {}, 0, skip)
    top = open_folder(upper)
    try:
        taking.run(top)
    finally:
        os.close(top)
    for entry in taking.entries:
        before = whole.get(entry.path)
        if before is not None and before.kind is Kind.FOLDER and entry.kind is not Kind.FOLDER:
            whole = {path: one for path, one in whole.items() if not path.startswith(entry.path + b"/")}
        whole[entry.path] = msgspec.structs.replace(entry, mode=entry.mode & ~_PRIVILEGE)
    return tuple(whole[path] for path in sorted(whole)), tuple(taking.left_out)


def _attribute(found: Found, name: str) -> bytes | None:
    path = b"/proc/self/fd/%d/%b" % (found.folder, found.name)
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP, errno.EPERM, errno.EACCES):
            return None
        raise


def _named(mode: int) -> str:
    kinds = ((stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"), (stat.S_ISBLK, "device"), (stat.S_ISCHR, "device"))
    return next((name for test, name in kinds if test(mode)), "thing that is no file, link or folder")
