"""Brings what a session changed in a repository's settings into the real ones, key by key.

Git itself reads and writes the files, in an environment of ours: it runs nothing for `git config --file`, and follows
no include. The real file is replaced as Git does it, under its own lock.
"""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Mapping

import msgspec

from ringfence.workspace.entries import open_file
from ringfence.workspace.git_keys import Start, Values, refused

_SECONDS = 20
_SIZE = 1 << 20
_CHANGES = 500
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "LC_ALL": "C",
}


class SettingsUnreadable(Exception):
    """Git cannot read a settings file, or is not there to do so."""


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """The real settings with what may pass."""

    content: bytes
    passed: tuple[str, ...] = ()
    """Keys that were changed."""
    refused: tuple[tuple[str, str], ...] = ()
    """Keys that were not, and why."""


def is_of_worktree(path: bytes) -> bool:
    """Whether settings are those of one working tree, which stand over the repository's."""
    return path.rpartition(b"/")[2] == b"config.worktree"


def merge(
    start: bytes,
    session: bytes,
    real: bytes,
    *,
    branches: frozenset[str] | None,
    of_module: bool = False,
    of_worktree: bool = False,
) -> Merged:
    """`real`, with those changes between `start` and `session` that may pass."""
    if start == session:
        return Merged(content=real)
    with tempfile.TemporaryDirectory(prefix="ringfence-") as folder:
        try:
            before, after = _values(folder, start), _values(folder, session)
        except SettingsUnreadable as failure:
            return Merged(content=real, refused=(("the whole file", str(failure)),))
        changed = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
        known = Start(settings=before, branches=branches, of_module=of_module, of_worktree=of_worktree)
        passed, kept_out = list[str](), list[tuple[str, str]]()
        for key in changed:
            why = refused(key, after.get(key, ()), known)
            if len(passed) >= _CHANGES:
                why = f"more than {_CHANGES} settings were changed"
            if why is None:
                passed.append(key)
            else:
                kept_out.append((key, why))
        try:
            content = _written(folder, real, {key: after.get(key, ()) for key in passed})
        except SettingsUnreadable as failure:
            return Merged(content=real, refused=tuple((key, str(failure)) for key in changed))
    return Merged(content=content, passed=tuple(passed), refused=tuple(kept_out))


def replace_settings(folder: int, name: bytes, content: bytes) -> None:
    """Put a settings file in place in an open folder, under the lock that Git takes; `OSError` where it is taken."""
    lock = name + b".lock"
    try:
        mode = stat.S_IMODE(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        mode = 0o644
    descriptor = os.open(lock, _NEW, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(content)
            os.fchmod(descriptor, mode & 0o777)
        os.rename(lock, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(lock, dir_fd=folder)
        raise


def read_settings(folder: int, name: bytes) -> bytes:
    """The content of a settings file in an open folder; empty where there is none."""
    try:
        descriptor = open_file(name, folder)
    except FileNotFoundError:
        return b""
    with open(descriptor, "rb") as stream:
        content = stream.read(_SIZE + 1)
    if len(content) > _SIZE:
        raise OSError(0, "it is larger than settings are")
    return content


def _values(folder: str, content: bytes) -> Values:
    path = os.path.join(folder, "read")
    with open(path, "wb") as stream:
        stream.write(content)
    found: dict[str, tuple[str, ...]] = {}
    for record in _git(("--file", path, "--no-includes", "--list", "-z")).split(b"\0")[:-1]:
        key, given, value = record.partition(b"\n")
        # A key without a value means true.
        text = os.fsdecode(value) if given else "true"
        found[os.fsdecode(key)] = (*found.get(os.fsdecode(key), ()), text)
    return found


def _written(folder: str, real: bytes, changes: Mapping[str, tuple[str, ...]]) -> bytes:
    path = os.path.join(folder, "written")
    with open(path, "wb") as stream:
        stream.write(real)
    present = _values(folder, real)
    for key, values in changes.items():
        if present.get(key, ()) == values:
            continue
        if key in present:
            _git(("--file", path, "--unset-all", key))
        for value in values:
            _git(("--file", path, "--add", key, value))
    with open(path, "rb") as stream:
        return stream.read()


def _git(words: tuple[str, ...]) -> bytes:
    try:
        done = subprocess.run(
            ("git", "config", *words),
            cwd="/",
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as failure:
        raise SettingsUnreadable(f"Git could not be asked: {failure}") from failure
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0][:200]
        raise SettingsUnreadable(f"Git cannot read it: {said}")
    return done.stdout
