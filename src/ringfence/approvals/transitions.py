"""The life of an approval request, as one table. Everything that may happen to a request stands here, nowhere else.

The table is data: the diagram in the documentation is printed from it. What the table does not hold is an error value.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class State(StrEnum):
    """Where a request stands. Only `approved` leads to an execution that we start, and only once; what is `delegated`
    is the agent's own to start."""

    PENDING = "pending"
    DELEGATED = "delegated"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    INVALIDATED = "invalidated"
    CONSUMED = "consumed"
    LAPSED = "lapsed"
    REVOKED = "revoked"


class Trigger(StrEnum):
    """What can happen to a request."""

    VOTE = "vote"
    DELEGATE = "delegate"
    REPORT = "report"
    ABANDON = "abandon"
    ESCALATE = "escalate"
    APPROVE = "approve"
    BREAK_GLASS = "break-glass"
    DENY = "deny"
    EXPIRE = "expire"
    CANCEL = "cancel"
    CHANGE = "change"
    CONSUME = "consume"
    LAPSE = "lapse"
    REVOKE = "revoke"


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    before: State
    trigger: Trigger
    after: State
    meaning: str
    """When it happens, in words for people."""


class Illegal(msgspec.Struct, frozen=True, kw_only=True):
    """What was tried is not in the table. An error value: whoever gets it must not go on as if it had worked."""

    state: State
    trigger: Trigger

    def __str__(self) -> str:
        return f"a request that is {self.state} cannot take `{self.trigger}`"


def _row(before: State, trigger: Trigger, after: State, meaning: str) -> Transition:
    return Transition(before=before, trigger=trigger, after=after, meaning=meaning)


TABLE: tuple[Transition, ...] = (
    _row(State.PENDING, Trigger.VOTE, State.PENDING, "somebody approves, and others have to as well"),
    _row(State.PENDING, Trigger.ESCALATE, State.PENDING, "who was asked does not answer; the next are asked"),
    _row(State.PENDING, Trigger.APPROVE, State.APPROVED, "enough people approve; a grant is made"),
    _row(State.PENDING, Trigger.BREAK_GLASS, State.APPROVED, "the glass is broken; the grant is marked for review"),
    _row(State.PENDING, Trigger.DENY, State.DENIED, "a person denies"),
    _row(State.PENDING, Trigger.EXPIRE, State.EXPIRED, "nobody answers in time; this is a deny"),
    _row(State.PENDING, Trigger.CANCEL, State.CANCELLED, "the question is withdrawn, or nobody can be asked"),
    _row(State.PENDING, Trigger.CHANGE, State.INVALIDATED, "the action, the policy or what was shown changed"),
    _row(State.PENDING, Trigger.DELEGATE, State.DELEGATED, "it is put to the agent's own prompt"),
    _row(State.DELEGATED, Trigger.REPORT, State.CONSUMED, "the agent reports that it was answered, and went ahead"),
    _row(State.DELEGATED, Trigger.ABANDON, State.DENIED, "the agent goes on without it"),
    _row(State.DELEGATED, Trigger.EXPIRE, State.EXPIRED, "the agent reports nothing in time"),
    _row(State.DELEGATED, Trigger.CANCEL, State.CANCELLED, "the session ends"),
    _row(State.DELEGATED, Trigger.CHANGE, State.INVALIDATED, "the agent ran something else, or never asked"),
    _row(State.APPROVED, Trigger.CONSUME, State.CONSUMED, "the action goes ahead; this happens at most once"),
    _row(State.APPROVED, Trigger.CHANGE, State.INVALIDATED, "the action or the policy changed before it ran"),
    _row(State.APPROVED, Trigger.LAPSE, State.LAPSED, "the approval was not used in time"),
    _row(State.APPROVED, Trigger.REVOKE, State.REVOKED, "the grant was revoked before it was used"),
)

_AFTER = {(row.before, row.trigger): row.after for row in TABLE}
TERMINAL = frozenset(State) - {row.before for row in TABLE}
"""States that nothing leaves."""


def step(state: State, trigger: Trigger) -> State | Illegal:
    """The state after something happened, or the error."""
    return _AFTER.get((state, trigger)) or Illegal(state=state, trigger=trigger)


def at(state: State, expires_ns: int, now_ns: int) -> State:
    """The state as of now: a deadline that has passed counts, whether or not anybody was there to see it pass."""
    if now_ns < expires_ns:
        return state
    after = step(state, Trigger.LAPSE if state is State.APPROVED else Trigger.EXPIRE)
    return state if isinstance(after, Illegal) else after


def mermaid() -> str:
    """The table as a Mermaid state diagram."""
    rows = [f"    {row.before} --> {row.after}: {row.trigger}" for row in TABLE]
    ends = [f"    {state} --> [*]" for state in State if state in TERMINAL]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {State.PENDING}: ask", *rows, *ends])
