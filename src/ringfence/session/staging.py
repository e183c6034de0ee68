"""What a staged session keeps apart from the real tree: where its layer lies, and what is in it as changes.

The layer stays, as evidence and for another look, until it is discarded. Nothing here writes to the workspace.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import time
from collections.abc import Callable, Iterator

import msgspec

from ringfence.model.display import shortened, visible
from ringfence.model.situations import RingfenceError, SandboxUnavailable, UsageInvalid
from ringfence.policy.control_files import ControlFile, is_reported
from ringfence.session.snapshots import TURN, Snapshots
from ringfence.workspace.changes import Changes, named
from ringfence.workspace.difference import Difference, differences
from ringfence.workspace.entries import Entry, Kind, open_below, open_folder
from ringfence.workspace.git_state import Role, below_git, in_object_folder, role
from ringfence.workspace.ignored import ignored_among
from ringfence.workspace.layer import IGNORE_FILE, Outline, merged, outline
from ringfence.workspace.store import Snapshot, Store, pack
from ringfence.workspace.taking import Naming


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """What a staged session would change, beside what was applied of it already."""

    session: str
    start: Snapshot
    """The real tree before the session."""
    applied: Snapshot
    """The same with what was applied; the start itself where nothing was."""
    after: Snapshot
    """The tree as the session saw it in the end."""
    changes: tuple[Difference, ...]


class Staging:
    """The layer of one session."""

    def __init__(self, snapshots: Snapshots, session: str) -> None:
        self.session = session
        self.folder = os.path.join(snapshots.layers, session)
        self.snapshots = snapshots

    @property
    def upper(self) -> str:
        """The folder that holds what the session wrote."""
        return os.path.join(self.folder, "upper")

    @property
    def made(self) -> bool:
        """Whether there is a layer: a repository that a rule closes is not shown inside, and has none."""
        return os.path.isdir(self.upper)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """For as long as the session runs, nobody applies or discards what it writes; and the other way round."""
        lock = self._lock()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise UsageInvalid(
                f"session `{visible(self.session)}` is still running, or something else is done with its changes",
                remedy="wait for its end",
            ) from None
        try:
            yield
        finally:
            os.close(lock)

    def _lock(self) -> int:
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            return os.open(os.path.join(self.folder, "lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as failure:
            raise SandboxUnavailable(
                f"changes cannot be kept in `{self.folder}`: {(failure.strerror or str(failure)).lower()}",
                remedy="free space on the disk of your state folder, and make the folder writable for you",
            ) from failure

    def collect(self, *, id: str, now_ns: int, moment: str = "staged") -> Snapshot:  # noqa: A002
        """Keep what the session wrote, as the tree that it saw."""
        seen = outline(self.upper)
        with self.snapshots.store() as store:
            start = self.snapshots.start_of(store, self.session)
            base = store.entries(start)
            left = self._left(seen, base, store)
            with store.transaction():
                entries, unread = merged(self.upper, seen, base, store, left.__contains__)
                listing, packed = pack(entries)
                about = self._about_ignored(left)
                naming = Naming(id=id, session=start.session, moment=moment, taken_ns=now_ns)
                found = Snapshot(
                    id=naming.id,
                    session=naming.session,
                    moment=naming.moment,
                    taken_ns=naming.taken_ns,
                    listing=listing,
                    left_out=(*about, *seen.refused, *unread)[:_SHOWN],
                )
                store.add(found, entries, packed)
        return found

    def pending(self, *, id: str, now_ns: int) -> Pending:  # noqa: A002
        """What the session would change now. One that was killed is looked at now."""
        with self.snapshots.store() as store:
            mine = [one for one in store.snapshots(self.session) if one.session == self.session]
        after = next((one for one in mine if one.moment == "staged"), None) or self.collect(id=id, now_ns=now_ns)
        with self.snapshots.store() as store:
            start = self.snapshots.start_of(store, self.session)
            applied = next((one for one in mine if one.moment == "applied"), start)
            changes = differences(store.entries(applied), store.entries(after))
        return Pending(session=self.session, start=start, applied=applied, after=after, changes=changes)

    def turn(self, *, id: str, number: int, now_ns: int) -> None:  # noqa: A002
        """Keep what the session wrote when a turn begins; the newest of them stay."""
        self.collect(id=id, now_ns=now_ns, moment=f"{TURN}{number}")
        self.snapshots.forget_turns(self.session)

    def since(self, pending: Pending, turn: int) -> tuple[Difference, ...]:
        """What the session wrote from a turn on."""
        with self.snapshots.store() as store:
            began = self.snapshots.moment(store, pending.start, TURN, turn)
            return differences(store.entries(began), store.entries(pending.after))

    def back_to(self, turn: int, pending: Pending, *, new_id: Callable[[], str]) -> int:
        """Make what is pending what it was when a turn began; the turn that brings back what it is now."""
        with self.snapshots.store() as store, store.transaction():
            began = self.snapshots.moment(store, pending.start, TURN, turn)
            mine = [one for one in store.snapshots(self.session) if one.session == self.session]
            numbers = [int(one.moment.removeprefix(TURN)) for one in mine if one.moment.startswith(TURN)]
            number = max(numbers) + 1
            for kept, moment in ((pending.after, f"{TURN}{number}"), (began, "staged")):
                entries = store.entries(kept)
                store.add(msgspec.structs.replace(kept, id=new_id(), moment=moment), entries, pack(entries)[1])
            store.forget(pending.after.id)
        return number

    def objects(self) -> tuple[bytes, ...]:
        """What Git stored in the layer, by path."""
        seen = outline(self.upper)
        return tuple(path for path in seen.others if _role(path) is Role.OBJECT)

    def discard(self, *, id: str) -> None:  # noqa: A002
        """Remove the layer and what was kept of it. What was applied of it can still be undone."""
        with self.held():
            remove(self.folder)
        if os.path.lexists(self.folder):
            raise RingfenceError(
                f"`{self.folder}` could not be removed whole",
                remedy="look at what is left there, and remove it yourself",
            )
        with self.snapshots.store() as store, store.transaction():
            start = self.snapshots.start_of(store, self.session)
            mine = [one for one in store.snapshots(self.session) if one.session == self.session]
            for one in mine:
                if one.moment == "staged" or one.moment.startswith(TURN):
                    store.forget(one.id)
            if not any(one.moment == "applied" for one in mine):
                # Nothing of it ever reached the real tree, whatever happened there since.
                entries = store.entries(start)
                store.add(msgspec.structs.replace(start, id=id, moment="applied"), entries, pack(entries)[1])

    def end(self) -> None:
        """Remove what only the mount needed."""
        for name in ("work", "place-holders"):
            remove(os.path.join(self.folder, name))

    def _left(self, seen: Outline, base: tuple[Entry, ...], store: Store) -> frozenset[bytes]:
        """What of the layer is no part of the tree: what Git ignores, what it stored, and what it makes again."""
        stored = {path for path in (*seen.others, *seen.folders) if _is_stored(path)}
        files = [path for path in seen.others if below_git(path) is None]
        folders = [path for path in seen.folders if below_git(path) is None]
        ignored = ignored_among(
            files,
            folders,
            _ignore_files(seen, base, store),
            workspace=self.snapshots.workspace,
            empty_repository=self.snapshots.empty_repository,
        )
        needed = {above for path in files if path not in ignored for above in _above(path)}
        return frozenset(stored | (ignored - needed))

    def _about_ignored(self, left: frozenset[bytes]) -> tuple[tuple[bytes, str], ...]:
        count = sum(1 for path in left if below_git(path) is None)
        text = f"{count} path{'' if count == 1 else 's'} that Git ignores: they stay in the session's layer"
        return ((b"", text),) if count else ()


_SHOWN = 100
_TOLD = 3


def collected(
    stagings: tuple[Staging, ...], rows: tuple[ControlFile, ...], new_id: Callable[[], str]
) -> tuple[Changes, tuple[str, ...]]:
    """What a session left in its layers, at its end; and what has to be told about it."""
    files, told, complete = list[str](), list[str](), True
    for staging in filter(lambda each: each.made, stagings):
        try:
            staging.end()
            pending = staging.pending(id=new_id(), now_ns=time.time_ns())
        except (RingfenceError, OSError) as failure:
            why = failure.message if isinstance(failure, RingfenceError) else str(failure)
            told.append(f"what the session wrote lies in `{staging.upper}` and could not be read: {why}")
            complete = False
            continue
        files += [os.fsdecode(one.path) for one in pending.changes if not one.folder and below_git(one.path) is None]
        told += [
            f"`{shortened(visible(os.fsdecode(path)), 80)}`: {why}" if path else why
            for path, why in pending.after.left_out
        ]
    first, more = named(name for name in files if is_reported(name, rows))
    changes = Changes(files=len(files), control_files=first, complete=complete, more_control_files=more)
    return changes, tuple(told[:_TOLD])


def find(trees: tuple[Snapshots, ...], session: str) -> tuple[Staging, ...]:
    """The layers of the staged session whose id begins so: of its workspace, and of the repository that this shares.
    Empty where there is no such session."""
    own, *shared = trees
    try:
        names = [name for name in os.listdir(own.layers) if name.startswith(session)]
    except FileNotFoundError:
        return ()
    if len(names) > 1:
        raise UsageInvalid(f"`{visible(session)}` is the beginning of several sessions", remedy="write more of it")
    if not names:
        return ()
    return Staging(own, names[0]), *filter(lambda each: each.made, (Staging(each, names[0]) for each in shared))


def remove(folder: str) -> None:
    """Remove a folder of ours, also where what is in it was closed to everybody. Nothing inside runs any more."""
    if not os.path.isdir(folder) or os.path.islink(folder):
        return
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o700)
        top = open_folder(folder)
        try:
            _empty(top)
        finally:
            os.close(top)
        os.rmdir(folder)


def _empty(top: int) -> None:
    # SECURITY: a session can make a tree deeper than any path is long. Its folders are moved up to the top one by one,
    # so that nothing here is ever more than two folders deep.
    lifted = itertools.count()
    pending = _without_files(top)
    while pending:
        name = pending.pop()
        with contextlib.suppress(OSError):
            os.chmod(name, 0o700, dir_fd=top)
            folder = open_below(top, name)
            try:
                for inner in _without_files(folder):
                    os.chmod(inner, 0o700, dir_fd=folder)
                    up = b".removed-%d" % next(lifted)
                    os.rename(inner, up, src_dir_fd=folder, dst_dir_fd=top)
                    pending.append(up)
            finally:
                os.close(folder)
            os.rmdir(name, dir_fd=top)


def _without_files(folder: int) -> list[bytes]:
    """The folders in a folder, after everything else in it is gone."""
    with os.scandir(folder) as listed:
        entries = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in listed]
    for name, is_folder in entries:
        if not is_folder:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)
    return [name for name, is_folder in entries if is_folder]


def _role(path: bytes) -> Role | None:
    rest = below_git(path)
    return None if rest is None else role(rest)


def _is_stored(path: bytes) -> bool:
    """Whether Git keeps or makes it itself: it is taken over in another way, or not at all."""
    rest = below_git(path)
    return rest is not None and (role(rest) in (Role.OBJECT, Role.DERIVED) or in_object_folder(rest))


def _above(path: bytes) -> Iterator[bytes]:
    while path := path.rpartition(b"/")[0]:
        yield path


def _ignore_files(seen: Outline, base: tuple[Entry, ...], store: Store) -> tuple[tuple[bytes, bytes], ...]:
    found = {
        entry.path: b"".join(map(store.piece, entry.chunks))
        for entry in base
        if entry.kind is Kind.FILE and entry.path.rpartition(b"/")[2] == IGNORE_FILE and not seen.gone(entry.path)
    }
    return tuple((found | dict(seen.ignore_files)).items())
