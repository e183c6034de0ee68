"""Limits of a session: which there are, who holds each, and the words when one is reached. Pure.

A level (memory, processes) that is exceeded costs the program that exceeds it; a budget (disk written, wall time) that
is used up ends the session. What the kernel only refuses (another process, another file) is told and no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from ringfence.policy.effective import BUILT_IN, Limits, Origin

MIB = 1024 * 1024


class Outcome(StrEnum):
    """What came of a limit that was reached."""

    KILLED = "killed"
    REFUSED = "refused"
    ENDED = "ended"
    """The whole session."""


class Keeper(StrEnum):
    """Who holds a limit."""

    CGROUP = "cgroup"
    RLIMIT = "rlimit"
    NAMESPACE = "namespace"
    """The highest process number of a process namespace."""
    PROCESSORS = "processors"
    """The processors that the sandbox's programs may run on."""
    WATCH = "watch"
    """A loop outside the sandbox that looks at its processes, and kills."""
    CLOCK = "clock"


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that was reached."""

    limit: str
    """The key under `[limits]`."""
    allowed: int
    seen: int
    outcome: Outcome
    keeper: Keeper
    program: str = ""
    """What reached it, where that is known."""
    said: bool = False
    """Whether its error stream says so already."""


_NAMES = {
    "memory_mb": ("memory", "MiB"),
    "disk_mb": ("disk writes", "MiB"),
    "file_mb": ("file size", "MiB"),
    "processes": ("processes", ""),
    "open_files": ("open files", ""),
    "cpu_percent": ("processor share", "%"),
    "wall_seconds": ("time", "s"),
}
_WHAT = {Outcome.KILLED: "killed", Outcome.REFUSED: "refused more to", Outcome.ENDED: "the session ended"}


def words(reached: Reached, origin: Origin) -> str:
    """One line about a limit that was reached: what, how much, and who set it."""
    name, unit = _NAMES[reached.limit]
    who = f" `{reached.program}`" if reached.program and reached.outcome is not Outcome.ENDED else ""
    what = _WHAT[reached.outcome] if who or reached.outcome is not Outcome.REFUSED else "refused more"
    used = f", {_amount(reached.seen, unit)} used" if reached.seen > reached.allowed else ""
    by = f"limits.{reached.limit}, {origin.layer}, {origin.source}"
    return f"{what}{who}: {name} limit {_amount(reached.allowed, unit)} reached{used} ({by})"


def _amount(number: int, unit: str) -> str:
    return f"{number}{unit}" if unit == "%" else f"{number} {unit}".rstrip()


def set_limits(limits: Limits) -> dict[str, int]:
    """The limits that somebody set, by key."""
    named = ((key, getattr(limits, key)) for key in Limits.__struct_fields__)
    return {key: value for key, value in named if value is not None}


def origin_of(origins: Iterable[tuple[str, Origin]], limit: str) -> Origin:
    """Who set a limit."""
    return dict(origins).get(limit, BUILT_IN)


def told(keepers: dict[str, Keeper]) -> str:
    """Who holds which limit, in one line for the record."""
    return ", ".join(f"{key} by {keeper.value}" for key, keeper in keepers.items()) or "none set"
