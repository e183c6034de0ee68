"""Limits that a process puts on itself, and that everything it starts inherits and cannot raise. Runs inside."""

from __future__ import annotations

import os
import resource


def bound(kind: int, wanted: int | None) -> None:
    """Take a limit on; one that is lower already stays."""
    if wanted:
        _, hard = resource.getrlimit(kind)
        most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(kind, (most, most))


def pin(processors: int | None) -> None:
    """Run on so many processors only; the filter keeps what is started here from running on others."""
    if processors:
        # Not always the first ones: several sessions would share them.
        mine = sorted(os.sched_getaffinity(0), key=lambda _: os.urandom(4))
        os.sched_setaffinity(0, mine[:processors])
