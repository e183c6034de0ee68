"""What a policy would decide otherwise: recorded actions judged again, and the differences by the rule that makes them.

Pure. Who reads the record hands in each action with the verdict of its time and the evaluator of its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from ringfence.model.action import Action
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.policy.evaluate import Evaluator


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One action that would be decided otherwise."""

    before: Verdict
    decision: Decision
    """What is decided now."""
    before_reason: Reason | None
    """The first of the reasons then."""

    @property
    def because(self) -> Reason | None:
        """The rule that makes the difference: the one that stops it now, or the one that no longer does."""
        now = self.decision.reasons[0] if self.decision.reasons else None
        return self.before_reason if self.decision.verdict is Verdict.ALLOW and self.before_reason else now


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The changes from one verdict to another that one rule makes."""

    before: Verdict
    after: Verdict
    rule: Reason | None
    actions: tuple[tuple[Action, int], ...]
    """Each different action once, the most frequent first, and how often it was on record."""

    @property
    def times(self) -> int:
        """How many recorded actions it is about."""
        return sum(number for _, number in self.actions)


class Replay:
    """Judges actions again. An action that was recorded often is judged once for each place."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, Action], Decision] = {}

    def change(
        self, action: Action, *, before: Verdict, reasons: tuple[Reason, ...], evaluator: Evaluator
    ) -> Change | None:
        """The change to one action, or nothing where its verdict stays."""
        key = (id(evaluator), action)
        decision = self._known.get(key)
        if decision is None:
            decision = self._known[key] = evaluator.evaluate(action)
        if decision.verdict is before:
            return None
        return Change(before=before, decision=decision, before_reason=reasons[0] if reasons else None)


def grouped(changes: Iterable[Change]) -> tuple[Group, ...]:
    """The changes by verdicts and rule: first what newly passes, then the most frequent."""
    counted: dict[tuple[Verdict, Verdict, str, str], Counter[Action]] = {}
    rules: dict[tuple[Verdict, Verdict, str, str], Reason | None] = {}
    for one in changes:
        because = one.because
        name, source = (because.rule, because.source) if because is not None else ("", "")
        key = (one.before, one.decision.verdict, name, source)
        rules.setdefault(key, because)
        counted.setdefault(key, Counter())[one.decision.action] += 1
    groups = [
        Group(before=key[0], after=key[1], rule=rules[key], actions=tuple(actions.most_common()))
        for key, actions in counted.items()
    ]
    return tuple(sorted(groups, key=lambda group: (group.after.strictness, -group.times)))
