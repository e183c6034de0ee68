"""What two policies cannot decide differently, because everything that decides about it is the same in both.

Where an area is alike, nothing of it has to be judged. Of commands, those remain that a rule of only one policy hits,
or that ask the rules of an area which is not alike. Words that only explain, and the lines on which rules stand, decide
nothing.
"""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from ringfence.model.action import CommandAction
from ringfence.policy.commands import CommandTable
from ringfence.policy.effective import BUILT_IN, CommandPolicy, CommandRule, Origin, Policy
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.judges.command import asks_hosts, asks_paths
from ringfence.policy.paths import BINDING
from ringfence.policy.shell.analysis import analyse


def files_alike(before: Evaluator, after: Evaluator) -> bool:
    """Whether no file can be judged differently."""
    return before.context == after.context and _about_files(before.policy) == _about_files(after.policy)


def tools_alike(before: Evaluator, after: Evaluator) -> bool:
    """Whether no call of a tool of an MCP server can be judged differently."""
    first, second = before.policy, after.policy
    return (first.mcp, first.soft) == (second.mcp, second.soft)


class Suspects:
    """The commands about which two policies may decide differently."""

    def __init__(self, before: Evaluator, after: Evaluator) -> None:
        self._home = before.context.home
        self._every = before.context != after.context
        self._asking_paths = _about_files(before.policy) != _about_files(after.policy)
        self._asking_hosts = _beside_files_and_commands(before.policy) != _beside_files_and_commands(after.policy)
        first, second = _command_rules(before.policy), _command_rules(after.policy)
        self._only = CommandTable((rule for rule, _ in first ^ second), home=self._home)
        self._none = first == second and not (self._every or self._asking_paths or self._asking_hosts)

    def include(self, action: CommandAction) -> bool:
        """Whether a command has to be judged by both."""
        # INVARIANT: what a judge of commands says follows from the rules that hit, from what path rules say, and from
        # what host rules say. Where each of them is the same in both policies, so is the verdict.
        if self._every or self._none:
            return self._every
        try:
            analysis = analyse(action, home=self._home)
        except Exception:  # noqa: BLE001 - to evaluate it is to deny it, with the reason
            return True
        return (
            any(True for invocation in analysis.invocations for _ in self._only.hits(invocation))
            or (self._asking_hosts and asks_hosts(analysis))
            or (self._asking_paths and asks_paths(analysis))
        )


def _about_files(policy: Policy) -> Hashable:
    rules = {
        (rule.pattern, rule.access, rule.origin.layer in BINDING, _is_soft(rule.origin, policy))
        for rule in policy.filesystem
    }
    return frozenset(rules), policy.control_files.rows, policy.control_files.exempt


def _command_rules(policy: Policy) -> frozenset[tuple[CommandRule, bool]]:
    """The rules without what only explains them, each with whether it may be overridden."""
    return frozenset((_plain(rule), _is_soft(rule.origin, policy)) for rule in policy.commands.rules)


def _plain(rule: CommandRule) -> CommandRule:
    return msgspec.structs.replace(rule, id="", reason="", match=(), not_match=(), origin=BUILT_IN, enforcement=None)


def _beside_files_and_commands(policy: Policy) -> Policy:
    """All that host rules, and what is said beside them, can decide by."""
    return msgspec.structs.replace(
        policy,
        filesystem=(),
        commands=CommandPolicy(),
        layers=(),
        observed=None,
        tests=(),
        inactive=(),
        digest="",
    )


def _is_soft(origin: Origin, policy: Policy) -> bool:
    return origin in policy.soft
