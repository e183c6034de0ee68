"""Takes changes of a staged session over into the real tree: what was chosen, path by path, and nothing else.

Before that the tree is kept as it is, so that it can be undone. A path that somebody changed since the session began is
left as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import msgspec

from ringfence.model.display import visible
from ringfence.model.situations import RingfenceError
from ringfence.policy.control_files import ControlFile
from ringfence.session.snapshots import Snapshots
from ringfence.session.staging import Pending, Staging
from ringfence.telemetry.redaction import holds_secret
from ringfence.workspace.branches import branches
from ringfence.workspace.difference import Difference
from ringfence.workspace.entries import PIECE, Entry, Kind, Stamp, open_below, open_folder
from ringfence.workspace.gate import Judged, judged
from ringfence.workspace.git_objects import add_objects
from ringfence.workspace.git_settings import Merged, is_of_worktree, merge, read_settings, replace_settings
from ringfence.workspace.git_state import Role, below_git, role
from ringfence.workspace.restoring import Now, restore
from ringfence.workspace.store import Snapshot, Store, pack

LOOKED_AT = 1024 * 1024
"""Bytes of a file that the gate looks at."""


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the changes that were chosen."""

    applied: tuple[bytes, ...]
    changed_since: tuple[bytes, ...]
    """Paths that somebody else changed since the session began; they are left as they are."""
    failed: tuple[tuple[bytes, str], ...]
    settings: tuple[tuple[bytes, str, str], ...]
    """Settings of Git that did not pass: file, key, reason."""
    way_back: str
    """The name of the snapshot that undoes it."""


def together(parts: Iterable[Applied]) -> Applied | None:
    """What became of the changes to several trees; None where nothing was to be applied to any."""
    found = tuple(parts)
    if not found:
        return None
    return Applied(
        applied=tuple(path for each in found for path in each.applied),
        changed_since=tuple(path for each in found for path in each.changed_since),
        failed=tuple(one for each in found for one in each.failed),
        settings=tuple(one for each in found for one in each.settings),
        way_back=found[0].way_back,
    )


