"""Differences between two policies about files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ringfence.model.action import FileAction, FileOperation
from ringfence.policy.compare.difference import Area, Difference, compared
from ringfence.policy.compare.path_classes import PathWalk
from ringfence.policy.control_files import CONTROL_FILES, ControlFile, Direct
from ringfence.policy.effective import PathRule
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.paths import BINDING, SYSTEM_RULES, anchored


def file_differences(before: Evaluator, after: Evaluator) -> list[Difference]:
    """One difference for each operation and pair of deciding rules, shown by a shortest path."""
    found: dict[tuple[object, ...], Difference] = {}
    paths = list(path_kinds(before, after))
    for operation in FileOperation:
        cases = ((f"{operation.value} {path}", FileAction(operation=operation, path=path)) for path in paths)
        for one in compared(Area.FILES, cases, before, after):
            found.setdefault((operation, one.before, one.after), one)
    return list(found.values())


def path_kinds(before: Evaluator, after: Evaluator) -> Iterator[str]:
    """A path for every way in which the rules of both policies can meet a path."""
    groups = [_Group(before, binding=False), _Group(before, binding=True)]
    groups += [_Group(after, binding=False), _Group(after, binding=True)]
    system = _patterns(SYSTEM_RULES, before)
    control = [f"{_written_out(before.context.workspace)}/{row.pattern}" for row in CONTROL_FILES if _holds(row)]
    tables = [*(group.patterns for group in groups), system]
    patterns = list(dict.fromkeys(text for texts in (*tables, control) for text in texts))
    bits = {text: 1 << number for number, text in enumerate(patterns)}
    masks = [sum(bits[text] for text in set(texts)) for texts in (*tables, control)]
    yield from PathWalk(patterns).kinds(tables=masks[:-1], watched=masks[-1])


def _holds(row: ControlFile) -> bool:
    return row.direct is Direct.PROTECT


def _written_out(path: str) -> str:
    """A path as a pattern that means it alone."""
    return "".join(f"[{one}]" if one in "*?[" else one for one in path)


class _Group:
    """The patterns of one policy that are compared with one another: all of them, or those that nobody loosens."""

    def __init__(self, evaluator: Evaluator, *, binding: bool) -> None:
        rules = [rule for rule in evaluator.policy.filesystem if not binding or rule.origin.layer in BINDING]
        self.patterns = _patterns(rules, evaluator)


def _patterns(rules: Iterable[PathRule], evaluator: Evaluator) -> list[str]:
    context = evaluator.context
    return [text for rule in rules for text in anchored(rule.pattern, home=context.home, workspace=context.workspace)]
