"""The machine's clock, for whoever takes a clock as an argument."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's clock (`ringfence.model.ports.Clock`)."""

    # Asked several times for each connection: no call of ours is in between.
    monotonic = staticmethod(time.monotonic)
    time_ns = staticmethod(time.time_ns)
