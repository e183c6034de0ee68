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
from ringfence.session.sources import Places
from ringfence.workspace.difference import Difference, differences
from ringfence.workspace.ignored import ignored
from ringfence.workspace.objects import give_back_objects, keep_objects
from ringfence.workspace.restoring import as_it_is, restore
from ringfence.workspace.store import Snapshot, SnapshotsBroken, Store
from ringfence.workspace.taking import Naming, take

_GIT = re.compile(
    rb"\.git/(?:objects|hooks|info/(?:attributes|exclude|grafts)|config|config\.worktree)(?:/.*)?|\.git/.*\.lock"
)
"""What is kept another way (objects), cannot be changed in a session (hooks, settings), or is only a moment's."""
_MODULES = re.compile(rb"\.git/modules/.*/(?:objects|hooks|info/attributes|config|config\.worktree)(?:/.*)?")


class Undone(msgspec.Struct, frozen=True, kw_only=True):
    """What an undo did."""

    restored: tuple[bytes, ...]
    changed_since: tuple[bytes, ...]
    """Paths that somebody changed after the session; they are left as they are."""
    failed: tuple[tuple[bytes, str], ...]
    way_back: str
    """The id of the snapshot that undoes the undo."""


class Snapshots:
    """The snapshots of one workspace."""

    def __init__(self, places: Places, workspace: str) -> None:
        name = hashlib.sha256(os.fsencode(workspace)).hexdigest()[:24]
        self.workspace = workspace
        self._folder = os.path.join(places.state, "snapshots", name)

    def take(self, *, id: str, session: str, moment: str, now_ns: int) -> tuple[Snapshot, tuple[str, ...]]:  # noqa: A002
        """Keep the workspace as it is; what a person has to be told about it."""
        with self._store() as store:
            naming = Naming(id=id, session=session, moment=moment, taken_ns=now_ns)
            snapshot = take(self.workspace, store, naming, skip=self._skip())
        problem = keep_objects(self.workspace, self._objects)
        notices = []
        if snapshot.left_out:
            path, why = snapshot.left_out[0]
            more = f", and {len(snapshot.left_out) - 1} more" if len(snapshot.left_out) > 1 else ""
            notices.append(f"`{_shown(path) or '.'}` could not be kept for undo: {why}{more}")
        if problem:
            notices.append(f"what Git stored is not kept for undo: {problem}")
        return snapshot, tuple(notices)

    def changes(self, session: str) -> tuple[Snapshot, tuple[Difference, ...], bool]:
        """What a session changed; the last tells whether its end was seen, or the folder as it is now stands for it."""
        with self._store() as store:
            before, after = self._ends(store, session)
            if after is not None:
                return before, differences(store.entries(before), store.entries(after)), True
        # The session has not ended, or was killed: what lies there now is its end.
        now, _ = self.take(id=f"{before.id}-now", session="", moment="now", now_ns=before.taken_ns)
        with self._store() as store:
            found = differences(store.entries(before), store.entries(now))
            with store.transaction():
                store.forget(now.id)
        return before, found, False

    def content(self, keys: tuple[bytes, ...], most: int) -> bytes | None:
        """The content behind the pieces of a file; nothing where it is longer than `most`."""
        with self._store() as store:
            body = bytearray()
            for key in keys:
                body += store.piece(key)
                if len(body) > most:
                    return None
            return bytes(body)

    def undo(
        self, session: str, paths: tuple[str, ...], *, force: bool, new_id: Callable[[], str], now_ns: int
    ) -> Undone:
        """Put what a session changed back to how it was before, after keeping how it is now."""
        before, found, ended = self.changes(session)
        wanted = tuple(one for one in found if _named(one.path, paths))
        if paths and not wanted:
            raise UsageInvalid(
                "the session changed none of these paths", remedy=f"see `ringfence workspace diff {before.session}`"
            )
        kept, _ = self.take(id=new_id(), session=f"undo-{new_id()}", moment="undo", now_ns=now_ns)
        moved = () if force or not ended else tuple(one for one in wanted if not as_it_is(self.workspace, one))
        chosen = tuple(one for one in wanted if one not in moved)
        give_back_objects(self.workspace, self._objects)
        with self._store() as store:
            done = restore(self.workspace, store, chosen, suffix=new_id())
        return Undone(
            restored=done.paths,
            changed_since=tuple(one.path for one in moved if not one.folder),
            failed=done.failed,
            way_back=kept.id,
        )

    def _ends(self, store: Store, session: str) -> tuple[Snapshot, Snapshot | None]:
        found = store.snapshots(session)
        starts = [one for one in found if one.moment in {"start", "undo"}]
        if not found or not starts:
            raise UsageInvalid(
                f"there is no snapshot of session `{visible(session)}` in this workspace",
                remedy="`ringfence sessions` lists the sessions; name their folder with `--workspace`",
            )
        if len({one.session for one in starts}) > 1:
            raise UsageInvalid(f"`{visible(session)}` is the beginning of several sessions", remedy="write more of it")
        start = starts[-1]
        return start, next((one for one in found if one.moment == "end" and one.session == start.session), None)

    def _store(self) -> Store:
        return Store(os.path.join(self._folder, "snapshots.db"))

    @property
    def _objects(self) -> str:
        return os.path.join(self._folder, "objects")

    def _skip(self) -> Callable[[bytes], bool]:
        left = ignored(self.workspace, os.path.join(self._folder, "empty.git"))

        def skip(path: bytes) -> bool:
            if path in left:
                return True
            return path.startswith(b".git/") and bool(_GIT.fullmatch(path) or _MODULES.fullmatch(path))

        return skip


def workspace_of(places: Places, workspace: str) -> Snapshots:
    """The snapshots of a workspace; `RingfenceError` where there are none."""
    found = Snapshots(places, workspace)
    if not os.path.exists(os.path.join(found._folder, "snapshots.db")):
        raise RingfenceError(
            f"there are no snapshots of `{visible(workspace)}`",
            remedy="each `ringfence run` takes one; name another folder with `--workspace`",
        )
    return found


def _named(path: bytes, paths: tuple[str, ...]) -> bool:
    if not paths:
        return True
    wanted = [os.fsencode(name).strip(b"/") for name in paths]
    return any(path == name or path.startswith(name + b"/") for name in wanted)


def _shown(path: bytes) -> str:
    return shortened(visible(os.fsdecode(path)), 80)


__all__ = ["Snapshots", "SnapshotsBroken", "Undone", "workspace_of"]
