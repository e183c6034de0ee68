"""Whose answers count, how many, and when: the terms on which a request is answered."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.approvals import voting
from ringfence.approvals.permission import Permission, Quorum
from ringfence.approvals.voting import OWNER, Standing, Step, Terms, Threshold
from ringfence.model.decision import Risk
from ringfence.model.vote import Authentication, Vote

GROUPS = {"security": {"sue", "sam", "both"}, "team": {"tom", "tia", "both"}}
SECURITY, TEAM = Threshold(who=("@security",)), Threshold(who=("@team",))


def is_member(name: str, group: str) -> bool:
    return name in GROUPS.get(group, set())


def says(who: str, *, approve: bool = True, by: Authentication = Authentication.ACCOUNT) -> Vote:
    name = who if ":" in who else f"person:{who}"
    return Vote(id=who, request="r", approver=name, approve=approve, seen="s", authentication=by)


def standing(terms: Terms, *votes: Vote, risk: Risk = Risk.LOW) -> Standing:
    return voting.standing(terms, risk, votes, is_member)


def test_without_terms_one_person_decides() -> None:
    assert standing(Terms()) is Standing.OPEN
    assert standing(Terms(), says("ada")) is Standing.APPROVED
    assert standing(Terms(), says("ada", approve=False)) is Standing.DENIED


def test_invariant_3_after_the_first_of_two_it_stays_open_and_the_second_decides() -> None:
    two = Terms(thresholds=(Threshold(who=("@security",), approve=2),))

    assert standing(two, says("sue")) is Standing.OPEN
    assert standing(two, says("sue"), says("sue")) is Standing.OPEN
    assert standing(two, says("sue"), says("tom")) is Standing.OPEN
    assert standing(two, says("sue"), says("sam")) is Standing.APPROVED


def test_invariant_3_one_person_does_not_fill_two_sets() -> None:
    both = Terms(thresholds=(SECURITY, TEAM))

    assert standing(both, says("both")) is Standing.OPEN
    assert standing(both, says("both"), says("tom")) is Standing.APPROVED
    assert standing(both, says("both"), says("sue")) is Standing.APPROVED
    assert standing(both, says("sue"), says("sam")) is Standing.OPEN


def test_invariant_3_whoever_runs_the_session_does_not_count_at_high_risk() -> None:
    permission = Permission(owner="person:sue", quorums=(Quorum(threshold=SECURITY),), is_member=is_member)

    high, low = (permission.terms(risk, ("rule",), override=False) for risk in (Risk.HIGH, Risk.LOW))

    assert standing(high, says("sue")) is Standing.OPEN
    assert standing(high, says("sam")) is Standing.APPROVED
    assert standing(low, says("sue")) is Standing.APPROVED


def test_invariant_3_nothing_but_a_person_or_a_reviewer_counts() -> None:
    assert standing(Terms(), says("agent:claude")) is Standing.OPEN
    assert standing(Terms(), says("service:ci")) is Standing.OPEN
    assert standing(Terms(), says("reviewer:model")) is Standing.OPEN


def test_nobody_approves_their_own_session_where_that_is_forbidden_but_may_deny_it() -> None:
    own = Terms(owner="person:ada", owner_may=False)

    assert standing(own, says("ada")) is Standing.OPEN
    assert standing(own, says("bob")) is Standing.APPROVED
    assert standing(own, says("bob"), says("ada", approve=False)) is Standing.DENIED


@pytest.mark.parametrize(("risk", "expected"), [(Risk.LOW, Standing.APPROVED), (Risk.HIGH, Standing.OPEN)])
def test_a_reviewing_model_decides_up_to_its_risk(risk: Risk, expected: Standing) -> None:
    terms = Terms(reviewer_up_to=Risk.MEDIUM)

    assert standing(terms, says("reviewer:model"), risk=risk) is expected
    quorum = Terms(reviewer_up_to=Risk.CRITICAL, thresholds=(SECURITY,))
    assert standing(quorum, says("reviewer:model"), risk=risk) is Standing.OPEN


def test_any_set_of_people_that_denies_ends_it() -> None:
    terms = Terms(thresholds=(Threshold(who=("@security",), deny=2), TEAM))
    no_sue, no_sam, no_tom = (says(who, approve=False) for who in ("sue", "sam", "tom"))

    assert standing(terms, no_sue, says("sam"), says("tom")) is Standing.APPROVED
    assert standing(terms, no_sue, no_sam, says("tom")) is Standing.DENIED
    assert standing(terms, says("sue"), says("both"), no_tom) is Standing.DENIED


def test_who_has_said_no_does_not_count_as_a_yes_as_well() -> None:
    two = Terms(thresholds=(Threshold(who=("@security",), approve=2, deny=3),))

    assert standing(two, says("sue"), says("sam"), says("sue", approve=False)) is Standing.OPEN


def test_a_yes_has_to_be_shown_as_strongly_as_the_set_wants() -> None:
    strong = Terms(thresholds=(Threshold(who=("@security",), assurance=Authentication.PASSKEY),))

    assert standing(strong, says("sue")) is Standing.OPEN
    assert "with a passkey" in voting.refusal(strong, says("sue"), is_member)
    assert standing(strong, says("sue", by=Authentication.PASSKEY)) is Standing.APPROVED
    assert standing(strong, says("sue", approve=False)) is Standing.DENIED


def test_whoever_answers_has_to_be_on_every_list() -> None:
    terms = Terms(lists=(("@security", "tom"), ("sue", "tom")))

    assert [standing(terms, says(who)) for who in ("sam", "sue", "tom")] == [
        Standing.OPEN,
        Standing.APPROVED,
        Standing.APPROVED,
    ]


LADDER = Terms(
    owner="person:ada",
    steps=(Step(who=(OWNER,)), Step(who=("@team",), after_seconds=300), Step(who=("@security",), after_seconds=900)),
)


@pytest.mark.parametrize(
    ("seconds", "step", "asked"),
    [(0, 0, ["ada"]), (299, 0, ["ada"]), (300, 1, ["ada", "tom"]), (900, 2, ["ada", "tom", "sue"])],
)
def test_the_ladder_asks_more_people_as_time_goes_by(seconds: float, step: int, asked: list[str]) -> None:
    assert voting.step_at(LADDER, seconds) == step
    answer = [who for who in ("ada", "tom", "sue") if not voting.not_asked_yet(LADDER, step, says(who), is_member)]
    assert answer == asked
    assert voting.not_asked_yet(LADDER, step, says("sue", approve=False), is_member) == ""


names = st.sampled_from(["sue", "sam", "both", "tom", "tia", "ada"])
thresholds = st.builds(
    Threshold,
    who=st.sampled_from([(), ("@security",), ("@team",), ("ada", "tom")]),
    approve=st.integers(1, 3),
    deny=st.integers(1, 3),
)


@given(sets=st.lists(thresholds, min_size=1, max_size=3), people=st.lists(names, max_size=6, unique=True))
def test_sets_are_met_when_there_are_people_for_every_seat(sets: list[Threshold], people: list[str]) -> None:
    terms = Terms(thresholds=tuple(sets))

    met = standing(terms, *map(says, people)) is Standing.APPROVED

    seats = [one for one in sets for _ in range(one.approve)]
    fits = [
        all(voting.fits(seat, terms, says(who), is_member) for seat, who in zip(seats, chosen, strict=True))
        for chosen in permutations(people, len(seats))
    ]
    assert met is any(fits)


@pytest.mark.slow
@given(people=st.lists(st.tuples(names, st.booleans()), max_size=5), sets=st.lists(thresholds, min_size=1, max_size=2))
def test_one_more_no_never_makes_it_approved(people: list[tuple[str, bool]], sets: list[Threshold]) -> None:
    terms = Terms(thresholds=tuple(sets))
    votes = [says(who, approve=approve) for who, approve in people]

    before = standing(terms, *votes)
    after = standing(terms, *votes, says("sue", approve=False))

    assert after is not Standing.APPROVED or before is Standing.APPROVED
