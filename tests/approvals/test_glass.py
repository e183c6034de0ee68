"""Breaking the glass: who may, how often, for how long, and who looks at it afterwards."""

from __future__ import annotations

import msgspec
import pytest
from tests.approvals.made import Time, counting

from ringfence.approvals.glass import Glass, GlassRefused
from ringfence.approvals.objects import BreakGlass, Review
from ringfence.approvals.permission import Permission
from ringfence.approvals.stores.sqlite import SqliteStore

MAY = Permission(break_glass=(("ada", "bob"),), approvers=(("ada", "bob", "sue"),))


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def glass(time: Time) -> Glass:
    return Glass(SqliteStore(":memory:"), time.time_ns, counting())


def smash(glass: Glass, who: str = "ada", *, reason: str = "down", seconds: int = 600) -> BreakGlass:
    return glass.smash(who=f"person:{who}", reason=reason, ticket="", workspace="/w", seconds=seconds, permission=MAY)


def review(glass: Glass, one: BreakGlass, who: str = "sue", reason: str = "seen") -> BreakGlass:
    return glass.review(one.id, who=f"person:{who}", justified=True, reason=reason, permission=MAY)


def test_it_holds_in_its_workspace_until_its_time_is_over(glass: Glass, time: Time) -> None:
    broken = smash(glass)

    assert glass.active("/w", MAY) == broken
    assert glass.active("/other", MAY) is None
    assert glass.active("/w", msgspec.structs.replace(MAY, break_glass=None)) is None
    time.pass_seconds(600)
    assert glass.active("/w", MAY) is None


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"who": "eve"}, "`eve` may not go ahead without approval"),
        ({"reason": "  "}, "without a reason"),
        ({"seconds": 3601}, "at most 60 minutes"),
        ({"seconds": 0}, "at most 60 minutes"),
    ],
)
def test_it_is_not_broken_without_leave_reason_or_end(glass: Glass, wrong: dict[str, object], text: str) -> None:
    with pytest.raises(GlassRefused, match=text):
        smash(glass, **wrong)  # type: ignore[arg-type]

    assert glass.all() == ()


def test_who_broke_it_cannot_again_until_somebody_else_has_reviewed_it(glass: Glass, time: Time) -> None:
    first = smash(glass)
    glass.end(first.id)

    with pytest.raises(GlassRefused, match="nobody has reviewed that yet"):
        smash(glass)
    with pytest.raises(GlassRefused, match="nobody reviews what they did themselves"):
        review(glass, first, "ada")
    with pytest.raises(GlassRefused, match="`eve` may not approve"):
        review(glass, first, "eve")
    with pytest.raises(GlassRefused, match="what was found"):
        review(glass, first, reason="")
    reviewed = review(glass, first)

    assert reviewed.review == Review(who="person:sue", justified=True, reason="seen", at_ns=time.now_ns)
    assert reviewed.state(time.now_ns) == "reviewed"
    assert smash(glass).state(time.now_ns) == "active"
    with pytest.raises(GlassRefused, match="reviewed before, by person:sue"):
        review(glass, first)


def test_a_clock_that_is_set_back_does_not_make_it_hold_again(glass: Glass, time: Time) -> None:
    broken = smash(glass)

    time.pass_seconds(-3600)

    assert glass.active("/w", MAY) is None
    assert broken.state(time.now_ns) == "unreviewed"


def test_a_review_ends_it(glass: Glass) -> None:
    broken = smash(glass)

    review(glass, broken)

    assert glass.active("/w", MAY) is None
    with pytest.raises(GlassRefused, match="over already"):
        glass.end(broken.id)
