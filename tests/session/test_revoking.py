"""Grants that are revoked while connections are open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
import pytest
from tests.approvals.made import SITE, Memory, Says, Time, answer, command, connection, decision, desk_at

from ringfence.approvals.gate import Gate
from ringfence.approvals.objects import Grant, Scope
from ringfence.model.action import Action, Effect, EffectKind
from ringfence.model.decision import Decision, Placement, Verdict
from ringfence.model.situations import RingfenceError
from ringfence.session import revoking
from ringfence.session.revoking import close_revoked

GRANT = Grant(
    id="g",
    request="r",
    matcher="connect:a.test:443",
    scope=Scope.SESSION,
    session="s",
    workspace="/w",
    placement=Placement.INSIDE,
    policy="sha256:0",
    asking=(),
    created_ns=1,
    expires_ns=2,
    approver="me",
)


def matching(grant: Grant) -> frozenset[str]:
    """What a remembered answer about connections opens, and no other one."""
    return frozenset((grant.matcher,))


class Gateway:
    """Open connections to two destinations."""

    def __init__(self) -> None:
        self.open = [("a.test", 443), ("b.test", 443)]

    @property
    def open_connections(self) -> int:
        return len(self.open)

    def close_matching(self, matches: Callable[[str, int], bool]) -> int:
        kept = [one for one in self.open if not matches(*one)]
        closed, self.open = len(self.open) - len(kept), kept
        return closed


async def after_looks(
    gateway: Gateway, answers: list[list[Grant] | None], opened: Callable[[Grant], frozenset[str]] = matching
) -> None:
    """Look as often as there are answers; None is a store that cannot be read."""
    left = list(answers)
    done = asyncio.Event()

    def grants() -> list[Grant]:
        if len(left) == 1:
            done.set()
        answer = left.pop(0) if left else answers[-1]
        if answer is None:
            raise RingfenceError("the store is locked", remedy="wait")
        return answer

    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            task = group.create_task(close_revoked(gateway, grants, opened, session="s", workspace="/w"))
            await done.wait()
            await asyncio.sleep(0)
            task.cancel()


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revoking, "EVERY_SECONDS", 0)


def revoked(**changes: str) -> Grant:
    return msgspec.structs.replace(GRANT, revoked_ns=5, **changes)


@pytest.mark.parametrize(
    ("answers", "left"),
    [
        ([[GRANT], [revoked()]], [("b.test", 443)]),
        ([[GRANT], [GRANT]], [("a.test", 443), ("b.test", 443)]),
        ([[revoked()], [revoked()]], [("a.test", 443), ("b.test", 443)]),
        ([[], [revoked(session="other", workspace="/other")]], [("a.test", 443), ("b.test", 443)]),
        ([[], [revoked(session="other")]], [("b.test", 443)]),
        ([[], None, [revoked()]], [("b.test", 443)]),
        ([[], *([None] * revoking.MOST_FAILURES)], []),
        ([[], *([None] * (revoking.MOST_FAILURES - 1)), []], [("a.test", 443), ("b.test", 443)]),
    ],
)
async def test_what_a_grant_opened_ends_when_it_is_revoked(
    answers: list[list[Grant] | None], left: list[tuple[str, int]]
) -> None:
    gateway = Gateway()

    await after_looks(gateway, answers)

    assert gateway.open == left


@pytest.mark.parametrize(
    ("approved", "scope"),
    [(command("curl", "https://a.test/"), Scope.SESSION), (connection("a.test"), Scope.ONCE)],
)
async def test_a_connection_ends_with_the_answer_that_opened_it_whatever_that_was_about(
    approved: Action, scope: Scope
) -> None:
    def evaluate(action: Action) -> Decision:
        effects = (Effect(kind=EffectKind.CONNECT, object="a.test:443"),)
        return msgspec.structs.replace(decision(action), effects=effects)

    time, gateway = Time(), Gateway()
    desk = desk_at(":memory:", time)
    says = Says(lambda request: answer(request, approve=True, scope=scope))
    gate = Gate(evaluate=evaluate, desk=desk, channel=says, recorder=Memory(), clock=time, site=SITE)
    async with gate:
        await gate.decide(approved, asked_by="exec")
        assert (await gate.decide(connection("a.test"), asked_by="gateway")).verdict is Verdict.ALLOW
        [*grants] = gate.grants()
        for grant in grants:
            desk.revoke(grant.id)

        await after_looks(gateway, [grants, list(gate.grants())], gate.opened)

    assert gateway.open == [("b.test", 443)]
