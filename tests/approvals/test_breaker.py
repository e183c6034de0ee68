"""The circuit breaker: too many denied questions stop the asking, and one more try closes it again or does not."""

from __future__ import annotations

import pytest

from ringfence.approvals.breaker import RECENT, REST_SECONDS, Breaker, BreakerState, Limits


def after(answers: str, limits: Limits | None = None) -> Breaker:
    """A breaker that has seen `d`enials and `a`pprovals."""
    breaker = Breaker(limits or Limits())
    for at, answer in enumerate(answers):
        breaker.note(denied=answer == "d", now=float(at))
    return breaker


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ("", BreakerState.CLOSED),
        ("d", BreakerState.CLOSED),
        ("dd", BreakerState.CLOSED),
        ("ddd", BreakerState.OPEN),
        ("ddadda", BreakerState.CLOSED),
        ("dda" * 4 + "d", BreakerState.CLOSED),
        ("dda" * 4 + "dd", BreakerState.OPEN),
        ("da" * 10, BreakerState.CLOSED),
        ("da" * 9 + "d", BreakerState.OPEN),
        ("d" + "a" * RECENT + "da" * 8 + "d", BreakerState.CLOSED),
    ],
)
def test_invariant_8_three_in_a_row_or_ten_of_the_last_fifty(answers: str, state: BreakerState) -> None:
    assert after(answers).state(len(answers)) is state


def test_invariant_8_limits_are_those_of_the_policy() -> None:
    assert after("d", Limits(in_a_row=1)).state(1) is BreakerState.OPEN
    assert after("dada", Limits(in_a_row=3, of_recent=2)).state(4) is BreakerState.CLOSED
    assert after("dad", Limits(in_a_row=3, of_recent=2)).state(3) is BreakerState.OPEN


def test_after_a_rest_one_question_is_tried() -> None:
    breaker = after("ddd")
    later = 2.0 + REST_SECONDS

    assert not breaker.passes(later - 1)
    assert breaker.state(later) is BreakerState.HALF_OPEN
    assert breaker.passes(later)
    assert not breaker.passes(later)


@pytest.mark.parametrize(("denied", "state"), [(True, BreakerState.OPEN), (False, BreakerState.CLOSED)])
def test_what_became_of_the_try_decides(denied: bool, state: BreakerState) -> None:
    breaker = after("ddd")
    later = 2.0 + REST_SECONDS
    breaker.passes(later)

    breaker.note(denied=denied, now=later)

    assert breaker.state(later) is state


def test_a_try_that_nobody_answered_is_tried_again() -> None:
    breaker = after("ddd")
    later = 2.0 + REST_SECONDS
    breaker.passes(later)

    breaker.unanswered()

    assert breaker.passes(later)
