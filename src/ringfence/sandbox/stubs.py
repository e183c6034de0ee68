"""Place holders for control files that do not exist: made on the host for as long as a session needs them, then
removed.

A mount needs something to lie on. The place holder is an empty folder, or a file of known content; the last session
in a workspace removes it, and what a killed session left is swept up by the next one or by whoever calls `sweep`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator

import msgspec

from ringfence.model.situations import SandboxUnavailable
from ringfence.sandbox.left_over import COPIES, MANIFEST
from ringfence.sandbox.syscalls import open_beneath, open_plain

_NEVER_MADE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EROFS)
_NOT_PERMITTED = (errno.EACCES, errno.EPERM)

_LOCK = "stubs.lock"


class Stub(msgspec.Struct, frozen=True, kw_only=True):
    """One place holder."""

    workspace: str
    name: str
    """Relative to the workspace."""
    content: str | None
    """None for a folder."""

    @property
    def path(self) -> str:
        return f"{self.workspace}/{self.name}"

    def is_same(self, other: Stub) -> bool:
        """One may be named from the folder that it lies in, and another from the workspace."""
        return (self.path, self.content) == (other.path, other.content)


class Entry(msgspec.Struct, kw_only=True):
    """A place holder and the sessions that need it."""

    stub: Stub
    users: list[tuple[int, int, str]]
    """Process id, its start time, and a name for the sandbox."""


def claim(
    state: str, look: Callable[[frozenset[tuple[str, str]]], tuple[Stub, ...]], user: str
) -> tuple[tuple[Stub, ...], Callable[[], None]]:
    """Make the place holders that are missing; gives those that stand, ours or shared, and what releases them.

    `look` finds what is missing, given the (workspace, name) of those that are place holders already.
    """
    owner = (os.getpid(), _started(os.getpid()) or 0, user)
    os.makedirs(state, mode=0o700, exist_ok=True)
    with _manifest(state) as entries:
        # SECURITY: looked for under the lock. A place holder that another session made in between would pass for the
        # user's own folder, and be gone with that session while this one still relies on it.
        _sweep(entries)
        standing = []
        for stub in look(frozenset((entry.stub.workspace, entry.stub.name) for entry in entries)):
            entry = next((each for each in entries if each.stub.is_same(stub)), None)
            if entry is not None:
                entry.users.append(owner)
                standing.append(stub)
            elif not _exists(stub):
                entries.append(Entry(stub=stub, users=[owner]))
                standing.append(stub)
        # INVARIANT: what is made on the host stands in the manifest before it is made, so that no crash can hide it.
        _write(state, entries)
        try:
            made = tuple(stub for stub in standing if _make(stub))
        except SandboxUnavailable:
            _leave(entries, owner)
            _write(state, entries)
            raise
        refused = set(standing) - set(made)
        entries[:] = [entry for entry in entries if entry.stub not in refused]
    return made, lambda: _release(state, owner, made)


def standing(state: str) -> frozenset[tuple[str, str]]:
    """The (workspace, name) of the place holders that other sessions have made."""
    if not os.path.exists(os.path.join(state, MANIFEST)):
        return frozenset()
    with _manifest(state) as entries:
        return frozenset((entry.stub.workspace, entry.stub.name) for entry in entries)


def usual_state(home: str) -> str:
    """Where it is kept what was made on the host, unless the session says otherwise."""
    return os.path.join(home, ".local", "state", "ringfence")


def sweep(state: str) -> int:
    """Remove the place holders of sessions that are gone, and their copies of Git's settings. Safe at any time and from
    any process of the user."""
    copies = os.path.join(state, COPIES)
    for name in os.listdir(copies) if os.path.isdir(copies) else ():
        owner = name.partition("-")[0]
        if owner.isdecimal() and _started(int(owner)) is None:
            shutil.rmtree(os.path.join(copies, name), ignore_errors=True)
    if not os.path.exists(os.path.join(state, MANIFEST)):
        return 0
    with _manifest(state) as entries:
        before = len(entries)
        _sweep(entries)
        return before - len(entries)


def note(state: str, path: str, user: str) -> None:
    """Put a place holder into the manifest that was made while a session ran, so that it goes with a killed one too."""
    owner = (os.getpid(), _started(os.getpid()) or 0, user)
    with _manifest(state) as entries:
        content = None if os.path.isdir(path) else ""
        stub = Stub(workspace=os.path.dirname(path), name=os.path.basename(path), content=content)
        entry = next((each for each in entries if each.stub.is_same(stub)), None)
        if entry is None:
            entries.append(Entry(stub=stub, users=[owner]))
        elif owner not in entry.users:
            entry.users.append(owner)


def remove_untouched(path: str, state: str | None = None) -> None:
    """Remove a place holder that was made while a session ran, where it is still empty, and no other session needs it
    by the manifest of a state folder."""
    if state is not None and path in {f"{workspace}/{name}" for workspace, name in standing(state)}:
        return
    for content in (None, ""):
        _remove(Stub(workspace=os.path.dirname(path), name=os.path.basename(path), content=content))


def _release(state: str, owner: tuple[int, int, str], made: tuple[Stub, ...]) -> None:
    # Somebody may have removed the whole folder, and the manifest with it, while the session ran.
    os.makedirs(state, mode=0o700, exist_ok=True)
    with _manifest(state) as entries:
        lost = [stub for stub in made if not any(each.stub.is_same(stub) for each in entries)]
        _leave(entries, owner)
        for stub in sorted(lost, key=lambda each: -each.path.count("/")):
            _remove(stub)


def _leave(entries: list[Entry], owner: tuple[int, int, str]) -> None:
    for entry in entries:
        entry.users = [user for user in entry.users if user != owner]
    _sweep(entries)


def _sweep(entries: list[Entry]) -> None:
    for entry in entries:
        entry.users = [user for user in entry.users if _started(user[0]) == user[1]]
    gone = [entry for entry in entries if not entry.users]
    # Deepest first, so that a folder is empty when its turn comes.
    for entry in sorted(gone, key=lambda each: -each.stub.path.count("/")):
        _remove(entry.stub)
    entries[:] = [entry for entry in entries if entry.users]


@contextlib.contextmanager
def _manifest(state: str) -> Iterator[list[Entry]]:
    lock = os.open(os.path.join(state, _LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        entries = _read(state)
        yield entries
        _write(state, entries)
    finally:
        os.close(lock)


def _read(state: str) -> list[Entry]:
    try:
        with open(os.path.join(state, MANIFEST), "rb") as file:
            return msgspec.json.decode(file.read(), type=list[Entry])
    except FileNotFoundError:
        return []


def _write(state: str, entries: list[Entry]) -> None:
    path = os.path.join(state, MANIFEST)
    if entries == _read(state):
        # Replacing a file costs more than all the rest here, because the file system writes the new one out first.
        return
    if not entries:
        os.unlink(path)
        return
    with open(path + ".new", "wb") as file:
        file.write(msgspec.json.encode(entries))
    os.replace(path + ".new", path)


def _started(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
            # One that has ended and was not waited for yet uses nothing any more.
            return None if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


@contextlib.contextmanager
def _parent(stub: Stub) -> Iterator[tuple[int, str]]:
    workspace = open_plain(stub.workspace, os.O_PATH | os.O_DIRECTORY)
    try:
        folder = open_beneath(workspace, os.path.dirname(stub.name) or ".", os.O_PATH | os.O_DIRECTORY)
    finally:
        os.close(workspace)
    try:
        yield folder, os.path.basename(stub.name)
    finally:
        os.close(folder)


def _exists(stub: Stub) -> bool:
    try:
        with _parent(stub) as (folder, name):
            os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _make(stub: Stub) -> bool:
    try:
        with _parent(stub) as (folder, name):
            if stub.content is None:
                os.mkdir(name, 0o755, dir_fd=folder)
                return True
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(name, flags, 0o644, dir_fd=folder), "w") as file:
                file.write(stub.content)
            return True
    except FileExistsError:
        return _is_ours(stub)
    except OSError as error:
        if error.errno in _NEVER_MADE or (error.errno in _NOT_PERMITTED and not _can_permit(stub)):
            # What cannot be made here from outside cannot be made from inside either.
            return False
        # SECURITY: a full disk can be emptied inside, and who owns a folder can make it writable again.
        raise SandboxUnavailable(
            f"`{stub.name}` cannot be protected in `{stub.workspace}`: {(error.strerror or str(error)).lower()}",
            remedy="make the folder writable for you (`chmod u+w`), with space on its disk",
        ) from error


def _can_permit(stub: Stub) -> bool:
    """Whether somebody inside, who is the same user, could give themselves the permission that is missing."""
    try:
        with _parent(stub) as (folder, _):
            return os.fstat(folder).st_uid == os.geteuid()
    except OSError:
        return True


def _is_ours(stub: Stub) -> bool:
    with _parent(stub) as (folder, name):
        if stub.content is None:
            try:
                opened = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            except OSError:
                return False
            try:
                return not os.listdir(opened)
            finally:
                os.close(opened)
        try:
            opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except OSError:
            return False
        with os.fdopen(opened, "rb") as file:
            return file.read(64) == stub.content.encode()


def _remove(stub: Stub) -> None:
    # SECURITY: only ever an empty folder, or a file that still has the content we gave it; by descriptor, so that a
    # folder swapped for a link leads nowhere.
    with contextlib.suppress(OSError), _parent(stub) as (folder, name):
        if stub.content is None:
            os.rmdir(name, dir_fd=folder)
        elif _is_ours(stub):
            os.unlink(name, dir_fd=folder)
