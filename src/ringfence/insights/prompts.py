"""What people were asked, how often, by which rules, and what they said: friction as numbers. Pure.

A prompt is an action that stopped for a person, whether somebody answered or nobody could. What a remembered answer let
pass is none. It cannot know whether a yes was meant: a rule that is always approved is a question for whoever writes
the policy, never a reason to allow by itself.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable

import msgspec

from ringfence.model.action import action_digest
from ringfence.model.decision import Reason, Verdict
from ringfence.model.event import ApprovalRequested, ApprovalTransition, Body, DecisionMade

_ASKED = frozenset({"person", "timeout", "nobody", "delegated"})
_LEAST_TO_PROPOSE = 3
"""A rule that asked less often is not worth a proposal."""
SHARE_TO_REMOVE = 0.8


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One event, with what the ledger knows of it."""

    session: str
    time_ns: int
    body: Body


class RulePrompts(msgspec.Struct, frozen=True, kw_only=True):
    """What one rule asked."""

    rule: str
    layer: str
    source: str
    prompts: int
    answered: int
    """By a person; the others ran out of time, or nobody was there."""
    approved: int
    median_ms: int | None
    """From the question to a person's answer."""

    @property
    def approved_share(self) -> float | None:
        """Of those that were answered."""
        return self.approved / self.answered if self.answered else None


class Prompts(msgspec.Struct, frozen=True, kw_only=True):
    """The friction of some sessions."""

    sessions: int
    hours: float
    """From the first to the last event of each session."""
    decisions: int
    prompts: int
    answered: int
    approved: int
    delegated: int = 0
    """Left to the agent's own prompt: what came of them is the agent's word, and no answer of a person here."""
    median_ms: int | None
    rules: tuple[RulePrompts, ...]
    """Most prompts first."""
    proposal: tuple[str, ...]
    """The fewest rules that asked four fifths of the prompts, where each was always approved."""
    removed: int
    """How many of the prompts that proposal would have removed."""

    @property
    def per_hour(self) -> float | None:
        """Nothing where no time passed."""
        return self.prompts / self.hours if self.hours else None


def prompts(moments: Iterable[Moment]) -> Prompts:
    """The friction in events, which come in order."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    decisions: list[DecisionMade] = []
    asked: dict[str, str] = {}
    waited: dict[str, list[int]] = defaultdict(list)
    for moment in moments:
        first.setdefault(moment.session, moment.time_ns)
        last[moment.session] = moment.time_ns
        match moment.body:
            case DecisionMade():
                decisions.append(moment.body)
            case ApprovalRequested(request=request, action=action):
                asked[request] = action
            case ApprovalTransition(request=request, actor=actor, latency_ms=int(latency)):
                if actor.startswith("person:") and request in asked:
                    waited[asked[request]].append(latency)
    stopped = [one for one in decisions if one.decision.resolved_by in _ASKED and _rules(one)]
    rules = _by_rule(stopped, waited)
    proposal, removed = _proposal(rules, len(stopped))
    times = [time for one in waited.values() for time in one]
    return Prompts(
        sessions=len(first),
        hours=sum(last[name] - first[name] for name in first) / 3.6e12,
        decisions=len(decisions),
        prompts=len(stopped),
        answered=sum(one.decision.resolved_by == "person" for one in stopped),
        approved=sum(one.decision.verdict is Verdict.ALLOW for one in stopped),
        delegated=sum(one.decision.resolved_by == "delegated" for one in stopped),
        median_ms=int(statistics.median(times)) if times else None,
        rules=rules,
        proposal=proposal,
        removed=removed,
    )


def _rules(made: DecisionMade) -> tuple[Reason, ...]:
    """The rules that asked, each once."""
    asking = (reason for reason in made.decision.reasons if reason.verdict is Verdict.ASK)
    return tuple({(reason.layer, reason.rule): reason for reason in asking}.values())


def _by_rule(stopped: Iterable[DecisionMade], waited: dict[str, list[int]]) -> tuple[RulePrompts, ...]:
    asked: Counter[tuple[str, str]] = Counter()
    answered: Counter[tuple[str, str]] = Counter()
    approved: Counter[tuple[str, str]] = Counter()
    source: dict[tuple[str, str], str] = {}
    times: dict[tuple[str, str], list[int]] = defaultdict(list)
    counted: set[str] = set()
    for made in stopped:
        digest = action_digest(made.decision.action)
        for reason in _rules(made):
            key = (reason.layer, reason.rule)
            source[key] = reason.source
            asked[key] += 1
            answered[key] += made.decision.resolved_by == "person"
            approved[key] += made.decision.verdict is Verdict.ALLOW
            if digest not in counted:
                times[key].extend(waited.get(digest, ()))
        counted.add(digest)
    return tuple(
        RulePrompts(
            rule=rule,
            layer=layer,
            source=source[layer, rule],
            prompts=count,
            answered=answered[layer, rule],
            approved=approved[layer, rule],
            median_ms=int(statistics.median(times[layer, rule])) if times[layer, rule] else None,
        )
        for (layer, rule), count in sorted(asked.items(), key=lambda item: (-item[1], item[0]))
    )


def _proposal(rules: tuple[RulePrompts, ...], total: int) -> tuple[tuple[str, ...], int]:
    """Rules that a person always approved, most prompts first, until four fifths of all prompts are named."""
    chosen: list[str] = []
    removed = 0
    for rule in rules:
        if removed >= SHARE_TO_REMOVE * total:
            break
        if rule.prompts >= _LEAST_TO_PROPOSE and rule.answered == rule.prompts == rule.approved:
            chosen.append(rule.rule)
            removed += rule.prompts
    return tuple(chosen), min(removed, total)
