"""What lies in a folder, read so that nothing in it can lead us out of it.

SECURITY: every folder is opened by descriptor, below its parent, without following links; a file is opened without
following links and without waiting, and is read only where it is a regular one. Names are bytes, as the kernel has
them.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from enum import StrEnum

import msgspec

MAX_DEPTH = 256
"""Folders inside folders; below it nothing is looked at, and the snapshot says so."""
PIECE = 1024 * 1024
"""Bytes of a file that are kept and compared as one."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Kind(StrEnum):
    """What an entry is. Sockets, pipes and devices are left alone."""

    FILE = "f"
    LINK = "l"
    FOLDER = "d"


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """What changes when a file changes: the kernel sets the change time, and no program can set it back."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One thing in a folder."""

    path: bytes
    """Relative to the top."""
    kind: Kind
    mode: int
    """Permission bits."""
    stamp: Stamp
    chunks: tuple[bytes, ...] = ()
    """For a file, the hashes of its pieces in order."""
    target: bytes = b""
    """For a link, where it points."""

    def same_as(self, other: Entry) -> bool:
        """Whether both hold the same, whenever they were written."""
        mine = (self.kind, self.chunks, self.target, 0 if self.kind is Kind.LINK else self.mode)
        return mine == (other.kind, other.chunks, other.target, 0 if other.kind is Kind.LINK else other.mode)


class Found(msgspec.Struct, frozen=True):
    """An entry that was just seen, and the descriptor of the folder it lies in, open until the next one."""

    path: bytes
    name: bytes
    kind: Kind
    status: os.stat_result
    folder: int


def walk(
    top: int,
    skip: Callable[[bytes], bool],
    left_out: Callable[[bytes, str], None],
    special: Callable[[bytes, os.stat_result], None] = lambda path, status: None,
) -> Iterator[Found]:
    """Everything below an open folder, parents first. `left_out` hears of what cannot be read, and why; `special` of
    sockets, pipes and devices."""
    yield from _below(top, b"", 0, skip, left_out, special)


def _below(
    folder: int,
    path: bytes,
    depth: int,
    skip: Callable[[bytes], bool],
    left_out: Callable[[bytes, str], None],
    special: Callable[[bytes, os.stat_result], None],
) -> Iterator[Found]:
    if depth >= MAX_DEPTH:
        left_out(path, f"it lies more than {MAX_DEPTH} folders deep")
        return
    try:
        with os.scandir(folder) as listed:
            names = sorted(os.fsencode(entry.name) for entry in listed)
    except OSError as error:
        left_out(path, (error.strerror or str(error)).lower())
        return
    for name in names:
        inner = b"%b/%b" % (path, name) if path else name
        if skip(inner):
            continue
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue
        except OSError as error:
            left_out(inner, (error.strerror or str(error)).lower())
            continue
        if stat.S_ISDIR(status.st_mode):
            yield Found(inner, name, Kind.FOLDER, status, folder)
            try:
                opened = os.open(name, _FOLDER, dir_fd=folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                left_out(inner, (error.strerror or str(error)).lower())
                continue
            try:
                yield from _below(opened, inner, depth + 1, skip, left_out, special)
            finally:
                os.close(opened)
        elif stat.S_ISREG(status.st_mode):
            yield Found(inner, name, Kind.FILE, status, folder)
        elif stat.S_ISLNK(status.st_mode):
            yield Found(inner, name, Kind.LINK, status, folder)
        else:
            special(inner, status)


def stamp(status: os.stat_result) -> Stamp:
    """The stamp of a file."""
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def open_file(name: bytes, folder: int) -> int:
    """A descriptor of a regular file; `OSError` for anything else that has come to stand there."""
    descriptor = os.open(name, _FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "it is not a regular file any more")
    return descriptor


def open_folder(path: str | bytes) -> int:
    """A descriptor of a folder that is not a link."""
    return os.open(path, _FOLDER)


def open_below(top: int, path: bytes, *, make: bool = False) -> int:
    """A descriptor of a folder below an open one, each component without following links; the caller closes it.

    `make`: folders that are missing are made; what is not a folder raises `OSError`.
    """
    current = os.dup(top)
    try:
        for name in (part for part in path.split(b"/") if part):
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o777, dir_fd=current)
            inner = os.open(name, _FOLDER, dir_fd=current)
            os.close(current)
            current = inner
    except BaseException:
        os.close(current)
        raise
    return current
