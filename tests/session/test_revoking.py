"""Grants that are revoked while connections are open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
import pytest

from ringfence.approvals.objects import Grant, Scope
from ringfence.model.decision import Placement
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


async def after_looks(gateway: Gateway, answers: list[list[Grant] | None]) -> None:
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
            task = group.create_task(close_revoked(gateway, grants, session="s", workspace="/w"))
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
