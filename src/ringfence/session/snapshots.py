"""The snapshots around a session: one before anything runs, one after everything ended, and the way back.

A snapshot that cannot be taken does not stop the session, because it is no protection but a help; it is always said.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable

import msgspec

from ringfence.model.display import shortened, visible
from ringfence.model.situations import RingfenceError, UsageInvalid
from ringfence.sandbox import stubs
from ringfence.sandbox.worktree import Linked, shared_by
from ringfence.session.sources import Places
from ringfence.workspace.difference import Difference, differences
from ringfence.workspace.entries import Entry
from ringfence.workspace.git_index import index_listing, read_index
from ringfence.workspace.git_state import below_git
from ringfence.workspace.ignored import ignored
from ringfence.workspace.keepable import not_kept
from ringfence.workspace.objects import give_back_objects, keep_objects, remove_objects
from ringfence.workspace.restoring import Now, as_it_stands, restore
from ringfence.workspace.store import Snapshot, SnapshotsBroken, Store, pack
from ringfence.workspace.taking import Naming, take

TURN = "turn "
"""How the moment of a turn's beginning is written, before its number."""
ACTION = "action:"
_KINDS = {
    TURN: ("turn", "turns are kept where the agent's hooks tell of them"),
    ACTION: ("action", "an action is kept where a snapshot stood in for a question"),
}
TURNS_KEPT = 20
_BEGINNINGS = frozenset({"start", "undo"})
_GIT = re.compile(rb"\.git/(?:objects|hooks|info/(?:attributes|exclude|grafts))(?:/.*)?|\.git/.*\.lock", re.DOTALL)
"""What is kept another way (objects), cannot be changed in a session (hooks), or is only a moment's."""
_MODULES = re.compile(rb"\.git/modules/.*/(?:objects|hooks|info/attributes)(?:/.*)?", re.DOTALL)


class Undone(msgspec.Struct, frozen=True, kw_only=True):
    """What an undo did."""

    restored: tuple[bytes, ...]
    changed_since: tuple[bytes, ...]
    """Paths that somebody changed after the session; they are left as they are."""
    failed: tuple[tuple[bytes, str], ...]
    way_back: str
    """The name of the snapshot that undoes the undo."""


