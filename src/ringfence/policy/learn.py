"""From what a session needed to the narrowest rules that would have let it pass, each with its evidence.

Pure, and it applies nothing. What publishes, destroys, gives privilege, opens a secret, or is not known, is marked as
needing a decision. What no rule of a person could open, or only one that says too much, is listed with the reason.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from ringfence.model.action import Action, CommandAction, ConnectAction, EffectKind, FileAction, FileOperation
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.model.host import HOST_LOOPBACK
from ringfence.policy.commands import CommandTable
from ringfence.policy.effective import Access, CommandRule, Policy
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.narrowing import (
    Addition,
    Need,
    exception_rule,
    fault_of,
    host_rules,
    is_run_later,
    path_rules,
)
from ringfence.policy.paths import BINDING
from ringfence.policy.shell.analysis import Invocation, analyse_argv, analyse_shell
from ringfence.policy.starters import STARTERS

GRAVE = frozenset({EffectKind.PUBLISH, EffectKind.DESTROY, EffectKind.PRIVILEGE, EffectKind.CONFIGURE})
"""Effects that a rule never lets pass without somebody having decided so."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One time that an action was wanted."""

    event: str
    time_ns: int
    action: Action
    asked: Verdict
    """What the policy said then."""
    final: Verdict
    how: str
    """How it ended, in a few words: `approved by a person`, `denied: nobody could be asked`."""
    refused: bool = False
    """Whether a person said no."""


class Uncovered(msgspec.Struct, frozen=True, kw_only=True):
    """An action that no proposal lets pass, and why."""

    action: Action
    evidence: tuple[Evidence, ...]
    why: str


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """One addition to a policy."""

    addition: Addition
    evidence: tuple[Evidence, ...]
    decide: tuple[str, ...] = ()
    """Why a person has to decide about it; empty where it is no more than was seen."""
    also: tuple[Action, ...] = ()
    """Examples of what else it would let pass, each checked."""


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """What was learned."""

    proposals: tuple[Proposal, ...]
    uncovered: tuple[Uncovered, ...]
    settled: int
    """Actions that the policy lets pass already."""


def learn(wanted: Iterable[Evidence], evaluator: Evaluator, *, why: str) -> Lesson:
    """The proposals for what was wanted, on top of the policy of `evaluator`. `why` becomes the reason of rules."""
    by_action: dict[Action, list[Evidence]] = defaultdict(list)
    for one in wanted:
        by_action[one.action].append(one)
    needs: dict[Need, list[Evidence]] = defaultdict(list)
    uncovered: list[Uncovered] = []
    settled = 0
    for action, evidence in by_action.items():
        decision = evaluator.evaluate(action)
        if decision.verdict is Verdict.ALLOW:
            settled += 1
            continue
        found = _refusal(evidence) or _needs(decision, evaluator)
        if isinstance(found, str):
            uncovered.append(Uncovered(action=action, evidence=tuple(evidence), why=found))
            continue
        for need in found:
            needs[need] += evidence
    return Lesson(proposals=tuple(_proposals(needs, evaluator, why)), uncovered=tuple(uncovered), settled=settled)


def _refusal(evidence: Sequence[Evidence]) -> str:
    """A no of a person counts, unless the same was approved later."""
    refused = False
    for one in evidence:
        refused = one.refused or (refused and one.final is not Verdict.ALLOW)
    return "a person said no" if refused else ""


def _needs(decision: Decision, evaluator: Evaluator) -> tuple[Need, ...] | str:
    """All that would have to be opened for an action, or why that cannot be done."""
    found: list[Need] = []
    for reason in decision.reasons:
        if reason.verdict is Verdict.ALLOW:
            continue
        if reason.layer in BINDING:
            return f"rule `{reason.rule}` at {reason.source} belongs to whoever manages this machine"
        needs = _needed(decision, reason, evaluator)
        if isinstance(needs, str):
            return needs
        found += needs
    return tuple(dict.fromkeys(found)) or "no rule that stopped it is known"


def _needed(decision: Decision, reason: Reason, evaluator: Evaluator) -> tuple[Need, ...] | str:
    match decision.action:
        case ConnectAction() as action:
            return _host(action, reason, evaluator.policy)
        case FileAction() as action:
            return _path(action, reason, evaluator.context.home)
        case CommandAction() as action:
            return _command(action, decision, reason, evaluator)
        case _:
            return f"rule `{reason.rule}` stops it, and no rule that could be learned opens that"


def _host(action: ConnectAction, reason: Reason, policy: Policy) -> tuple[Need, ...] | str:
    rule = next((one for one in policy.network.rules if (one.id, one.origin.source) == _key(reason)), None)
    if rule is not None and rule.verdict is not Verdict.ALLOW:
        return f"rule `{rule.id}` at {rule.origin.source} says so; change it there"
    if rule is None and reason.rule not in {"network.default", "address.private"}:
        return reason.text
    decide = ""
    if reason.rule == "address.private" or action.host == HOST_LOOPBACK:
        decide = "it is a service of this machine, its network or its cloud"
    return (
        Need(kind="host", host=action.host, port=action.port, method=action.method, path=action.path, decide=decide),
    )


