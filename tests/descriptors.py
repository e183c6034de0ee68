"""What this process has open, for tests that show that nothing stays open: other tests run in the same process, and
what they left may close meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time

PATIENCE = 30.0


def opened() -> frozenset[tuple[str, str]]:
    """Every descriptor with what it leads to."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that listed them
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
    return frozenset(found)


async def left_open(before: frozenset[tuple[str, str]], *, but: int = 0) -> frozenset[tuple[str, str]]:
    """What has been opened since and stays so; what the loop or another thread still closes is waited for.

    `but`: so many may stay.
    """
    deadline = time.monotonic() + PATIENCE
    while len(left := opened() - before) > but and time.monotonic() < deadline:
        await asyncio.sleep(0.005)
    return left
