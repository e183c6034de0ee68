"""Puts the result of the battery on record, as a session of its own whose end is sealed with the ledger's key.

`ringfence log verify` covers it, and `ringfence log prove` takes the proof of one result elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import platform
import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from ringfence.model.event import BatteryRun, SessionEnded, SessionStarted
from ringfence.model.ids import new_id
from ringfence.telemetry.ledger import Ledger
from ringfence.verify import battery
from ringfence.verify.outcomes import Row, holds
from ringfence.version import __version__


class Occasion(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs the battery, and how."""

    ledger: str
    user: str
    host: str
    argv: tuple[str, ...]
    tiers: tuple[str, ...]
    whole: bool
    """Every attack is tried."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A result, and where it stands in the record."""

    session: str
    rows: tuple[Row, ...]
    entries: tuple[tuple[str, int], ...]
    """Each tier, and the sequence of its entry in the ledger, which `ringfence log prove` takes."""


async def record(occasion: Occasion, work: Callable[[threading.Event], Sequence[Row]]) -> Recorded:
    """Do the work between the start and the end of a session, and return once its result is durable and sealed.

    The work is told when nobody waits for it any more.
    """
    session, began, unwanted = new_id(), time.monotonic(), threading.Event()
    ledger = await Ledger.start(occasion.ledger, session=session)
    try:
        # Before the work: where nothing can be recorded, nothing is tried.
        await ledger.record(_started(occasion))
        try:
            rows = tuple(await asyncio.to_thread(work, unwanted))
        except BaseException:
            unwanted.set()
            await ledger.record(SessionEnded(exit_code=None, outcome="failed", duration_ms=_since(began)))
            raise
        entries = []
        for tier in occasion.tiers:
            receipt = await ledger.record(_result(occasion, rows, tier, _since(began)))
            entries.append((tier, receipt.sequence))
        code = 0 if holds(rows, occasion.tiers) else 1
        await ledger.record(SessionEnded(exit_code=code, outcome="exited", duration_ms=_since(began)))
    finally:
        await ledger.close()
    return Recorded(session=session, rows=rows, entries=tuple(entries))


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _started(occasion: Occasion) -> SessionStarted:
    return SessionStarted(
        agent="verify",
        argv=occasion.argv,
        cwd=os.getcwd(),
        workspace=os.getcwd(),
        workspace_mode="none",
        user=occasion.user,
        host=occasion.host,
        tier="".join(occasion.tiers),
        enforcement=(),
        policy="",
        layers=(),
        version=__version__,
    )


def _result(occasion: Occasion, rows: Sequence[Row], tier: str, duration_ms: int) -> BatteryRun:
    return BatteryRun(
        battery=battery.digest(),
        version=__version__,
        kernel=platform.release(),
        tier=tier,
        holds=holds(rows, (tier,)),
        whole=occasion.whole,
        results=tuple((row.id, row.outcome.value) for row in rows if row.tier == tier),
        duration_ms=duration_ms,
    )