def _path(action: FileAction, reason: Reason, home: str) -> tuple[Need, ...] | str:
    kind, _, pattern = reason.rule.partition(":")
    if kind not in {"filesystem.default", "filesystem.read", "filesystem.deny"}:
        return reason.text
    access, path, decide = Access(action.operation.value), posixpath.normpath(action.path), ""
    if kind == "filesystem.deny":
        decide = f"rule `{pattern}` at {reason.source} keeps it from being read"
    elif access is Access.WRITE and is_run_later(path, home):
        decide = "your own programs may run or obey what is written there, outside of any session"
    fault = fault_of(path)
    if fault is not None:
        return fault
    return (Need(kind="path", access=access, path=path, decide=decide),)


def _command(action: CommandAction, decision: Decision, reason: Reason, evaluator: Evaluator) -> tuple[Need, ...] | str:
    if reason.rule.startswith(("filesystem.", "network.", "address.")):
        return _objects(action, decision, reason, evaluator)
    rule = next((one for one in evaluator.policy.commands.rules if (one.id, one.origin.source) == _key(reason)), None)
    if rule is None:
        return reason.text
    if not rule.origin.layer.startswith("preset:"):
        return f"rule `{rule.id}` at {rule.origin.source} says so; change it there"
    if rule.verdict is Verdict.DENY:
        return f"rule `{rule.id}` at {rule.origin.source} denies it, and nothing makes an exception of that by itself"
    return _exceptions(action, decision, rule, evaluator)


def _exceptions(
    action: CommandAction, decision: Decision, rule: CommandRule, evaluator: Evaluator
) -> tuple[Need, ...] | str:
    home = evaluator.context.home
    analysis = analyse_argv(action.argv, home=home) if action.shell is None else analyse_shell(action.shell, home=home)
    table = CommandTable((rule,), home=home)
    hit = [one for one in analysis.invocations if any(True for _ in table.hits(one))]
    found: list[Need] = []
    for invocation in hit:
        words = _plain(invocation)
        if words is None:
            return f"rule `{rule.id}` asks, and the words of the command are known only when it runs"
        if invocation.program.rstrip("0123456789.") in STARTERS or invocation.program in STARTERS:
            return f"`{invocation.program}` runs what its arguments say: an exception for it would be one for anything"
        found.append(Need(kind="command", rule=rule.id, words=words, decide=_gravity(decision, rule)))
    return tuple(found) or f"rule `{rule.id}` asks, and which of its programs it means cannot be told"


def _plain(invocation: Invocation) -> tuple[str, ...] | None:
    """The words of an invocation, where every one of them is known."""
    words = [word.text for word in invocation.words if word.text is not None and not word.glob]
    return (invocation.program, *words[1:]) if len(words) == len(invocation.words) else None


def _gravity(decision: Decision, rule: CommandRule) -> str:
    """Why a command needs a decision, or nothing where what it does is known and can be brought back."""
    grave = [f"{one.kind.value} {one.object}" for one in decision.effects if one.kind in GRAVE]
    asks = f"rule `{rule.id}` asks: {rule.reason}" if rule.reason else f"rule `{rule.id}` asks"
    if grave:
        return f"its effect is {', '.join(dict.fromkeys(grave))}; {asks}"
    if decision.opaque or all(one.kind is EffectKind.EXECUTE for one in decision.effects):
        return f"whether what it does can be brought back is not known; {asks}"
    return ""


def _objects(action: CommandAction, decision: Decision, reason: Reason, evaluator: Evaluator) -> tuple[Need, ...] | str:
    """What a command's effects fall on and is not open."""
    found: list[Need] = []
    for part in _parts(action, decision):
        judged = evaluator.evaluate(part)
        if judged.verdict is not Verdict.ALLOW and any(_key(one) == _key(reason) for one in judged.reasons):
            needs = _needs(judged, evaluator)
            if isinstance(needs, str):
                return needs
            found += needs
    return tuple(found) or reason.text


def _parts(action: CommandAction, decision: Decision) -> Iterator[Action]:
    for effect in decision.effects:
        match effect.kind:
            case EffectKind.READ | EffectKind.WRITE | EffectKind.DELETE:
                operation = FileOperation.READ if effect.kind is EffectKind.READ else FileOperation.WRITE
                yield FileAction(operation=operation, path=posixpath.join(action.cwd, effect.object))
            case EffectKind.CONNECT:
                host, _, port = effect.object.rpartition(":")
                if port.isdecimal():
                    yield ConnectAction(host=host, port=int(port))
            case _:
                pass


def _key(reason: Reason) -> tuple[str, str]:
    return reason.rule, reason.source


def _proposals(needs: dict[Need, list[Evidence]], evaluator: Evaluator, why: str) -> Iterator[Proposal]:
    policy, home = evaluator.policy, evaluator.context.home
    taken = {rule.id for rule in policy.network.rules} | {rule.id for rule in policy.commands.rules}
    additions = [
        *path_rules([need for need in needs if need.kind == "path"], home=home),
        *host_rules([need for need in needs if need.kind == "host"], taken=taken, why=why),
    ]
    for rule in policy.commands.rules:
        mine = [need for need in needs if need.kind == "command" and need.rule == rule.id]
        if mine:
            additions.append(exception_rule(rule, mine))
    for addition, covered in additions:
        evidence = {one.event: one for need in covered for one in needs[need]}
        yield Proposal(
            addition=addition,
            evidence=tuple(sorted(evidence.values(), key=lambda one: (one.time_ns, one.event))),
            decide=tuple(dict.fromkeys(need.decide for need in covered if need.decide)),
        )
