"""The examples that rules carry: `match` has to be hit by the rule, `not_match` must not be.

They are checked when a file is read, so that a rule which does not mean what its author thought never takes effect.
"""

from __future__ import annotations

from collections.abc import Iterable

from ringfence.policy.commands import hits_rule
from ringfence.policy.effective import CommandRule
from ringfence.policy.schema import Faults, escaped
from ringfence.policy.shell.analysis import analyse_shell


def check_examples(rules: Iterable[CommandRule], faults: Faults) -> None:
    """Note a fault for each example that its rule contradicts."""
    for rule in rules:
        for example in rule.match:
            if not _hits(rule, example):
                faults.add_at(rule.origin, f"rule `{rule.id}` does not hit its `match` example `{escaped(example)}`")
        for example in rule.not_match:
            if _hits(rule, example):
                faults.add_at(rule.origin, f"rule `{rule.id}` hits its `not_match` example `{escaped(example)}`")


def _hits(rule: CommandRule, example: str) -> bool:
    return hits_rule(rule, analyse_shell(example, home=None).invocations)
