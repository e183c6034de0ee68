"""Which keys answer, and when."""

from __future__ import annotations

import msgspec
import pytest
from tests.approvals.made import Time, command, decision, desk_at, opened

from ringfence.approvals.objects import Request, Scope
from ringfence.cli.approvals_keys import Guard, choices


@pytest.fixture
def request_() -> Request:
    return opened(desk_at(":memory:", Time()), decision(command("git", "push")))


def test_a_key_counts_once_its_question_was_on_the_screen_for_a_moment() -> None:
    guard = Guard(0.4)
    guard.show(10.0)

    assert guard.counts(10.41)


def test_a_key_from_before_its_question_never_counts() -> None:
    guard = Guard(0.4)

    before = guard.counts(9.0)
    guard.show(10.0)

    assert (before, guard.counts(9.9), guard.counts(10.39)) == (False, False, False)


def test_who_types_on_starts_the_time_anew() -> None:
    guard = Guard(0.4)
    guard.show(10.0)

    typed = [guard.counts(moment) for moment in (10.3, 10.6, 10.9, 11.2)]

    assert (typed, guard.counts(11.6)) == ([False] * 4, True)


def test_nothing_counts_while_no_question_is_shown() -> None:
    guard = Guard(0.4)
    guard.show(10.0)
    guard.hide()

    assert not guard.counts(20.0)


def test_only_a_deny_is_a_small_letter(request_: Request) -> None:
    assert [(one.key, one.approve, one.scope) for one in choices(request_)] == [
        ("d", False, Scope.ONCE),
        ("D", False, Scope.ONCE),
        ("O", True, Scope.ONCE),
        ("S", True, Scope.SESSION),
        ("R", True, Scope.REPO),
    ]


def test_what_the_policy_does_not_permit_is_not_offered(request_: Request) -> None:
    narrow = msgspec.structs.replace(request_, widest=Scope.SESSION)

    assert [one.key for one in choices(narrow)] == ["d", "D", "O", "S"]


def test_a_yes_that_overrides_a_rule_takes_a_reason(request_: Request) -> None:
    overriding = msgspec.structs.replace(request_, widest=Scope.ONCE, override=True)

    assert [(one.key, one.with_reason) for one in choices(overriding)] == [("d", False), ("D", True), ("O", True)]
