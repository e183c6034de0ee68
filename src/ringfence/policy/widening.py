"""What else a rule would let pass: examples one step beside what was seen, each checked with the evaluator.

Pure. It finds examples and proves nothing: what it lists passes, what it does not list may pass as well.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator

import msgspec

from ringfence.model.action import Action, CommandAction, ConnectAction, FileAction, FileOperation, RequestFacts
from ringfence.model.decision import Verdict
from ringfence.model.host_pattern import HostPattern
from ringfence.model.wording import action_text
from ringfence.policy.commands import OPEN_END
from ringfence.policy.effective import Access, CommandRule, HostRule, PathRule, Policy
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.narrowing import Addition
from ringfence.policy.paths import anchored
from ringfence.policy.questions import action_of

EXAMPLES = 5


def also_allowed(
    addition: Addition, seen: Iterable[Action], *, before: Evaluator, after: Evaluator
) -> tuple[Action, ...]:
    """Actions that pass after and not before, and were not seen: those that the addition suggests come first."""
    known = {action_text(action) for action in seen}
    suggested = (*_beside(addition, after), *examples_of(before.policy, before))
    candidates = (action for action in dict.fromkeys(suggested) if action_text(action) not in known)
    found: list[Action] = []
    for action in candidates:
        if after.evaluate(action).verdict is Verdict.ALLOW and before.evaluate(action).verdict is not Verdict.ALLOW:
            found.append(action)
            if len(found) == EXAMPLES:
                break
    return tuple(found)


def examples_of(policy: Policy, at: Evaluator) -> Iterator[Action]:
    """The examples that documents carry: those of their rules and of their tests."""
    for rule in policy.commands.rules:
        yield from (_shell(text, at) for text in rule.match)
    for test in policy.tests:
        question: dict[str, object] = {**dict(test.question)}
        if test.argv:
            question["argv"] = list(test.argv)
        try:
            yield action_of(question, cwd=at.context.workspace, home=at.context.home)
        except ValueError:
            continue  # `policy test` lists a test that asks nothing


def _beside(addition: Addition, at: Evaluator) -> Iterator[Action]:
    match addition:
        case HostRule():
            yield from _requests(addition)
        case PathRule():
            yield from _files(addition, at)
        case CommandRule():
            yield from _commands(addition, at)


def _requests(rule: HostRule) -> Iterator[Action]:
    for text in rule.hosts:
        pattern = HostPattern.parse(text)
        host = pattern.name or (str(pattern.network.network_address) if pattern.network is not None else "")
        port = pattern.port or 443
        paths = [path.removesuffix("**") + "anything" if path.endswith("**") else path for path in rule.paths]
        facts: RequestFacts | msgspec.UnsetType = msgspec.UNSET
        if rule.operations or rule.query or rule.headers:
            facts = RequestFacts(operations=("write",))
        for method in rule.methods or ("POST", "DELETE", "GET"):
            for path in paths or ("/anything",):
                yield ConnectAction(host=host, port=port, method=method, path=path, facts=facts)
        yield ConnectAction(host=host, port=port)


def _files(rule: PathRule, at: Evaluator) -> Iterator[Action]:
    operation = FileOperation(rule.access.value)
    for place in anchored(rule.pattern, home=at.context.home, workspace=at.context.workspace):
        if rule.access is Access.WRITE:
            yield FileAction(operation=FileOperation.READ, path=place)
        for path in (f"{place}/anything", f"{place}/any/depth"):
            yield FileAction(operation=operation, path=path)


def _commands(rule: CommandRule, at: Evaluator) -> Iterator[Action]:
    for prefix in rule.unless:
        words = [position[0] for position in prefix if position != (OPEN_END,)]
        if prefix[-1] == (OPEN_END,):
            yield CommandAction(argv=(*words, "anything"), cwd=at.context.workspace)
            yield CommandAction(argv=(*words, "any", "thing"), cwd=at.context.workspace)
        line = shlex.join(words)
        yield _shell(f"cd elsewhere && {line}", at)
        yield _shell(f"for each in 1 2 3; do {line}; done", at)
        yield _shell(f"NAME=value {line}", at)


def _shell(text: str, at: Evaluator) -> CommandAction:
    return CommandAction(argv=("bash", "-c", text), shell=text, cwd=at.context.workspace)
