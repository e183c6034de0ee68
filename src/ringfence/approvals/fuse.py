"""The circuit breaker of a gate: keeps it, puts its changes on record, and begins anew when the person speaks."""

from __future__ import annotations

from collections.abc import Callable

from ringfence.approvals.breaker import Breaker, BreakerState, Limits
from ringfence.approvals.question import Settled
from ringfence.model.event import BreakerChanged
from ringfence.model.ports import Clock, Recorder


class Fuse:
    """The breaker of one session."""

    def __init__(self, limits: Limits, clock: Clock, recorder: Recorder, turn: Callable[[], int]) -> None:
        self._breaker = Breaker(limits)
        self._clock = clock
        self._recorder = recorder
        self._turn = turn
        self._seen = turn()
        self._noted: set[str] = set()

    def blown(self) -> str:
        """Why nothing is asked at the moment; empty where questions pass."""
        if self._turn() != self._seen:
            self._seen = self._turn()
            was = self._breaker.state(self._clock.monotonic())
            self._breaker.reset()
            if was is not BreakerState.CLOSED:
                self._record("the person spoke to the agent")
        before = self._breaker.state(self._clock.monotonic())
        if self._breaker.passes(self._clock.monotonic()):
            if before is BreakerState.HALF_OPEN:
                self._record("one question is tried", state=before)
            return ""
        return f"{self._breaker.why()}, so nothing more is asked in this turn of the agent"

    def note(self, settled: Settled) -> None:
        """Take the end of a question into account, once, however many waited for it."""
        if settled.request is None or settled.request.id in self._noted:
            return
        self._noted.add(settled.request.id)
        if settled.by != "person":
            self._breaker.unanswered()
            return
        now = self._clock.monotonic()
        before = self._breaker.state(now)
        self._breaker.note(denied=settled.grant is None, now=now)
        if self._breaker.state(now) is not before:
            why = "a question was approved" if settled.grant is not None else self._breaker.why()
            self._record(why)

    def unanswered(self) -> None:
        """The question that passed gets no answer here: the next one may be tried."""
        self._breaker.unanswered()

    def _record(self, reason: str, *, state: BreakerState | None = None) -> None:
        now = state or self._breaker.state(self._clock.monotonic())
        self._recorder.record_soon(
            BreakerChanged(
                state=now.value, in_a_row=self._breaker.in_a_row, of_recent=self._breaker.of_recent, reason=reason
            )
        )
