"""Brings back what a session wrote in private copies of Git's: settings key by key, repositories of new submodules and
new working trees file by file, and only what is known not to run or to lead elsewhere.

SECURITY: the copies were filled from inside (T2), the real folders lie where the session could write: each folder is
opened below the one above without following links, and no file that is there is overwritten.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable

import msgspec

from ringfence.workspace.entries import Found, Kind, open_below, open_file, open_folder, walk
from ringfence.workspace.git_settings import is_of_worktree, merge, read_settings, replace_settings
from ringfence.workspace.git_state import Role, in_object_folder, is_unfinished, odd_content, role

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK = 1 << 20
_SMALL = 1 << 20


class KeptOut(msgspec.Struct, frozen=True, kw_only=True):
    """Something that did not come back."""

    what: str
    """A key, or a path below `.git`."""
    where: str
    why: str


def bring_settings(
    top: str, path: bytes, copy: str, start: bytes, *, branches: frozenset[str] | None
) -> tuple[KeptOut, ...]:
    """Bring what changed in a copy of settings into the file at a path below an open folder."""
    where = os.fsdecode(path)
    above, _, name = path.rpartition(b"/")
    try:
        session = _content(copy)
        if session == start:
            return ()
        folder = _open(top, above)
        try:
            real = read_settings(folder, name)
            found = merge(
                start,
                session,
                real,
                branches=branches,
                of_module=b"modules/" in path,
                of_worktree=is_of_worktree(path),
            )
            if found.content != real:
                replace_settings(folder, name, found.content)
        finally:
            os.close(folder)
    except OSError as error:
        return (KeptOut(what="every change", where=where, why=_why(error)),)
    return tuple(KeptOut(what=key, where=where, why=why) for key, why in found.refused)


def bring_repositories(top: str, path: bytes, copy: str, kept: Iterable[str]) -> tuple[KeptOut, ...]:
    """Bring repositories that are new in a copy into the folder at a path: `modules` or `worktrees` of a repository."""
    known = frozenset(map(os.fsencode, kept))
    bringing = _Bringing(path.rpartition(b"/")[2])
    try:
        source = open_folder(copy)
    except OSError as error:
        bringing.refuse(path, _why(error))
        return tuple(bringing.kept_out)
    try:
        found = [one.path for one in walk(source, known.__contains__, bringing.refuse, bringing.special)]
        if all(any(each.startswith(one + b"/") for each in known) for one in found):
            # Nothing but the folders on the way to what was there.
            return tuple(bringing.kept_out)
        real = _open(top, path, make=True)
        try:
            for each in walk(source, known.__contains__, lambda *_: None):
                bringing.bring(each, real)
        finally:
            os.close(real)
    except OSError as error:
        bringing.refuse(path, _why(error))
    finally:
        os.close(source)
    return tuple(bringing.kept_out)


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


class _Bringing:
    def __init__(self, kind: bytes) -> None:
        self._kind = kind
        self.kept_out: list[KeptOut] = []

    def refuse(self, path: bytes, why: str) -> None:
        self.kept_out.append(KeptOut(what=os.fsdecode(path), where=os.fsdecode(self._kind), why=why))

    def special(self, path: bytes, _: os.stat_result) -> None:
        self.refuse(path, "it is no file, link or folder")

    def bring(self, found: Found, real: int) -> None:
        rest = b"%b/%b" % (self._kind, found.path)
        what = role(rest)
        try:
            if is_unfinished(rest):
                self.refuse(found.path, "it is an operation that is not finished, whose steps can run commands")
            elif found.kind is Kind.FOLDER:
                if what in (Role.PLACE, Role.STATE) or in_object_folder(rest):
                    os.close(open_below(real, found.path, make=True))
                elif what is not Role.DERIVED:
                    self.refuse(found.path, _UNKNOWN)
            elif found.kind is Kind.LINK or what in (Role.REFUSED, Role.PLACE):
                self.refuse(found.path, _UNKNOWN)
            elif what is not Role.DERIVED:
                self._file(found, what, rest, real)
        except OSError as error:
            self.refuse(found.path, _why(error))

    def _file(self, found: Found, what: Role, rest: bytes, real: int) -> None:
        with open(open_file(found.name, found.folder), "rb", buffering=0) as stream:
            if what is Role.SETTINGS:
                merged = merge(
                    b"",
                    stream.read(_SMALL),
                    b"",
                    branches=frozenset(),
                    of_module=self._kind == b"modules",
                    of_worktree=is_of_worktree(rest),
                )
                for key, why in merged.refused:
                    self.kept_out.append(KeptOut(what=key, where=os.fsdecode(rest), why=why))
                _put(real, found.path, merged.content, 0o644)
                return
            if what is Role.STATE and not rest.endswith(b"index"):
                body = stream.read(_SMALL + 1)
                odd = "it is larger than such a file is" if len(body) > _SMALL else odd_content(rest, body)
                if odd is not None:
                    self.refuse(found.path, odd)
                    return
                _put(real, found.path, body, 0o644)
                return
            _put(real, found.path, stream.fileno(), 0o444 if what is Role.OBJECT else 0o644)


_UNKNOWN = "it is not among the files of a repository that a session may change"


def _put(top: int, path: bytes, content: bytes | int, mode: int) -> None:
    above, _, name = path.rpartition(b"/")
    folder = open_below(top, above, make=True)
    try:
        with open(os.open(name, _NEW, 0o600, dir_fd=folder), "wb") as stream:
            try:
                if isinstance(content, bytes):
                    stream.write(content)
                else:
                    while body := os.read(content, _BLOCK):
                        stream.write(body)
                os.fchmod(stream.fileno(), mode)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(name, dir_fd=folder)
                raise
    finally:
        os.close(folder)


def _open(top: str, path: bytes, *, make: bool = False) -> int:
    base = open_folder(top)
    try:
        return open_below(base, path, make=make)
    finally:
        os.close(base)


def _content(path: str) -> bytes:
    folder = open_folder(os.path.dirname(path))
    try:
        return read_settings(folder, os.fsencode(os.path.basename(path)))
    finally:
        os.close(folder)
