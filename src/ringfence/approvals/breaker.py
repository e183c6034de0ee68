"""The circuit breaker: an agent whose questions are denied again and again is not asked for any more in this turn.

Pure: answers in, a state out. What counts is what people and reviewers have answered; a question that nobody answered,
or that a rule has decided, says nothing about the agent.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

import msgspec

RECENT = 50
"""How many answers it looks back on."""
REST_SECONDS = 300
"""After this, one question is let through, to see whether the agent has come to reason."""


class BreakerState(StrEnum):
    """Whether questions pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How many denials are too many."""

    in_a_row: int = 3
    of_recent: int = 10


class Breaker:
    """Counts the answers of one turn of an agent."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._recent: deque[bool] = deque(maxlen=RECENT)
        self._in_a_row = 0
        self._opened_at: float | None = None
        self._trying = False

    @property
    def in_a_row(self) -> int:
        """Denials in a row."""
        return self._in_a_row

    @property
    def of_recent(self) -> int:
        """Denials among the last answers."""
        return sum(self._recent)

    def state(self, now: float) -> BreakerState:
        """Whether questions pass, by a clock that never goes back."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        rested = now - self._opened_at >= REST_SECONDS
        return BreakerState.HALF_OPEN if rested and not self._trying else BreakerState.OPEN

    def passes(self, now: float) -> bool:
        """Whether a question may be put; the first one after the rest is the one that is tried."""
        state = self.state(now)
        self._trying = self._trying or state is BreakerState.HALF_OPEN
        return state is not BreakerState.OPEN

    def note(self, *, denied: bool, now: float) -> None:
        """Take an answer into account."""
        self._trying = False
        self._recent.append(denied)
        self._in_a_row = self._in_a_row + 1 if denied else 0
        if not denied and self._opened_at is not None:
            self.reset()
        elif self._in_a_row >= self._limits.in_a_row or self.of_recent >= self._limits.of_recent:
            self._opened_at = now

    def unanswered(self) -> None:
        """The question that was tried got no answer: the next one may be tried."""
        self._trying = False

    def reset(self) -> None:
        """Begin anew: the person has spoken to the agent."""
        self._recent.clear()
        self._in_a_row, self._opened_at, self._trying = 0, None, False

    def why(self) -> str:
        """Why questions do not pass, in words for people."""
        if self._in_a_row >= self._limits.in_a_row:
            return f"{self._in_a_row} questions in a row were denied"
        return f"{self.of_recent} of the last {len(self._recent)} questions were denied"
