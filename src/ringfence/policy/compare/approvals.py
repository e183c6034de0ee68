"""Differences in who answers questions: lists of people, sets of them, the ladder, webhooks, the reviewer.

Each is compared by what it means, because a list that is longer can be stricter: `loosens` says that somebody or
something may newly answer, or be told, or that fewer or others have to agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from ringfence.model.decision import Risk
from ringfence.model.vote import Authentication
from ringfence.policy.compare.difference import ValueDifference
from ringfence.policy.effective import ApprovalPolicy, QuorumRule, ReviewerRule, StepRule, WebhookRule

COMPARED = ("approvers", "overriders", "break_glass", "quorums", "steps", "webhooks", "reviewer")
"""The parts of `[approvals]` that are compared here; all others are single values."""
_ANYBODY = "anybody"
_NOBODY = "nobody"
_NONE = "none"
_Lists = tuple[tuple[str, ...], ...]
_QuorumKey = tuple[tuple[str, ...], tuple[str, ...]]


def approval_differences(before: ApprovalPolicy, after: ApprovalPolicy) -> Iterator[ValueDifference]:
    """All of it, in the order of the document."""
    yield from _people("approvers", before.approvers, after.approvers, absent=_ANYBODY)
    yield from _people("overriders", before.overriders, after.overriders, absent=_ANYBODY)
    yield from _glass(before.break_glass, after.break_glass)
    yield from _quorums(before.quorums, after.quorums)
    yield from _steps(before.steps, after.steps)
    yield from _webhooks(before.webhooks, after.webhooks)
    yield from _reviewer(before.reviewer, after.reviewer)


def _people(key: str, before: _Lists, after: _Lists, *, absent: str) -> Iterator[ValueDifference]:
    """Lists that all have to hold: a list without one in the other policy that is as narrow lets somebody in."""
    if set(map(frozenset, before)) != set(map(frozenset, after)):
        yield ValueDifference(
            key=f"approvals.{key}",
            before=_all_of(before, absent),
            after=_all_of(after, absent),
            loosens=_lets_in(before, after),
        )


def _lets_in(before: _Lists, after: _Lists) -> bool:
    return any(not any(set(narrow) <= set(names) for narrow in after) for names in before)


def _all_of(lists: _Lists, absent: str) -> str:
    return " and ".join(", ".join(names) or _NOBODY for names in lists) or absent


def _glass(before: _Lists | None, after: _Lists | None) -> Iterator[ValueDifference]:
    if before == after:
        return
    texts = [_NOBODY if lists is None else _all_of(lists, _NOBODY) for lists in (before, after)]
    loosens = after is not None and (before is None or _lets_in(before, after))
    yield ValueDifference(key="approvals.break_glass", before=texts[0], after=texts[1], loosens=loosens)


def _quorums(before: tuple[QuorumRule, ...], after: tuple[QuorumRule, ...]) -> Iterator[ValueDifference]:
    """Sets of people: those with the same people and rules are compared, the others are there or gone."""
    first, second = _by_people(before), _by_people(after)
    for key in dict.fromkeys((*first, *second)):
        ours, theirs = list(first.get(key, ())), list(second.get(key, ()))
        # Sets that both have, word for word, are no difference.
        for text in (Counter(map(_terms, ours)) & Counter(map(_terms, theirs))).elements():
            ours.remove(next(one for one in ours if _terms(one) == text))
            theirs.remove(next(one for one in theirs if _terms(one) == text))
        for number in range(max(len(ours), len(theirs))):
            one = ours[number] if number < len(ours) else None
            other = theirs[number] if number < len(theirs) else None
            yield ValueDifference(
                key=f"approvals.quorum: {_named(key)}",
                before=_NONE if one is None else _terms(one),
                after=_NONE if other is None else _terms(other),
                loosens=one is not None and (other is None or _asks_less(one, other)),
            )


def _by_people(quorums: tuple[QuorumRule, ...]) -> Mapping[_QuorumKey, tuple[QuorumRule, ...]]:
    found: dict[_QuorumKey, tuple[QuorumRule, ...]] = {}
    for one in quorums:
        key = (tuple(sorted(one.who)), tuple(sorted(one.rules)))
        found[key] = (*found.get(key, ()), one)
    return found


def _named(key: _QuorumKey) -> str:
    who, rules = key
    return ", ".join(who) + (f" for {', '.join(rules)}" if rules else "")


def _terms(one: QuorumRule) -> str:
    return (
        f"{one.approve} to approve, {one.deny} to deny, by {one.assurance.value} or better, from {one.risk.value} risk"
    )


def _asks_less(before: QuorumRule, after: QuorumRule) -> bool:
    strengths, risks = tuple(Authentication), tuple(Risk)
    return (
        after.approve < before.approve
        or after.deny > before.deny
        or strengths.index(after.assurance) < strengths.index(before.assurance)
        or risks.index(after.risk) > risks.index(before.risk)
    )


def _steps(before: tuple[StepRule, ...], after: tuple[StepRule, ...]) -> Iterator[ValueDifference]:
    """The ladder: without one everybody may answer at once, with one whoever it names, when it says so."""
    first, second = _asked_from(before), _asked_from(after)
    if first == second:
        return
    sooner = any(name not in first or since < first[name] for name, since in second.items())
    yield ValueDifference(
        key="approvals.step",
        before=_ladder(before),
        after=_ladder(after),
        loosens=bool(before) and (not after or sooner),
    )


def _asked_from(steps: tuple[StepRule, ...]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for step in steps:
        for name in step.who:
            found.setdefault(name, step.after_seconds)
    return found


def _ladder(steps: tuple[StepRule, ...]) -> str:
    rungs = (f"{', '.join(one.who)} after {one.after_seconds} s" for one in steps)
    return "; ".join(rungs) or f"{_ANYBODY} at once"


def _webhooks(before: tuple[WebhookRule, ...], after: tuple[WebhookRule, ...]) -> Iterator[ValueDifference]:
    """Webhooks: each that is there or gone, and each part of those that stay."""
    first, second = ({one.name: one for one in hooks} for hooks in (before, after))
    for name in dict.fromkeys((*first, *second)):
        one, other = first.get(name), second.get(name)
        key = f"approvals.webhook: {name}"
        if one is None or other is None:
            texts = [_NONE if hook is None else _hook(hook) for hook in (one, other)]
            yield ValueDifference(key=key, before=texts[0], after=texts[1], loosens=other is not None)
            continue
        for part, was, now in (
            ("url", one.url, other.url),
            ("secret", one.secret, other.secret),
            ("link", one.link, other.link),
            ("kind", one.kind.value, other.kind.value),
        ):
            if was != now:
                yield ValueDifference(key=f"{key}: {part}", before=was or _NONE, after=now or _NONE, loosens=True)
        if set(one.users) != set(other.users):
            yield ValueDifference(
                key=f"{key}: users",
                before=_users(one),
                after=_users(other),
                loosens=bool(set(other.users) - set(one.users)),
            )


def _hook(hook: WebhookRule) -> str:
    return f"{hook.kind.value} at {hook.url}, secret {hook.secret}, answers of {_users(hook)}"


def _users(hook: WebhookRule) -> str:
    return ", ".join(f"{theirs} as {ours}" for theirs, ours in sorted(hook.users)) or _NOBODY


def _reviewer(before: ReviewerRule | None, after: ReviewerRule | None) -> Iterator[ValueDifference]:
    """A reviewer that is new, or another one, may allow what people were asked about."""
    first, second = _reviewing(before), _reviewing(after)
    if before is None or after is None:
        if first != second:
            texts = [", ".join(filter(None, parts.values())) or _NONE for parts in (first, second)]
            yield ValueDifference(key="approvals.reviewer", before=texts[0], after=texts[1], loosens=after is not None)
        return
    for part, was in first.items():
        if was != second[part]:
            yield ValueDifference(
                key=f"approvals.reviewer: {part}",
                before=was or _NONE,
                after=second[part] or _NONE,
                loosens=part != "seconds",
            )


def _reviewing(rule: ReviewerRule | None) -> Mapping[str, str]:
    if rule is None:
        return {}
    return {
        "kind": rule.kind.value,
        "url": rule.url,
        "model": rule.model,
        "key_variable": rule.key_variable,
        "argv": " ".join(rule.argv),
        "instructions": rule.instructions,
        "seconds": str(rule.seconds),
    }
