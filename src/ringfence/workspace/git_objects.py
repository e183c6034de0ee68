"""Adds what Git stored in a session's layer to the real repository. Never changes or removes an object that is there.

An object is named by its hash, so one that is there already is the same or somebody lies: the real one stays.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

from ringfence.workspace.entries import open_below, open_file, open_folder

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 1 << 20


def add_objects(upper: str, workspace: str, paths: Iterable[bytes], suffix: str) -> tuple[tuple[bytes, str], ...]:
    """Copy object files; those that could not be, and why."""
    failed = list[tuple[bytes, str]]()
    layer, top = open_folder(upper), open_folder(workspace)
    try:
        # An index last, so that no pack is found before it is whole.
        for path in sorted(paths, key=lambda each: (each.endswith((b".idx", b".rev")), each)):
            try:
                _add(layer, top, path, b".tmp-%b" % suffix.encode())
            except OSError as error:
                failed.append((path, (error.strerror or str(error)).lower()))
    finally:
        os.close(layer)
        os.close(top)
    return tuple(failed)


def _add(layer: int, top: int, path: bytes, suffix: bytes) -> None:
    above, _, name = path.rpartition(b"/")
    target = open_below(top, above, make=True)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.stat(name, dir_fd=target, follow_symlinks=False)
            return
        source = open_below(layer, above)
        try:
            with open(open_file(name, source), "rb", buffering=0) as reader:
                _write(reader.fileno(), target, name, name + suffix)
        finally:
            os.close(source)
    finally:
        os.close(target)


def _write(source: int, folder: int, name: bytes, unfinished: bytes) -> None:
    descriptor = os.open(unfinished, _NEW, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb", buffering=0) as stream:
            while body := os.read(source, _BLOCK):
                view = memoryview(body)
                while view:
                    view = view[stream.write(view) :]
            os.fchmod(descriptor, 0o444)
            os.fsync(descriptor)
        os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished, dir_fd=folder)
        raise