class Applying:
    """The gate and what lies behind it, for one staged session."""

    def __init__(self, snapshots: Snapshots, staging: Staging, rows: tuple[ControlFile, ...]) -> None:
        self._snapshots = snapshots
        self._staging = staging
        self._rows = rows

    def judged(self, pending: Pending) -> tuple[Judged, ...]:
        """What the gate says of each change."""
        with self._snapshots.store() as store:

            def content(entry: Entry) -> bytes | None:
                if entry.kind is not Kind.FILE or entry.stamp.size > LOOKED_AT:
                    return None
                return b"".join(map(store.piece, entry.chunks))

            return judged(pending.changes, content, holds_secret, self._rows)

    def with_content(self, entry: Entry, content: bytes) -> Entry:
        """The same file with another content: a part of the changes to it."""
        with self._snapshots.store() as store, store.transaction():
            pieces = tuple(store.add_piece(content[at : at + PIECE]) for at in range(0, len(content), PIECE))
        size = Stamp(len(content), 0, 0, 0)
        return msgspec.structs.replace(entry, chunks=pieces, stamp=size)

    def apply(
        self,
        pending: Pending,
        chosen: Iterable[Difference],
        *,
        force: bool,
        new_id: Callable[[], str],
        now_ns: int,
        way_back: str = "",
    ) -> Applied:
        """Take changes over. The caller has had them judged, and answers for those that are flagged. `way_back`: the
        name of the snapshot that undoes it, where it is to have one that is known already."""
        chosen = tuple(chosen)
        workspace = self._snapshots.workspace
        for one in chosen:
            lock = os.fsdecode(one.path) + ".lock"
            if (
                one.path.endswith(b"/index")
                and below_git(one.path) is not None
                and os.path.lexists(f"{workspace}/{lock}")
            ):
                raise RingfenceError(
                    f"Git is at work in the repository: `{visible(lock)}` is there",
                    remedy="wait for it; if no Git is running, remove that file",
                )
        way_back = way_back or f"undo-{new_id()}"
        self._snapshots.take(id=new_id(), session=way_back, moment="undo", now_ns=now_ns)
        settings = tuple(one for one in chosen if _is_settings(one))
        with self._snapshots.store() as store:
            stands = {one.path: self._snapshots.stand(store, one) for one in chosen if one not in settings}
        moved = () if force else tuple(path for path, stand in stands.items() if stand is Now.OTHER)
        failed: tuple[tuple[bytes, str], ...] = ()
        if any(below_git(one.path) is not None for one in chosen):
            # First what references name, then the references.
            failed = add_objects(self._staging.upper, workspace, self._staging.objects(), new_id())
        with self._snapshots.store() as store:
            wanted = [one for one in chosen if stands.get(one.path) in (Now.BEFORE, Now.AFTER) or force]
            wanted = [one for one in wanted if one not in settings and one.path not in moved]
            turned = [Difference(path=one.path, before=one.after, after=_now(one, stands[one.path])) for one in wanted]
            done = restore(workspace, store, turned, suffix=new_id())
            base = store.entries(pending.start)
            merged = [(one, self._settings(store, base, one)) for one in settings]
            through = {one.path: one.after for one in wanted if one.path in set(done.paths)}
            for one, said in merged:
                if isinstance(said, Merged) and said.passed:
                    through[one.path] = _settled(store, one, said)
            self._remember(store, pending, through, new_id(), now_ns)
        failed = (*failed, *done.failed, *((one.path, said) for one, said in merged if isinstance(said, str)))
        return Applied(
            applied=tuple(sorted(through)),
            changed_since=moved,
            failed=failed,
            settings=tuple(
                (one.path, key, why) for one, said in merged if isinstance(said, Merged) for key, why in said.refused
            ),
            way_back=way_back,
        )

    def _settings(self, store: Store, base: tuple[Entry, ...], one: Difference) -> Merged | str:
        """Bring a settings file's changes in, key by key; why not, where that fails."""
        start = _content(store, one.before)
        above, _, name = one.path.rpartition(b"/")
        if one.after is None or one.after.kind is not Kind.FILE:
            return "it was removed or replaced, which settings of a repository cannot be"
        try:
            top = open_folder(self._snapshots.workspace)
            try:
                folder = open_below(top, above)
            finally:
                os.close(top)
        except OSError as error:
            return (error.strerror or str(error)).lower()
        try:
            real = read_settings(folder, name)
            found = merge(
                start,
                _content(store, one.after),
                real,
                branches=branches(base, store, above),
                of_module=b"modules/" in above,
                of_worktree=is_of_worktree(one.path),
            )
            if found.content != real:
                replace_settings(folder, name, found.content)
            return found
        except OSError as error:
            return (error.strerror or str(error)).lower()
        finally:
            os.close(folder)

    def _remember(
        self,
        store: Store,
        pending: Pending,
        through: dict[bytes, Entry | None],
        id: str,  # noqa: A002
        now_ns: int,
    ) -> None:
        """Note what is in the real tree by now, so that the rest is what is pending."""
        entries = {entry.path: entry for entry in store.entries(pending.applied)}
        for path, entry in through.items():
            if entry is None:
                entries.pop(path, None)
            else:
                entries[path] = entry
        remember(store, pending.session, tuple(entries[path] for path in sorted(entries)), id=id, now_ns=now_ns)


def remember(store: Store, session: str, entries: tuple[Entry, ...], *, id: str, now_ns: int) -> None:  # noqa: A002
    """Keep the state up to which a session's changes were taken over."""
    listing, packed = pack(entries)
    with store.transaction():
        store.add(Snapshot(id=id, session=session, moment="applied", taken_ns=now_ns, listing=listing), entries, packed)


def _settled(store: Store, one: Difference, said: Merged) -> Entry:
    """A settings file as it is now. Keys that did not pass stay pending: they are looked at each time, and told."""
    with store.transaction():
        piece = store.add_piece(said.content)
    assert one.after is not None
    stamp = Stamp(len(said.content), 0, 0, 0)
    return msgspec.structs.replace(one.after, chunks=(piece,) if said.content else (), stamp=stamp)


def _now(one: Difference, stand: Now) -> Entry | None:
    """What is in the way of a change: what was there before, or after it, where it was applied already."""
    return one.after if stand is Now.AFTER else one.before


def _content(store: Store, entry: Entry | None) -> bytes:
    return b"".join(map(store.piece, entry.chunks)) if entry is not None else b""


def _is_settings(one: Difference) -> bool:
    rest = below_git(one.path)
    kinds = {entry.kind for entry in (one.before, one.after) if entry is not None}
    return rest is not None and role(rest) is Role.SETTINGS and Kind.FOLDER not in kinds
