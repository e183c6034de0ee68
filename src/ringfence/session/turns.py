"""Keeps the workspace at the beginning of each turn that an agent's hooks tell of, so that one turn can be undone.

The agent waits meanwhile. What is inside tells when a turn begins, so neither their number nor their pace is believed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ringfence.workspace.store import SnapshotsBroken

PAUSE_SECONDS = 2.0
"""Turns that follow one another faster are not kept one by one."""


class Turns:
    """The turns of one session."""

    def __init__(self, keep: Callable[[int], None], *, now: Callable[[], float] = time.monotonic) -> None:
        """`keep`: keeps what a turn with this number begins with; `SnapshotsBroken` or `OSError` where it cannot."""
        self._keep = keep
        self._now = now
        self._number = 0
        self._last = -PAUSE_SECONDS
        self._one_at_a_time = asyncio.Lock()
        self.problem: str | None = None
        """Why the last turn that was to be kept was not."""

    async def began(self) -> None:
        """A turn begins: keep the workspace, before the agent goes on."""
        async with self._one_at_a_time:
            self._number += 1
            if self._now() - self._last < PAUSE_SECONDS:
                return
            try:
                await asyncio.to_thread(self._keep, self._number)
                self.problem = None
            except (SnapshotsBroken, OSError) as failure:
                self.problem = failure.message if isinstance(failure, SnapshotsBroken) else str(failure)
            self._last = self._now()
