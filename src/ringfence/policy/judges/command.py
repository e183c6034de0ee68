"""Commands: every program that the command starts meets every rule; files its shell opens meet the path rules.

This decides what to ask. What is possible is decided by the sandbox and the gateway, whatever this overlooks.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from ringfence.model.action import CommandAction, Effect, EffectKind, FileOperation
from ringfence.model.decision import Reason, Verdict
from ringfence.policy.commands import CommandTable, Hit
from ringfence.policy.effective import Policy
from ringfence.policy.judges.file import FileJudge
from ringfence.policy.judges.finding import Finding, built_in, reason
from ringfence.policy.schema import escaped
from ringfence.policy.shell.analysis import Analysis, analyse_argv, analyse_shell
from ringfence.policy.shell.peel import Invocation
from ringfence.policy.shell.tree import Issue, Redirect

_PRINTS = frozenset({"echo", "printf", ":", "true", "test", "["})
"""Programs whose arguments are text and never files."""
_SENTENCE = frozenset(" \t\r\n;|&<>")
"""An argument with one of these is a script, a pattern or a message rather than the name of a secret. To be wrong here
costs an early word only: the sandbox does not show the file."""


class CommandJudge:
    """The command rules of a policy, and its path rules for what shells open."""

    def __init__(self, policy: Policy, files: FileJudge, *, home: str) -> None:
        self._table = CommandTable(policy.commands.rules, home=home)
        self._files = files
        self._home = home

    def judge(self, action: CommandAction) -> Finding:
        """The finding about a command."""
        if action.shell is None and not action.argv:
            return Finding(reasons=(built_in("commands.empty", Verdict.DENY, "there is no command"),), opaque=True)
        analysis = (
            analyse_argv(action.argv, home=self._home)
            if action.shell is None
            else analyse_shell(action.shell, home=self._home)
        )
        reasons = [*self._reasons(analysis, action.cwd)]
        if not reasons:
            text = "no rule stops it; it runs inside the sandbox, which holds it"
            reasons = [built_in("commands.default", Verdict.ALLOW, text)]
        return Finding(reasons=tuple(reasons), effects=tuple(_effects(analysis)), opaque=bool(analysis.issues))

    def _reasons(self, analysis: Analysis, cwd: str) -> Iterator[Reason]:
        for issue in analysis.issues:
            yield _unclear(issue)
        for invocation in analysis.invocations:
            for hit in self._table.hits(invocation):
                yield _hit(hit)
            yield from self._denied_paths(invocation, cwd)
        moves = next((at for at, one in enumerate(analysis.invocations) if one.program in {"cd", "pushd"}), None)
        for redirect in analysis.redirects:
            known = cwd if moves is None or redirect.after <= moves else None
            yield from self._redirect(redirect, known)

    def _redirect(self, redirect: Redirect, cwd: str | None) -> Iterator[Reason]:
        path = _absolute(redirect.target.text, cwd)
        if path is None:
            return
        operation = FileOperation.WRITE if redirect.write else FileOperation.READ
        found = self._files.reason(path, operation)
        if found.verdict is not Verdict.ALLOW:
            yield found

    def _denied_paths(self, invocation: Invocation, cwd: str) -> Iterator[Reason]:
        if invocation.program in _PRINTS:
            return
        for text in {text for word in invocation.words[1:] for text in _named(word.text)}:
            path = _absolute(text, cwd)
            found = None if path is None or _SENTENCE & set(text) else self._files.denied_by_rule(path)
            if found is not None:
                yield found


def _named(text: str | None) -> Iterator[str]:
    """The texts in an argument that may be a path: itself, the value of `--option=x` or `if=x`, and `@x`."""
    if text is None:
        return
    yield text
    for mark in "=@":
        _, found, value = text.partition(mark)
        if found and value:
            yield value.removeprefix("@")


def _absolute(text: str | None, cwd: str | None) -> str | None:
    if text is None or not text or len(text) > 4096:
        return None
    if text.startswith("/"):
        return text
    return None if cwd is None or text.startswith("-") else posixpath.join(cwd, text)


def _unclear(issue: Issue) -> Reason:
    text = f"what it runs cannot be seen before it runs: {escaped(issue.text)}"
    return built_in(f"commands.{issue.kind.value}", Verdict.ASK, text)


def _hit(hit: Hit) -> Reason:
    rule = hit.rule
    text = rule.reason or f"a rule names `{' '.join(words[0] for words in rule.prefix)}`"
    if hit.certain:
        return reason(rule.id, rule.origin, rule.verdict, text)
    return reason(rule.id, rule.origin, Verdict.ASK, f"it may be this, which shows only when it runs: {text}")


def _effects(analysis: Analysis) -> Iterator[Effect]:
    for invocation in analysis.invocations:
        yield Effect(kind=EffectKind.EXECUTE, object=invocation.words[0].text or invocation.words[0].raw)
    for redirect in analysis.redirects:
        kind = EffectKind.WRITE if redirect.write else EffectKind.READ
        yield Effect(kind=kind, object=redirect.target.text or redirect.target.raw)
