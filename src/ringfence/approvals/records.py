"""What is put on record of requests, votes and grants: one event for each transition of the table."""

from __future__ import annotations

from ringfence.approvals.objects import Grant, Request
from ringfence.approvals.transitions import State
from ringfence.model.event import ApprovalTransition, GrantChanged
from ringfence.model.vote import Vote


def transition(
    request: Request,
    after: State,
    *,
    now_ns: int,
    actor: str,
    channel: str,
    reason: str = "",
    vote: Vote | None = None,
    before: State = State.PENDING,
) -> ApprovalTransition:
    """The event of one transition. `vote` is the one that made it."""
    return ApprovalTransition(
        request=request.id,
        before=before.value,
        after=after.value,
        actor=actor,
        channel=channel,
        reason=reason,
        latency_ms=max(0, now_ns - request.created_ns) // 1_000_000,
        authentication="" if vote is None else vote.authentication.value,
        shown=request.shown if vote is None else vote.seen,
        action=request.digest,
        policy=request.policy,
    )


def granted(grant: Grant, change: str) -> GrantChanged:
    """The event that says what happened to a grant."""
    return GrantChanged(
        grant=grant.id,
        change=change,
        scope=grant.scope.value,
        matcher=grant.matcher,
        uses_left=grant.uses_left,
        break_glass=grant.break_glass,
    )
