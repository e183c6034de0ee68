"""Reads the bytes of policy files and lists the folders that hold more. Judges whose they are, not what they say.

SECURITY: whoever can write a managed file, or put another in its place, would rule over the administrator. So the file
and every folder above it have to belong to root and be writable by nobody else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from ringfence.model.canonical import text_from_os
from ringfence.model.situations import Diagnostic, PolicyInvalid
from ringfence.policy.documents import MAX_BYTES
from ringfence.policy.effective import Inactive, Origin
from ringfence.policy.layers import Layer

MAX_FILES = 1_000
"""Files in one folder of drop-ins."""

_ROOT = 0


def read_bytes(path: str, layer: Layer) -> bytes:
    """The bytes of one file, by one descriptor: what was checked is what was read.

    `FileNotFoundError` where nothing of that name is there; a link that leads nowhere is a fault.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        _check_links(path)
        raise
    except OSError as error:
        raise fault(path, f"the file cannot be read: {(error.strerror or str(error)).lower()}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise fault(path, "this is not a regular file")
        if layer.binds:
            _check_owner(path, path, status)
            _check_folders(path)
        return _all_of(descriptor)
    except OSError as error:
        raise fault(path, f"the file cannot be read: {(error.strerror or str(error)).lower()}") from error
    finally:
        os.close(descriptor)


def drop_ins(folder: str, layer: Layer) -> tuple[list[str], list[Inactive]]:
    """The policy files of a folder, sorted by name, and what else lies there; nothing where there is no folder."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        _check_links(folder)
        return [], []
    except OSError as error:
        raise fault(folder, f"the folder cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(names) > MAX_FILES:
        raise fault(folder, f"the folder holds {len(names)} files; the limit is {MAX_FILES}")
    if layer.binds:
        _check_owner(folder, folder, os.stat(folder))
        _check_folders(folder)
    ignored = []
    for name in names:
        if not name.endswith(".toml"):
            path = text_from_os(os.path.join(folder, name))
            why = "only names that end in `.toml` are read"
            ignored.append(Inactive(origin=Origin(layer=layer.value, source=path), what="the file", why=why))
    return [os.path.join(folder, name) for name in names if name.endswith(".toml")], ignored


def fault(path: str, message: str, *, line: int = 1, column: int = 1) -> PolicyInvalid:
    """One fault of a whole file."""
    return PolicyInvalid((Diagnostic(file=text_from_os(path), line=line, column=column, message=message),))


def _all_of(descriptor: int) -> bytes:
    """What a descriptor holds, up to one byte more than any policy may have."""
    data = bytearray()
    while len(data) <= MAX_BYTES:
        block = os.read(descriptor, MAX_BYTES + 1 - len(data))
        if not block:
            break
        data += block
    return bytes(data)


def _check_links(path: str) -> None:
    """A fault where something is missing because a link leads nowhere: somebody meant it to be there."""
    for place in (path, *_above(os.path.abspath(path))):
        if os.path.islink(place) and not os.path.exists(place):
            leads = text_from_os(os.readlink(place))
            raise fault(path, f"`{text_from_os(place)}` is a link to `{leads}`, which is not there")


def _check_owner(path: str, place: str, facts: os.stat_result) -> None:
    if facts.st_uid != _ROOT or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise fault(
            path,
            f"`{text_from_os(place)}` has to belong to root and be writable by nobody else; nothing runs until then",
        )


def _check_folders(path: str) -> None:
    """Every folder on the way, as written and as its links lead."""
    for folder in dict.fromkeys((*_above(os.path.abspath(path)), *_above(os.path.realpath(path)))):
        status = os.stat(folder)
        # In a folder such as /tmp nobody can move what belongs to root.
        if status.st_uid == _ROOT and status.st_mode & stat.S_ISVTX and folder != os.path.dirname(path):
            continue
        _check_owner(path, folder, status)


def _above(path: str) -> Iterator[str]:
    while path != "/":
        path = os.path.dirname(path)
        yield path
