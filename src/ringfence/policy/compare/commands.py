"""Differences between two policies about commands, found by example.

Which commands there are cannot be listed, so this answers twice. It judges examples: those that rules carry, those of
`[[test]]`, and commands made from what rules name. And it says which rules of the first policy the second does not
hold as strictly, which is where anything can pass that no example shows (`holding`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, product

from ringfence.model.action import Action, CommandAction
from ringfence.policy.compare.alike import Suspects
from ringfence.policy.compare.difference import Area, Difference, compared
from ringfence.policy.effective import PolicyTest
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.questions import action_of

MAX_MADE = 256
"""Commands made from the words of one rule."""


def command_differences(before: Evaluator, after: Evaluator) -> list[Difference]:
    """One difference for each pair of deciding rules, shown by the first example that it has."""
    found: dict[tuple[object, ...], Difference] = {}
    suspects = Suspects(before, after)
    cases = ((_text(action), action) for action in filter(suspects.include, examples(before, after)))
    for one in compared(Area.COMMANDS, cases, before, after):
        found.setdefault((one.before, one.after), one)
    return list(found.values())


def examples(*evaluators: Evaluator) -> Iterator[CommandAction]:
    """Every command that the policies give reason to try, each once."""
    yield from dict.fromkeys(action for evaluator in evaluators for action in _examples(evaluator))


def _examples(evaluator: Evaluator) -> Iterator[CommandAction]:
    workspace = evaluator.context.workspace
    for rule in evaluator.policy.commands.rules:
        for text in (*rule.match, *rule.not_match):
            yield CommandAction(argv=("bash", "-c", text), shell=text, cwd=workspace)
        for prefix in (rule.prefix, *rule.unless):
            for words in _made(prefix):
                yield CommandAction(argv=words, cwd=workspace)
    for test in evaluator.policy.tests:
        action = asked(test, evaluator)
        if isinstance(action, CommandAction):
            yield action


def asked(test: PolicyTest, evaluator: Evaluator) -> Action | None:
    """The action of a `[[test]]`; nothing where its question has none, which `policy test` says."""
    question: dict[str, object] = dict(test.question)
    if test.argv:
        question["argv"] = list(test.argv)
    try:
        return action_of(question, cwd=evaluator.context.workspace, home=evaluator.context.home)
    except ValueError:
        return None


def _made(prefix: tuple[tuple[str, ...], ...]) -> Iterator[tuple[str, ...]]:
    """Commands of a rule's own words: every word of each position beside the first words of the others, then more."""
    if not prefix:
        return
    first = tuple(words[0] for words in prefix)
    single: Iterable[tuple[str, ...]] = (
        (*first[:at], word, *first[at + 1 :]) for at, words in enumerate(prefix) for word in words
    )
    yield from dict.fromkeys((*single, *islice(product(*prefix), MAX_MADE)))


def _text(action: CommandAction) -> str:
    return action.shell if action.shell is not None else " ".join(action.argv)
