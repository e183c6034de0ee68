"""Moments and spans of time, as people write and read them on the command line."""

from __future__ import annotations

import re
from datetime import datetime

from ringfence.model.situations import UsageInvalid

_SPAN = re.compile(r"(\d{1,9})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def span(text: str) -> int:
    """The seconds in `90s`, `15m`, `8h` or `30d`."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise UsageInvalid(f"`{text}` is not a span of time", remedy="write it as `90s`, `15m`, `8h` or `30d`")
    return int(found[1]) * _SECONDS[found[2]]


def since(text: str, now_ns: int) -> int:
    """The moment, in nanoseconds, that `1h` ago or `2026-01-31T12:00` names; without a zone it is local time."""
    if _SPAN.fullmatch(text):
        return max(0, now_ns - span(text) * 1_000_000_000)
    try:
        moment = int(datetime.fromisoformat(text).astimezone().timestamp()) * 1_000_000_000
        # What the ledger's clock can hold: nothing was recorded outside of that.
        return max(0, min(moment, 2**63 - 1))
    except (ValueError, OverflowError) as wrong:
        remedy = "write `1h`, `30d`, `2026-01-31` or `2026-01-31T12:00`"
        raise UsageInvalid(f"`{text}` is not a moment", remedy=remedy) from wrong


def local(time_ns: int) -> str:
    """Date and time in the zone of whoever reads."""
    return datetime.fromtimestamp(time_ns / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def local_time(time_ns: int) -> str:
    """Time with milliseconds, in the zone of whoever reads."""
    return datetime.fromtimestamp(time_ns / 1e9).astimezone().strftime("%H:%M:%S.%f")[:12]


def elapsed(nanoseconds: int) -> str:
    """How long it took, in two figures or three."""
    seconds = nanoseconds / 1e9
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
