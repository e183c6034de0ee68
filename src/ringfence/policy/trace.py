"""How a decision came about: every part of the action that was found, what each does, and which rules were looked at.

Pure, and no second way to judge: each part is put to the same evaluator that decides about the whole.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterator

import msgspec

from ringfence.model.action import CommandAction, ConnectAction, Effect, FileAction, FileOperation
from ringfence.model.decision import Decision, Verdict
from ringfence.model.host import parse_host
from ringfence.model.host_pattern import HostPattern
from ringfence.policy.commands import CommandTable
from ringfence.policy.effective import CommandRule, HostRule, Origin, PathRule
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.paths import PathTable
from ringfence.policy.shell.analysis import analyse_argv, analyse_shell
from ringfence.policy.shell.peel import Invocation
from ringfence.policy.shell.tree import Redirect


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that was looked at, because it names the program, the host or a folder above the path."""

    rule: str
    origin: Origin
    verdict: Verdict
    hits: bool
    """Whether it had a say."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One part of an action."""

    kind: str
    """`runs`, `opens`, `unclear`, `connects`, `file`."""
    what: str
    effects: tuple[Effect, ...] = ()
    looks: tuple[Look, ...] = ()


def trace(decision: Decision, evaluator: Evaluator) -> tuple[Step, ...]:
    """The steps that led to a decision, in the order in which they were found."""
    match decision.action:
        case CommandAction() as action:
            return tuple(_command(action, evaluator))
        case ConnectAction() as action:
            return (_connect(action, decision, evaluator),)
        case FileAction() as action:
            return (_file(action.path, action.operation, evaluator, kind="file"),)
        case _:
            return ()


def _command(action: CommandAction, evaluator: Evaluator) -> Iterator[Step]:
    home = evaluator.context.home
    analysis = analyse_argv(action.argv, home=home) if action.shell is None else analyse_shell(action.shell, home=home)
    for invocation in analysis.invocations:
        yield _invocation(invocation, action.cwd, evaluator)
    for redirect in analysis.redirects:
        yield _redirect(redirect, action.cwd, evaluator)
    for issue in analysis.issues:
        yield Step(kind="unclear", what=f"{issue.kind.value}: {issue.text}")


def _invocation(invocation: Invocation, cwd: str, evaluator: Evaluator) -> Step:
    words = [word.text for word in invocation.words]
    known = [word for word in words if word is not None]
    shown = " ".join(word.raw if word.text is None else shlex.quote(word.text) for word in invocation.words)
    # What is known only when it runs cannot be asked about by itself; the decision about the whole says so.
    alone = evaluator.evaluate(CommandAction(argv=tuple(known), cwd=cwd)) if len(known) == len(words) else None
    home = evaluator.context.home
    looks = tuple(
        _look(rule, hits=any(True for _ in CommandTable((rule,), home=home).hits(invocation)))
        for rule in evaluator.policy.commands.rules
        if invocation.program in (rule.prefix[0] if rule.prefix else ())
    )
    return Step(kind="runs", what=shown, effects=alone.effects if alone is not None else (), looks=looks)


def _redirect(redirect: Redirect, cwd: str, evaluator: Evaluator) -> Step:
    operation = FileOperation.WRITE if redirect.write else FileOperation.READ
    if redirect.target.text is None:
        return Step(kind="opens", what=f"{operation.value} {redirect.target.raw}, which is known only when it runs")
    return _file(posixpath.join(cwd, redirect.target.text), operation, evaluator, kind="opens")


def _file(path: str, operation: FileOperation, evaluator: Evaluator, *, kind: str) -> Step:
    decision = evaluator.evaluate(FileAction(operation=operation, path=path))
    home, workspace = evaluator.context.home, evaluator.context.workspace
    said = {(reason.rule, reason.source) for reason in decision.reasons}
    looks = tuple(
        _look(rule, hits=(_name(rule), rule.origin.source) in said)
        for rule in evaluator.policy.filesystem
        if path.startswith("/") and PathTable((rule,), home=home, workspace=workspace).match(path) is not None
    )
    return Step(kind=kind, what=f"{operation.value} {path}", effects=decision.effects, looks=looks)


def _connect(action: ConnectAction, decision: Decision, evaluator: Evaluator) -> Step:
    said = {(reason.rule, reason.source) for reason in decision.reasons}
    try:
        host = parse_host(action.host)
    except ValueError:
        return Step(kind="connects", what=f"{action.host}:{action.port}", effects=decision.effects)
    looks = tuple(
        _look(rule, hits=(rule.id, rule.origin.source) in said)
        for rule in evaluator.policy.network.rules
        if any(HostPattern.parse(text).matches(host, action.port) for text in rule.hosts)
    )
    return Step(kind="connects", what=f"{action.host}:{action.port}", effects=decision.effects, looks=looks)


def _look(rule: CommandRule | HostRule | PathRule, *, hits: bool) -> Look:
    if isinstance(rule, PathRule):
        verdict = Verdict.DENY if rule.access.value == "deny" else Verdict.ALLOW
        return Look(rule=_name(rule), origin=rule.origin, verdict=verdict, hits=hits)
    return Look(rule=rule.id, origin=rule.origin, verdict=rule.verdict, hits=hits)


def _name(rule: PathRule) -> str:
    return f"filesystem.{rule.access.value}:{rule.pattern}"
