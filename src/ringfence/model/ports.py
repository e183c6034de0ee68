"""Ports: what the layers need of each other, as Protocols, so that they never import one another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ringfence.model.event import Body, Receipt
from ringfence.model.situations import LedgerBroken


class Recorder(Protocol):
    """Puts events on record, in the order of the calls."""

    async def record(self, body: Body) -> Receipt:
        """Record and return once it is durable; `LedgerBroken` where that cannot be had."""
        ...

    def record_soon(self, body: Body, done: Callable[[Receipt | LedgerBroken], None] | None = None) -> None:
        """Record without waiting; `done` is called once, from the event loop, with the outcome."""
        ...


class Clock(Protocol):
    """Where time comes from; a test hands in one it can move."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    def time_ns(self) -> int:
        """Nanoseconds since the epoch."""
        ...
