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
from ringfence.policy.commands import EVERYDAY, CommandTable
from ringfence.policy.effective import CommandRule, HostRule, Origin, PathRule
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.judges.command import effects_of
from ringfence.policy.paths import PathTable
from ringfence.policy.shell.analysis import Invocation, Opened, analyse


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
    analysis = analyse(action, home=evaluator.context.home)
    for invocation in analysis.invocations:
        yield _invocation(invocation, evaluator)
    for opened in analysis.opened:
        yield _opened(opened, evaluator)
    for issue in analysis.issues:
        yield Step(kind="unclear", what=f"{issue.kind.value}: {issue.text}")


def _invocation(invocation: Invocation, evaluator: Evaluator) -> Step:
    shown = " ".join(word.raw if word.text is None else shlex.quote(word.text) for word in invocation.words)
    home = evaluator.context.home
    looks = tuple(
        _look(rule, hits=hits)
        for rule in evaluator.policy.commands.rules
        if (hits := any(True for _ in CommandTable((rule,), home=home).hits(invocation))) or _is_about(rule, invocation)
    )
    what = shown if invocation.program or invocation.path is None else f"{invocation.name} code"
    return Step(kind="runs", what=what, effects=tuple(effects_of(invocation)), looks=looks)


def _is_about(rule: CommandRule, invocation: Invocation) -> bool:
    """Whether a rule speaks about this program, or about a kind of effect that it has. Rules about certain objects of
    what every program does are only worth a line where they hit."""
    if rule.prefix:
        return invocation.program in rule.prefix[0]
    kinds = {fact.kind for fact in invocation.reading.facts} if invocation.reading is not None else set()
    return any(kind in kinds and (kind not in EVERYDAY or not rule.objects) for kind in rule.effects)


def _opened(opened: Opened, evaluator: Evaluator) -> Step:
    redirect = opened.redirect
    operation = FileOperation.WRITE if redirect.write else FileOperation.READ
    if redirect.target.text is None or not opened.place.folders:
        return Step(kind="opens", what=f"{operation.value} {redirect.target.raw}, which is known only when it runs")
    path = posixpath.join(opened.place.folders[0], redirect.target.text)
    return _file(path, operation, evaluator, kind="opens")


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