class Snapshots:
    """The snapshots of one workspace."""

    def __init__(self, places: Places, workspace: str, shared: Linked | None = None) -> None:
        # A path holds no NUL, so that the name of a shared repository is never that of a workspace.
        mark = b"" if shared is None else b"\0" + os.fsencode(shared.own)
        name = hashlib.sha256(os.fsencode(workspace) + mark).hexdigest()[:24]
        self.workspace = workspace
        self._own = None if shared is None else os.fsencode(os.path.relpath(shared.own, workspace))
        """Of a repository that working trees share: the folder in it that is this one's."""
        self._state = places.state
        self.folder = os.path.join(places.state, "snapshots", name)
        self.layers = os.path.join(places.state, "staged", name)
        """What staged sessions wrote, by session."""

    def take(self, *, id: str, session: str, moment: str, now_ns: int) -> tuple[Snapshot, tuple[str, ...]]:  # noqa: A002
        """Keep the workspace as it is; what a person has to be told about it."""
        with self.store() as store:
            naming = Naming(id=id, session=session, moment=moment, taken_ns=now_ns)
            snapshot = take(self.workspace, store, naming, skip=self._skip(), needed=self._staged())
        problem = keep_objects(self.workspace, self._objects)
        notices = []
        if snapshot.left_out:
            path, why = snapshot.left_out[0]
            more = f", and {len(snapshot.left_out) - 1} more" if len(snapshot.left_out) > 1 else ""
            notices.append(f"`{_shown(path) or '.'}` could not be kept for undo: {why}{more}")
        if problem:
            notices.append(f"what Git stored is not kept for undo: {problem}")
        return snapshot, tuple(notices)

    def turn(self, *, id: str, session: str, number: int, now_ns: int) -> None:  # noqa: A002
        """Keep the workspace as it is when a turn begins; of each session the newest of them stay."""
        self.take(id=id, session=session, moment=f"{TURN}{number}", now_ns=now_ns)
        self.forget_turns(session)

    def forget_turns(self, session: str) -> None:
        """Keep the newest turns of a session alone."""
        with self.store() as store, store.transaction():
            mine = [one for one in store.snapshots(session) if one.session == session and one.moment.startswith(TURN)]
            for one in mine[TURNS_KEPT:]:
                store.forget(one.id)

    def before_action(
        self,
        *,
        id: str,  # noqa: A002
        session: str,
        number: int,
        now_ns: int,
        folders: tuple[str, ...],
    ) -> str:
        """Keep the workspace before an action that loses something in these folders; why that is not whole, where it
        is not."""
        if problem := not_kept(self.workspace, folders, ignored(self.workspace, self.empty_repository)):
            return problem
        snapshot, notices = self.take(id=id, session=session, moment=f"{ACTION}{number}", now_ns=now_ns)
        if not notices:
            return ""
        with self.store() as store, store.transaction():
            store.forget(snapshot.id)
        return notices[0]

    def changes(
        self, session: str, turn: int | None = None, action: int | None = None
    ) -> tuple[Snapshot, tuple[Difference, ...], bool]:
        """What a session changed, or what it changed since a turn or an action began; the last tells whether its end
        was seen, or the folder as it is now stands for it."""
        with self.store() as store:
            before, after = self._ends(store, session)
            before = before if turn is None else self.moment(store, before, TURN, turn)
            before = before if action is None else self.moment(store, before, ACTION, action)
            if after is not None:
                return before, differences(store.entries(before), store.entries(after)), True
        # The session has not ended, or was killed: what lies there now is its end.
        now, _ = self.take(id=f"{before.id}-now", session="", moment="now", now_ns=before.taken_ns)
        with self.store() as store:
            found = differences(store.entries(before), store.entries(now))
            with store.transaction():
                store.forget(now.id)
        return before, found, False

    def content(self, keys: tuple[bytes, ...], most: int) -> bytes | None:
        """The content behind the pieces of a file; nothing where it is longer than `most`."""
        with self.store() as store:
            body = bytearray()
            for key in keys:
                body += store.piece(key)
                if len(body) > most:
                    return None
            return bytes(body)

    def undo(
        self,
        session: str,
        paths: tuple[str, ...],
        *,
        force: bool,
        new_id: Callable[[], str],
        now_ns: int,
        turn: int | None = None,
        action: int | None = None,
        way_back: str = "",
    ) -> Undone:
        """Put what a session changed back to how it was before it, or before a turn or an action, after keeping how it
        is now under the name `way_back`, or a new one."""
        before, found, ended = self.changes(session, turn, action)
        wanted = tuple(one for one in found if is_named(one.path, paths))
        if paths and not wanted:
            raise UsageInvalid(
                "the session changed none of these paths", remedy=f"see `ringfence workspace diff {before.session}`"
            )
        way_back = way_back or f"undo-{new_id()}"
        self.take(id=new_id(), session=way_back, moment="undo", now_ns=now_ns)
        with self.store() as store:
            stands = {one.path: self.stand(store, one) for one in wanted}
        moved = () if force or not ended else tuple(one for one in wanted if stands[one.path] is Now.OTHER)
        chosen = tuple(one for one in wanted if one not in moved and stands[one.path] is not Now.BEFORE)
        problem = give_back_objects(self.workspace, self._objects)
        for path in _new_repositories(chosen, moved):
            remove_objects(self.workspace, path)
        with self.store() as store:
            done = restore(self.workspace, store, chosen, suffix=new_id())
            self._still_applied(store, before, {one.path: one.before for one in chosen if one.path in set(done.paths)})
        return Undone(
            restored=done.paths,
            changed_since=tuple(one.path for one in moved if not one.folder),
            failed=(*done.failed, *(((b".git/objects", problem),) if problem else ())),
            way_back=way_back,
        )

    def stand(self, store: Store, one: Difference) -> Now:
        """Which side of a change a path is on. Of Git's index only what it lists counts: `git status` rewrites it."""
        found = as_it_stands(self.workspace, one)
        if found is not Now.OTHER or not one.path.endswith(b"/index") or below_git(one.path) is None:
            return found
        try:
            now = index_listing(read_index(self.workspace, one.path), self.empty_repository)
        except OSError:
            return Now.OTHER
        for side, entry in ((Now.AFTER, one.after), (Now.BEFORE, one.before)):
            if entry is not None and now is not None:
                if index_listing(b"".join(map(store.piece, entry.chunks)), self.empty_repository) == now:
                    return side
        return Now.OTHER

    def _still_applied(self, store: Store, start: Snapshot, back: dict[bytes, Entry | None]) -> None:
        """Of a staged session, what was put back is pending again."""
        found = store.snapshots(start.session)
        applied = next((one for one in found if one.moment == "applied" and one.session == start.session), None)
        if applied is None:
            return
        entries = {entry.path: entry for entry in store.entries(applied)}
        for path, entry in back.items():
            if entry is None:
                entries.pop(path, None)
            else:
                entries[path] = entry
        ordered = tuple(entries[path] for path in sorted(entries))
        listing, packed = pack(ordered)
        with store.transaction():
            store.forget(applied.id)
            store.add(msgspec.structs.replace(applied, listing=listing), ordered, packed)

    def full_name(self, session: str) -> str:
        """The whole id of the session whose id begins so."""
        with self.store() as store:
            return self._starts(store, session)[0].session

    def knows(self, session: str) -> bool:
        """Whether there is a snapshot from before such a session."""
        if not os.path.exists(os.path.join(self.folder, "snapshots.db")):
            return False
        with self.store() as store:
            return any(one.moment in _BEGINNINGS for one in store.snapshots(session))

    def start_of(self, store: Store, session: str) -> Snapshot:
        """The snapshot before a session."""
        return self._starts(store, session)[0]

    def moment(self, store: Store, start: Snapshot, kind: str, number: int) -> Snapshot:
        """The snapshot of a session's turn or action; `UsageInvalid` where it is not kept."""
        mine = [one for one in store.snapshots(start.session) if one.session == start.session]
        kept = {one.moment: one for one in mine if one.moment.startswith(kind)}
        found = kept.get(f"{kind}{number}")
        if found is None:
            numbers = ", ".join(sorted((name.removeprefix(kind) for name in kept), key=int))
            what, when = _KINDS[kind]
            raise UsageInvalid(
                f"{what} {number} of the session is not kept",
                remedy=f"the {what}s that are kept: {numbers}" if numbers else when,
            )
        return found

    def _staged(self) -> frozenset[str]:
        try:
            return frozenset(os.listdir(self.layers))
        except FileNotFoundError:
            return frozenset()

    def _starts(self, store: Store, session: str) -> tuple[Snapshot, tuple[Snapshot, ...]]:
        found = store.snapshots(session)
        starts = [one for one in found if one.moment in _BEGINNINGS]
        if not found or not starts:
            raise UsageInvalid(
                f"there is no snapshot of session `{visible(session)}` in this workspace",
                remedy="`ringfence sessions` lists the sessions; name their folder with `--workspace`",
            )
        if len({one.session for one in starts}) > 1:
            raise UsageInvalid(f"`{visible(session)}` is the beginning of several sessions", remedy="write more of it")
        return starts[-1], found

    def _ends(self, store: Store, session: str) -> tuple[Snapshot, Snapshot | None]:
        start, found = self._starts(store, session)
        mine = [one for one in found if one.session == start.session]
        if start.session in self._staged() and not any(one.moment == "applied" for one in mine):
            raise UsageInvalid(
                "nothing of this staged session was applied, so there is nothing to undo",
                remedy=f"`ringfence workspace discard {start.session}` drops what it wrote",
            )
        return start, next((one for one in mine if one.moment in {"end", "applied"}), None)

    def store(self) -> Store:
        """What keeps them; to be closed."""
        return Store(os.path.join(self.folder, "snapshots.db"))

    @property
    def empty_repository(self) -> str:
        """From where Git is asked what it ignores."""
        return os.path.join(self.folder, "empty.git")

    @property
    def _objects(self) -> str:
        return os.path.join(self.folder, "objects")

    def _skip(self) -> Callable[[bytes], bool]:
        # Place holders of sessions that run just now are nobody's files, and are gone with their sessions.
        standing = (f"{where}/{name}" for where, name in stubs.standing(self._state))
        held = {os.fsencode(os.path.relpath(path, self.workspace)) for path in standing}
        if self._own is not None:
            return _only_repository(self._own, held)
        left = ignored(self.workspace, self.empty_repository)

        def skip(path: bytes) -> bool:
            if path in left or path in held:
                return True
            return path.startswith(b".git/") and bool(_GIT.fullmatch(path) or _MODULES.fullmatch(path))

        return skip


