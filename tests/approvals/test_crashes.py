"""Killed between any two steps: what is left is what was before, or what would be after, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec
import pytest
from tests.approvals import promises
from tests.approvals.crashing import crash
from tests.approvals.made import Time, command, counting, decision

from ringfence.approvals.desk import Desk
from ringfence.approvals.objects import BreakGlass, Request, Scope, Vote
from ringfence.approvals.stores.store import Store
from ringfence.approvals.transitions import State, Trigger
from ringfence.approvals.voting import Step, Terms, Threshold
from ringfence.model.decision import Verdict
from ringfence.model.vote import Authentication

PUSH = decision(command("git", "push"), Verdict.ASK)
TWO = Terms(thresholds=(Threshold(approve=2),), steps=(Step(who=("ada",)), Step(who=("bob",), after_seconds=50)))
GLASS = BreakGlass(id="g", who="person:ada", reason="r", workspace="/w", created_ns=0, expires_ns=1 << 62)

Act: TypeAlias = Callable[[Desk, str, Time], object]


def ask(desk: Desk, terms: Terms | None = None) -> Request:
    request, _ = desk.open(
        PUSH, session="s", workspace="/w", channel="test", prompt=("may it?",), seconds=60, terms=terms
    )
    return request


def by(request: Request, who: str = "ada", *, approve: bool = True, scope: Scope = Scope.ONCE) -> Vote:
    return Vote(
        id=f"{who}-{request.id}",
        request=request.id,
        approver=f"person:{who}",
        approve=approve,
        seen=request.shown,
        scope=scope,
    )


def approved(desk: Desk, request: Request, scope: Scope = Scope.ONCE) -> None:
    cast = desk.cast(by(request, scope=scope))
    assert cast is not None and cast.counted


def once(desk: Desk) -> Request:
    request = ask(desk)
    approved(desk, request)
    return request


def remembered(desk: Desk) -> Request:
    request = ask(desk)
    approved(desk, request, Scope.REPO)
    return request


def half_voted(desk: Desk) -> Request:
    request = ask(desk, TWO)
    desk.cast(by(request))
    return request


def expired(desk: Desk, _request: str, time: Time) -> object:
    time.pass_seconds(61)
    return desk.sweep()


def second_vote(desk: Desk, request: str, time: Time) -> object:
    time.pass_seconds(51)
    found = desk.request(request)
    assert found is not None
    return desk.cast(by(found, "bob"))


def by_vote(*, approve: bool) -> Act:
    def act(desk: Desk, request: str, _time: Time) -> object:
        found = desk.request(request)
        assert found is not None
        return desk.cast(by(found, approve=approve))

    return act


def revoke(desk: Desk, request: str, _time: Time) -> object:
    grant = desk.grant_of(request)
    return grant and desk.revoke(grant.id)


def left_to_the_agent(desk: Desk) -> Request:
    request = ask(desk)
    desk.move(request.id, Trigger.DELEGATE)
    return request


def reported(desk: Desk, request: str, _time: Time) -> object:
    found = desk.request(request)
    assert found is not None
    return desk.report(
        msgspec.structs.replace(
            by(found), approver="agent:claude", authentication=Authentication.AGENT_REPORTED, channel="delegated"
        ),
        Trigger.REPORT,
    )


OPERATIONS: dict[str, tuple[Callable[[Desk], Request], Act, State]] = {
    "the question is put": (lambda desk: ask(desk), lambda desk, _request, _time: ask(desk), State.PENDING),
    "a yes": (lambda desk: ask(desk), by_vote(approve=True), State.APPROVED),
    "a no": (lambda desk: ask(desk), by_vote(approve=False), State.DENIED),
    "a yes of two": (lambda desk: ask(desk, TWO), by_vote(approve=True), State.PENDING),
    "the second yes of two": (half_voted, second_vote, State.APPROVED),
    "a step up the ladder": (half_voted, lambda desk, request, _time: desk.escalate(request), State.PENDING),
    "the action goes ahead": (once, lambda desk, request, _time: desk.use(request), State.CONSUMED),
    "a remembered answer is used": (
        remembered,
        lambda desk, _request, _time: desk.use_remembered(PUSH, session="s", workspace="/w"),
        State.APPROVED,
    ),
    "the grant is revoked": (once, revoke, State.REVOKED),
    "the deadline passes": (lambda desk: ask(desk), expired, State.EXPIRED),
    "the question is withdrawn": (
        lambda desk: ask(desk),
        lambda desk, request, _time: desk.move(request, Trigger.CANCEL),
        State.CANCELLED,
    ),
    "the policy changes": (
        once,
        lambda desk, request, _time: desk.move(request, Trigger.CHANGE),
        State.INVALIDATED,
    ),
    "the question is left to the agent": (
        lambda desk: ask(desk),
        lambda desk, request, _time: desk.move(request, Trigger.DELEGATE),
        State.DELEGATED,
    ),
    "the agent reports": (left_to_the_agent, reported, State.CONSUMED),
    "the glass is broken": (
        lambda desk: ask(desk),
        lambda desk, request, _time: desk.through_glass(request, GLASS),
        State.APPROVED,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("address", ["file", "postgresql"], indirect=True)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_invariant_5_killed_at_any_step_it_can_be_done_again_with_the_same_end(
    operation: str, connect: Callable[[], Store], address: str
) -> None:
    before, act, after = OPERATIONS[operation]
    store = connect()
    steps = 0
    while True:
        # One question after the other in the same store, each killed one step later than the one before.
        time = Time()
        time.pass_seconds(1_000 * steps)
        desk = Desk(store, time.time_ns, counting(f"at-{steps}"))
        request = before(desk)
        killed = crash(address, time, steps, lambda dying, request=request, time=time: act(dying, request.id, time))
        promises.check(store)

        act(desk, request.id, time)

        promises.check(store)
        now = desk.request(request.id)
        assert now is not None and now.state is after
        if now.state in {State.PENDING, State.DELEGATED}:
            desk.move(request.id, Trigger.CANCEL)
        for grant in desk.grants():
            desk.revoke(grant.id)
        if not killed:
            break
        steps += 1
        assert steps < 60
    assert steps > 3
