"""Which command rules of one policy another policy holds at least as strictly, whatever the command.

A rule is held where every command that it hits is hit by some rule of the other policy, with a verdict as strict. That
is decided on the rules alone: by their words, position by position. Where that cannot be told, the rule counts as not
held, so that a no is never wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from math import prod

import msgspec

from ringfence.model.action import EffectKind
from ringfence.model.decision import Verdict
from ringfence.policy.effective import CommandRule, Origin, Policy

MAX_WAYS = 4_096
"""Combinations of the words of one rule that are looked up one by one."""

_NOWHERE = Origin(layer="", source="")


def unheld(before: Policy, after: Policy) -> tuple[CommandRule, ...]:
    """The rules of the first policy, those that only allow left out, that the second does not hold."""
    holding = _Holding(_as_enforced(rule, after) for rule in after.commands.rules)
    stopping = (rule for rule in before.commands.rules if rule.verdict is not Verdict.ALLOW)
    return tuple(rule for rule in stopping if not holding.holds(_as_enforced(rule, before)))


def _as_enforced(rule: CommandRule, policy: Policy) -> CommandRule:
    """A rule with the verdict that it comes to: a denial that may be overridden asks."""
    overridable = rule.verdict is Verdict.DENY and rule.origin in policy.soft
    return msgspec.structs.replace(rule, verdict=Verdict.ASK if overridable else rule.verdict, enforcement=None)


class _Holding:
    """The rules of a policy that stop commands."""

    def __init__(self, rules: Iterable[CommandRule]) -> None:
        self._equal: dict[CommandRule, int] = {}
        self._by_program: dict[str, list[CommandRule]] = {}
        self._by_effect: dict[EffectKind, list[CommandRule]] = {}
        for rule in rules:
            shape = _shape(rule)
            self._equal[shape] = max(self._equal.get(shape, 0), rule.verdict.strictness)
            for program in rule.prefix[0] if rule.prefix else ():
                self._by_program.setdefault(program, []).append(rule)
            for kind in rule.effects if not rule.prefix else ():
                self._by_effect.setdefault(kind, []).append(rule)

    def holds(self, rule: CommandRule) -> bool:
        if self._equal.get(_shape(rule), 0) >= rule.verdict.strictness:
            return True
        if not rule.prefix:
            # A rule about effects alone is met by any of them: each may be held by another rule.
            return all(any(_has(one, rule) for one in self._by_effect.get(kind, ())) for kind in rule.effects)
        ways = [_ways(words) for words in rule.prefix]
        if prod(map(len, ways)) > MAX_WAYS:
            return False
        return all(self._hit(rule, way) for way in product(*ways))

    def _hit(self, rule: CommandRule, way: tuple[frozenset[str], ...]) -> bool:
        """Whether some rule hits whatever is a command of these words in this order, with anything between them."""
        programs = way[0]
        return any(_hits(other, rule, way) for program in programs for other in self._by_program.get(program, ()))


def _ways(words: tuple[str, ...]) -> list[frozenset[str]]:
    """A position word by word. One that names an option is met anywhere in a command, and stays as it is."""
    return [frozenset(words)] if _options(words) else [frozenset((word,)) for word in words]


def _hits(other: CommandRule, rule: CommandRule, way: tuple[frozenset[str], ...]) -> bool:
    if other.verdict.strictness < rule.verdict.strictness or len(other.prefix) > len(way):
        return False
    if not _same_beside_prefix(other, rule):
        return False
    # INVARIANT: both positions name the same options. Another option would let a position be met elsewhere in the
    # command, and the words that follow it would be looked for in other places.
    pairs = zip(other.prefix, way, strict=False)
    return all(words <= set(position) and _options(position) == _options(words) for position, words in pairs)


def _has(other: CommandRule, rule: CommandRule) -> bool:
    """Whether a rule about an effect hits all objects that another one does."""
    every = not other.objects or (bool(rule.objects) and set(rule.objects) <= set(other.objects))
    same = other.unless in ((), rule.unless) and set(other.undoable) <= set(rule.undoable)
    return every and same and other.verdict.strictness >= rule.verdict.strictness


def _same_beside_prefix(other: CommandRule, rule: CommandRule) -> bool:
    """Whether all else that has to hold is the same, or nothing else has to."""
    beside = msgspec.structs.replace(_shape(other), prefix=())
    return beside in (msgspec.structs.replace(_shape(rule), prefix=()), _ANY)


def _options(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word for word in words if word.startswith(("-", "+")))


def _shape(rule: CommandRule) -> CommandRule:
    """A rule without all that does not decide what it hits."""
    return msgspec.structs.replace(rule, id="", verdict=Verdict.ASK, reason="", match=(), not_match=(), origin=_NOWHERE)


_ANY = CommandRule(id="", prefix=(), verdict=Verdict.ASK, origin=_NOWHERE)
