"""The machine's clock, for whoever takes a clock as an argument."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's clock (`ringfence.model.ports.Clock`)."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def time_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return time.time_ns()
