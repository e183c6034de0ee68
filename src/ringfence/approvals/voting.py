"""What votes make of a request: whose count, for which set of people, and whether they are enough.

Pure, and a function of the votes alone: whoever reads a request after a crash comes to the same result. Whether
somebody is in a group is asked of a function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

import msgspec

from ringfence.model.decision import Risk
from ringfence.model.display import visible
from ringfence.model.vote import PERSON, REVIEWER, Authentication, Vote

IsMember = Callable[[str, str], bool]
"""Whether a user is in a group."""
OWNER = ":owner"
"""Whoever runs the session, in a list of people."""

_RISKS = tuple(Risk)
_STRENGTH = tuple(Authentication)


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """One set of people of whom enough have to agree."""

    who: tuple[str, ...] = ()
    """Names, `@groups` and `:owner`; empty for anybody."""
    approve: int = 1
    deny: int = 1
    """How many of them are enough for a deny."""
    assurance: Authentication = Authentication.ACCOUNT
    """The weakest way of showing who one is that counts."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the ladder: who is asked from when on, besides those of the steps before."""

    who: tuple[str, ...]
    after_seconds: int = 0


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """On which terms a request is answered. They are fixed when it is opened."""

    owner: str = ""
    """`person:NAME` of whoever runs the session."""
    owner_may: bool = True
    """Whether the owner's own yes counts."""
    lists: tuple[tuple[str, ...], ...] = ()
    """Lists of people; whoever approves has to be on every one."""
    thresholds: tuple[Threshold, ...] = (Threshold(),)
    """All of them have to be met, by different people."""
    steps: tuple[Step, ...] = ()
    """The ladder; empty for everybody at once."""
    reviewer_up_to: Risk | None = None
    """The highest risk at which a reviewing model's yes is enough."""

    @property
    def is_quorum(self) -> bool:
        """Whether sets of people were named."""
        return self.thresholds != (Threshold(),)

    @property
    def others_may(self) -> bool:
        """Whether people are asked who do not sit at the session's own terminal."""
        return self.is_quorum or bool(self.steps) or not self.owner_may


class Standing(StrEnum):
    """What the votes say so far."""

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"


def standing(terms: Terms, risk: Risk, votes: Iterable[Vote], is_member: IsMember) -> Standing:
    """Whether the votes are enough. Any set of people that has denied ends it, whatever the others say."""
    cast = tuple(votes)
    denying = {vote.approver: vote for vote in cast if not vote.approve}
    for vote in denying.values():
        if vote.approver == terms.owner or _reviews(terms, risk, vote.approver):
            return Standing.DENIED
    for threshold in terms.thresholds:
        if sum(fits(threshold, terms, vote, is_member) for vote in denying.values()) >= threshold.deny:
            return Standing.DENIED
    # One yes per human, and none of somebody who has said no as well.
    approving = {vote.approver: vote for vote in cast if vote.approve and vote.approver not in denying}
    if not terms.is_quorum and any(_reviews(terms, risk, name) for name in approving):
        return Standing.APPROVED
    counted = [vote for vote in approving.values() if not refusal(terms, vote, is_member)]
    return Standing.APPROVED if _are_met(terms, counted, is_member) else Standing.OPEN


def refusal(terms: Terms, vote: Vote, is_member: IsMember) -> str:
    """Why somebody's yes does not count, whenever it is given; empty where it does."""
    name = visible(vote.approver.removeprefix(PERSON))
    if not vote.is_human:
        return "" if vote.approver.startswith(REVIEWER) else f"`{name}` is not a person"
    if vote.approver == terms.owner and not terms.owner_may:
        return f"`{name}` runs this session, and somebody else has to approve it"
    for names in terms.lists:
        if not on_list(names, vote.approver, terms.owner, is_member):
            return f"`{name}` may not approve under this policy; {listed(names)} may"
    if not any(fits(one, terms, vote, is_member) for one in terms.thresholds):
        wanted = next(
            (one for one in terms.thresholds if on_list(one.who, vote.approver, terms.owner, is_member)), None
        )
        if wanted is not None:
            return f"`{name}` has to answer with a {wanted.assurance} here: `ringfence ui`"
        return f"`{name}` may not approve this; {'; '.join(listed(one.who) for one in terms.thresholds)} may"
    return ""


def not_asked_yet(terms: Terms, step: int, vote: Vote, is_member: IsMember) -> str:
    """Why somebody is not asked at this step of the ladder; empty where they are. A no is never too early."""
    if not terms.steps or not vote.approve or not vote.is_human:
        return ""
    asked = [name for one in terms.steps[: step + 1] for name in one.who]
    if on_list(tuple(asked), vote.approver, terms.owner, is_member):
        return ""
    return f"`{visible(vote.approver.removeprefix(PERSON))}` is not asked yet: {listed(tuple(asked))} is"


def fits(threshold: Threshold, terms: Terms, vote: Vote, is_member: IsMember) -> bool:
    """Whether a vote counts towards a set of people."""
    strong = _STRENGTH.index(vote.authentication) >= _STRENGTH.index(threshold.assurance)
    # A no needs no passkey: it only ever makes things safer.
    return (
        vote.is_human and (strong or not vote.approve) and on_list(threshold.who, vote.approver, terms.owner, is_member)
    )


def on_list(names: Sequence[str], approver: str, owner: str, is_member: IsMember) -> bool:
    """Whether somebody is on a list of people; an empty list holds everybody."""
    name = approver.removeprefix(PERSON)
    return not names or any(
        approver == owner if one == OWNER else is_member(name, one[1:]) if one.startswith("@") else name == one
        for one in names
    )


def step_at(terms: Terms, asked_seconds: float) -> int:
    """The step of the ladder after a request has been open for so long."""
    return max((at for at, step in enumerate(terms.steps) if step.after_seconds <= asked_seconds), default=0)


def listed(names: Sequence[str]) -> str:
    """People in words."""
    return ", ".join("whoever runs the session" if one == OWNER else f"`{one}`" for one in names) or "anybody"


def is_at_least(risk: Risk, least: Risk) -> bool:
    """Whether a risk is as high as another."""
    return _RISKS.index(risk) >= _RISKS.index(least)


def _reviews(terms: Terms, risk: Risk, approver: str) -> bool:
    limit = terms.reviewer_up_to
    return approver.startswith(REVIEWER) and limit is not None and is_at_least(limit, risk)


def _are_met(terms: Terms, votes: Sequence[Vote], is_member: IsMember) -> bool:
    """Whether every set has its number of people, nobody being counted in two sets."""
    seats = [threshold for threshold in terms.thresholds for _ in range(threshold.approve)]
    taken: dict[int, int] = {}

    def seated(person: int, seen: set[int]) -> bool:
        for seat, threshold in enumerate(seats):
            if seat in seen or not fits(threshold, terms, votes[person], is_member):
                continue
            seen.add(seat)
            if seat not in taken or seated(taken[seat], seen):
                taken[seat] = person
                return True
        return False

    return sum(seated(person, set()) for person in range(len(votes))) == len(seats)