def trees(places: Places, workspace: str) -> tuple[Snapshots, ...]:
    """A workspace, and after it the repository that it shares with others where it is a linked working tree."""
    shared = shared_by(workspace)
    own = Snapshots(places, workspace)
    return (own,) if shared is None else (own, Snapshots(places, os.path.dirname(shared.repository), shared))


def _only_repository(own: bytes, held: set[bytes]) -> Callable[[bytes], bool]:
    """Leaves out what is no part of a repository, and what is of its other working trees."""

    def skip(path: bytes) -> bool:
        if path in held or not (path + b"/").startswith(b".git/") or _GIT.fullmatch(path) or _MODULES.fullmatch(path):
            return True
        return path.startswith(b".git/worktrees/") and not (path + b"/").startswith(own + b"/")

    return skip


def trees_of(places: Places, workspace: str) -> tuple[Snapshots, ...]:
    """The same, where a session ran; `RingfenceError` where there are no snapshots."""
    workspace_of(places, workspace)
    return trees(places, workspace)


def workspace_of(places: Places, workspace: str) -> Snapshots:
    """The snapshots of a workspace; `RingfenceError` where there are none."""
    found = Snapshots(places, workspace)
    if not os.path.exists(os.path.join(found.folder, "snapshots.db")):
        raise RingfenceError(
            f"there are no snapshots of `{visible(workspace)}`",
            remedy="each `ringfence run` takes one; name another folder with `--workspace`",
        )
    return found


def _new_repositories(chosen: tuple[Difference, ...], left: tuple[Difference, ...]) -> list[bytes]:
    """Repositories that go as a whole, with nothing in them that somebody changed since."""
    gone = [one.path for one in chosen if one.before is None and one.folder and below_git(one.path) is not None]
    return [path for path in gone if not any(one.path.startswith(path + b"/") for one in left)]


def is_named(path: bytes, paths: tuple[str, ...]) -> bool:
    """Whether a path is among those that were chosen, or below one; where none were, all are."""
    if not paths:
        return True
    wanted = [os.fsencode(name).strip(b"/") for name in paths]
    return any(path == name or path.startswith(name + b"/") for name in wanted)


def _shown(path: bytes) -> str:
    return shortened(visible(os.fsdecode(path)), 80)


__all__ = ["Snapshots", "SnapshotsBroken", "Undone", "is_named", "trees", "trees_of", "workspace_of"]
