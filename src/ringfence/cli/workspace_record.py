"""Puts on record what becomes of a session's changes, before anything is touched: no record, no change."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ringfence.cli.approvals_record import put_on_record
from ringfence.model.event import ChangesSettled
from ringfence.model.vote import PERSON
from ringfence.session.sources import user

_NAMED = 20


class Settling:
    """Records for one workspace what its user decides."""

    def __init__(self, ledger: str, workspace: str) -> None:
        self._ledger = ledger
        self._workspace = workspace

    def record(
        self,
        action: str,
        session: str,
        *,
        paths: Iterable[bytes | str] = (),
        flags: Iterable[str] = (),
        forced: bool = False,
        way_back: str = "",
    ) -> None:
        """Record a decision, and return once it is durable; `LedgerBroken` where that cannot be had."""
        names = sorted(os.fsdecode(path).encode("utf-8", "replace").decode() for path in paths)
        put_on_record(
            self._ledger,
            session,
            ChangesSettled(
                action=action,
                actor=f"{PERSON}{user().name}",
                workspace=self._workspace,
                files=len(names),
                paths=tuple(names[:_NAMED]),
                flags=tuple(sorted(set(flags))),
                forced=forced,
                way_back=way_back,
            ),
        )
