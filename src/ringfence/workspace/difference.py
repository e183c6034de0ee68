"""What differs between two moments of a workspace, path by path. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from ringfence.workspace.entries import Entry, Kind


class Change(StrEnum):
    """What happened to a path."""

    ADDED = "added"
    CHANGED = "changed"
    DELETED = "deleted"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One path that is not as it was."""

    path: bytes
    before: Entry | None
    after: Entry | None

    @property
    def change(self) -> Change:
        """In one word."""
        if self.before is None:
            return Change.ADDED
        return Change.DELETED if self.after is None else Change.CHANGED

    @property
    def folder(self) -> bool:
        """Whether nothing but folders is concerned."""
        return all(one is None or one.kind is Kind.FOLDER for one in (self.before, self.after))


def differences(before: Iterable[Entry], after: Iterable[Entry]) -> tuple[Difference, ...]:
    """Everything that differs, by path."""
    old = {entry.path: entry for entry in before}
    new = {entry.path: entry for entry in after}
    found = []
    for path in sorted(old.keys() | new.keys()):
        was, now = old.get(path), new.get(path)
        if was is None or now is None or not was.same_as(now):
            found.append(Difference(path=path, before=was, after=now))
    return tuple(found)
