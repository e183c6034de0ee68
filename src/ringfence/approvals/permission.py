"""What the policy lets an answer do: who may give it, how many have to, how far it may reach, how long it may last.

Pure. Whether somebody is in a group of this machine is asked of a function that the session brings.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from ringfence.approvals import voting
from ringfence.approvals.objects import NANOSECONDS, REPO_DAYS, Grant, Scope, Vote
from ringfence.approvals.voting import OWNER, IsMember, Standing, Step, Terms, Threshold
from ringfence.model.decision import Decision, Risk
from ringfence.model.display import visible
from ringfence.model.vote import PERSON

_ORDER = (Scope.ONCE, Scope.SESSION, Scope.REPO)

Lists = tuple[tuple[str, ...], ...]


class Quorum(msgspec.Struct, frozen=True, kw_only=True):
    """A set of people of whom enough have to agree, from some risk on."""

    threshold: Threshold
    risk: Risk = Risk.LOW
    rules: tuple[str, ...] = ()
    """The rules whose questions it is about; empty for all."""


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the answers of one session."""

    widest: Scope = Scope.REPO
    days: int = REPO_DAYS
    approvers: Lists = ()
    """Lists of names and `@groups`; whoever answers has to be on every one."""
    overriders: Lists = ()
    owner: str = ""
    """`person:NAME` of whoever runs the session."""
    self_approval: bool = True
    """Whether whoever runs the session may approve its questions."""
    quorums: tuple[Quorum, ...] = ()
    steps: tuple[Step, ...] = ()
    """The ladder."""
    reviewer_up_to: Risk | None = None
    """The highest risk at which a reviewing model's yes is enough."""
    break_glass: Lists | None = None
    """Who may go ahead without approval; None for nobody."""
    delegate_up_to: Risk | None = None
    """The highest risk at which a question is left to the agent's own prompt."""
    is_member: IsMember = lambda _name, _group: False
    """Whether a user is in a group."""

    def terms(self, risk: Risk, rules: Iterable[str], *, override: bool) -> Terms:
        """On which terms a question is answered. Where sets of people are named, high risk is never approved by
        whoever runs the session."""
        asking = set(rules)
        sets = [
            one.threshold
            for one in self.quorums
            if voting.is_at_least(risk, one.risk) and (not one.rules or asking & set(one.rules))
        ]
        return Terms(
            owner=self.owner,
            owner_may=self.self_approval and not (sets and voting.is_at_least(risk, Risk.HIGH)),
            lists=(*self.approvers, *(self.overriders if override else ())),
            thresholds=tuple(sets) or (Threshold(),),
            steps=self.steps,
            reviewer_up_to=None if override else self.reviewer_up_to,
        )

    def terms_for(self, decision: Decision) -> Terms:
        """On which terms the question of a decision is answered."""
        return self.terms(decision.risk, (reason.rule for reason in decision.reasons), override=decision.override)

    def anybody_for(self, decision: Decision) -> bool:
        """Whether the policy names nobody in particular who has to answer."""
        terms = self.terms_for(decision)
        first = terms.steps[0].who if terms.steps else (OWNER,)
        return not terms.lists and terms.thresholds == (Threshold(),) and terms.owner_may and OWNER in first

    def refusal(self, approver: str, *, override: bool) -> str:
        """Why somebody's yes does not count; empty where it does."""
        name = approver.removeprefix(PERSON)
        for what, lists in (("approve", self.approvers), ("override", self.overriders if override else ())):
            for names in lists:
                if approver.startswith(PERSON) and not voting.on_list(names, approver, self.owner, self.is_member):
                    return f"`{visible(name)}` may not {what} under this policy; {voting.listed(names)} may"
        return ""

    def may_break_glass(self, approver: str) -> bool:
        """Whether somebody may go ahead without approval."""
        return bool(self.break_glass) and all(
            voting.on_list(names, approver, self.owner, self.is_member) for names in self.break_glass or ()
        )

    def covers(self, grant: Grant, now_ns: int, votes: Sequence[Vote] = (), risk: Risk = Risk.LOW) -> bool:
        """Whether a remembered answer still counts: its scope, its age and its authors are what the policy permits."""
        if wider(grant.scope, self.widest) or grant.break_glass:
            return False
        if grant.scope is Scope.REPO and now_ns >= grant.created_ns + self.days * 24 * 3600 * NANOSECONDS:
            return False
        rules = (name.partition("/")[2] for name in grant.asking)
        terms = self.terms(risk, rules, override=False)
        return voting.standing(terms, risk, votes, self.is_member) is Standing.APPROVED


def wider(scope: Scope, limit: Scope) -> bool:
    """Whether a scope reaches further than another."""
    return _ORDER.index(scope) > _ORDER.index(limit)


def narrowest(scopes: Iterable[Scope]) -> Scope:
    """The scope that reaches least far."""
    return min(scopes, key=_ORDER.index)
