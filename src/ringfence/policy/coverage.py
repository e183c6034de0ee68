"""Which rules of a policy its tests and examples reach. A rule that nothing reaches is one that nobody has tried.

Pure: it is handed the decisions about the tests, and looks at nothing but their reasons and the rules' own examples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from ringfence.model.decision import Decision
from ringfence.policy.effective import Origin, Policy

WRITTEN_HERE = frozenset({"managed", "requirements", "user", "project"})
"""The layers of files that people wrote for this machine; presets are tested where they are made."""


class RuleKind(StrEnum):
    """What a rule speaks about."""

    COMMAND = "command"
    HOST = "host"
    PATH = "path"


class RuleCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, and how many tests and examples it had a say in."""

    rule: str
    kind: RuleKind
    origin: Origin
    tests: int
    examples: int
    """The rule's own `match` examples."""

    @property
    def covered(self) -> bool:
        """Whether anything tried it."""
        return self.tests + self.examples > 0


def coverage(policy: Policy, decisions: Iterable[Decision]) -> tuple[RuleCoverage, ...]:
    """Every rule that is in force, in the order of the policy, with what reached it."""
    reached = Counter(
        key for decision in decisions for key in {(reason.rule, reason.source) for reason in decision.reasons}
    )
    return tuple(
        RuleCoverage(rule=name, kind=kind, origin=origin, tests=reached[name, origin.source], examples=examples)
        for name, kind, origin, examples in _rules(policy)
    )


def share(rules: Iterable[RuleCoverage]) -> int:
    """How many of a hundred rules are covered, rounded down; all of none."""
    counted = [rule.covered for rule in rules]
    return 100 * sum(counted) // len(counted) if counted else 100


def _rules(policy: Policy) -> Iterable[tuple[str, RuleKind, Origin, int]]:
    for command in policy.commands.rules:
        yield command.id, RuleKind.COMMAND, command.origin, len(command.match)
    for host in policy.network.rules:
        yield host.id, RuleKind.HOST, host.origin, 0
    for path in policy.filesystem:
        yield f"filesystem.{path.access.value}:{path.pattern}", RuleKind.PATH, path.origin, 0
