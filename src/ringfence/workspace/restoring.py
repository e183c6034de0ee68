"""Puts paths of a workspace back to what a snapshot holds, and nothing outside of it.

SECURITY: every folder on the way is opened without following links, so that a link that somebody planted ends the
restoring of that path. A file is written under a new name beside its place and then renamed: it is whole, or the old.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from enum import StrEnum

import msgspec

from ringfence.workspace.difference import Difference
from ringfence.workspace.entries import PIECE, Entry, Kind, open_below, open_file, open_folder, stamp
from ringfence.workspace.store import Store

_Step = Callable[[int, Difference], None]
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What was done."""

    paths: tuple[bytes, ...]
    failed: tuple[tuple[bytes, str], ...]
    """What stayed as it is, and why."""


def restore(workspace: str, store: Store, wanted: Iterable[Difference], *, suffix: str) -> Restored:
    """Put each path back to its `before`. `suffix` makes the names of unfinished files unique."""
    ordered = sorted(wanted, key=lambda one: one.path)
    restoring = _Restoring(store, suffix.encode())
    top = open_folder(workspace)
    try:
        # What is in the way goes first, the deepest before the folder that holds it; folders are made before their
        # files, and get their own permissions last, since one that is read-only could not be filled.
        for one in reversed(ordered):
            if one.before is None or (one.after is not None and one.after.kind is not one.before.kind):
                restoring.attempt(restoring.remove, top, one)
        for one in ordered:
            if one.before is not None and one.before.kind is Kind.FOLDER:
                restoring.attempt(restoring.folder, top, one)
        for one in ordered:
            if one.before is not None and one.before.kind is not Kind.FOLDER:
                restoring.attempt(restoring.put, top, one)
        for one in reversed(ordered):
            if one.before is not None and one.before.kind is Kind.FOLDER:
                restoring.attempt(restoring.permissions, top, one)
    finally:
        os.close(top)
    failed = dict(restoring.failed)
    return Restored(
        paths=tuple(one.path for one in ordered if one.path not in failed), failed=tuple(sorted(failed.items()))
    )


class _Restoring:
    def __init__(self, store: Store, suffix: bytes) -> None:
        self._store = store
        self._suffix = suffix
        self.failed: list[tuple[bytes, str]] = []

    def attempt(self, step: _Step, top: int, one: Difference) -> None:
        if any(path == one.path for path, _ in self.failed):
            return
        try:
            step(top, one)
        except OSError as error:
            self.failed.append((one.path, (error.strerror or str(error)).lower()))

    def remove(self, top: int, one: Difference) -> None:
        try:
            folder, name = _parent(top, one.path)
        except FileNotFoundError:
            return  # Its folder went before it, as the objects of a new repository do: it is gone, as it should be.
        try:
            if one.after is not None and one.after.kind is Kind.FOLDER:
                os.rmdir(name, dir_fd=folder)
            else:
                os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            pass
        finally:
            os.close(folder)

    def folder(self, top: int, one: Difference) -> None:
        os.close(open_below(top, one.path, make=True))

    def permissions(self, top: int, one: Difference) -> None:
        assert one.before is not None
        folder = open_below(top, one.path)
        try:
            os.fchmod(folder, one.before.mode)
        finally:
            os.close(folder)

    def put(self, top: int, one: Difference) -> None:
        entry = one.before
        assert entry is not None
        folder, name = _parent(top, entry.path)
        unfinished = b".%b.%b" % (name[:120], self._suffix)
        try:
            if entry.kind is Kind.LINK:
                os.symlink(entry.target, unfinished, dir_fd=folder)
            else:
                self._write(entry, folder, unfinished)
            try:
                os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                os.unlink(unfinished, dir_fd=folder)
                raise
        finally:
            os.close(folder)

    def _write(self, entry: Entry, folder: int, name: bytes) -> None:
        descriptor = os.open(name, _NEW, 0o600, dir_fd=folder)
        try:
            with open(descriptor, "wb", buffering=0) as stream:
                for key in entry.chunks:
                    body = memoryview(self._store.piece(key))
                    while body:
                        body = body[stream.write(body) :]
                # A set-user-ID bit of old is not given back: what it would run as could be somebody else now.
                os.fchmod(descriptor, entry.mode & 0o1777)
        except BaseException:
            os.unlink(name, dir_fd=folder)
            raise


class Now(StrEnum):
    """How a path stands beside a change of it."""

    BEFORE = "before"
    """As it was before the change."""
    AFTER = "after"
    """As the change left it."""
    OTHER = "other"
    """Neither: somebody changed it since."""


def as_it_stands(workspace: str, one: Difference) -> Now:
    """Which side of a change a path is on, by what it holds and not by when it was written."""
    try:
        top = open_folder(workspace)
    except OSError:
        return Now.OTHER
    try:
        try:
            folder, name = _parent(top, one.path)
        except (FileNotFoundError, NotADirectoryError):
            return _missing(one)
        except OSError:
            return Now.OTHER
        try:
            return _compared(folder, name, one)
        except FileNotFoundError:
            return _missing(one)
        except OSError:
            return Now.OTHER
        finally:
            os.close(folder)
    finally:
        os.close(top)


def _missing(one: Difference) -> Now:
    if one.after is None:
        return Now.AFTER
    return Now.BEFORE if one.before is None else Now.OTHER


def _compared(folder: int, name: bytes, one: Difference) -> Now:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    sides = ((Now.AFTER, one.after), (Now.BEFORE, one.before))
    pieces: tuple[bytes, ...] | None = None
    for side, entry in sides:
        if entry is None or stat.S_IFMT(status.st_mode) != _FORMATS[entry.kind]:
            continue
        if entry.kind is Kind.LINK:
            if os.fsencode(os.readlink(name, dir_fd=folder)) == entry.target:
                return side
            continue
        # The mode of a folder is not compared: it is put right with its content, whoever changed it.
        if entry.kind is Kind.FOLDER or stamp(status) == entry.stamp:
            return side
        if status.st_mode & 0o1777 != entry.mode & 0o1777 or status.st_size != entry.stamp.size:
            continue
        pieces = pieces if pieces is not None else _pieces(folder, name)
        if pieces == entry.chunks:
            return side
    return Now.OTHER


def _pieces(folder: int, name: bytes) -> tuple[bytes, ...]:
    found = list[bytes]()
    with open(open_file(name, folder), "rb", buffering=0) as stream:
        while body := stream.read(PIECE):
            found.append(hashlib.sha256(body).digest())
    return tuple(found)


_FORMATS = {Kind.FILE: stat.S_IFREG, Kind.LINK: stat.S_IFLNK, Kind.FOLDER: stat.S_IFDIR}


def _parent(top: int, path: bytes) -> tuple[int, bytes]:
    folder, _, name = path.rpartition(b"/")
    return open_below(top, folder, make=False), name
