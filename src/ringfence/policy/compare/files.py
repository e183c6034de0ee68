"""Differences between two policies about files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from ringfence.model.action import FileAction, FileOperation
from ringfence.policy.compare.alike import files_alike
from ringfence.policy.compare.difference import Area, Difference, compared
from ringfence.policy.compare.limits import MAX_PATHS, TooLarge
from ringfence.policy.compare.path_classes import PathWalk, Table
from ringfence.policy.control_files import ControlFile, Direct, rows_with
from ringfence.policy.effective import Access, PathRule, Policy
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.paths import BINDING, SYSTEM_RULES, anchored


def file_differences(before: Evaluator, after: Evaluator) -> list[Difference]:
    """For each operation, each rule of either policy that decides differently from the other, by a shortest path."""
    if files_alike(before, after):
        return []
    found: dict[tuple[object, ...], Difference] = {}
    paths = list(path_kinds(before, after))
    if len(paths) > MAX_PATHS:
        raise TooLarge(f"the path rules make {len(paths):,} kinds of paths; the limit is {MAX_PATHS:,}")
    for operation in FileOperation:
        cases = ((f"{operation.value} {path}", FileAction(operation=operation, path=path)) for path in paths)
        for one in compared(Area.FILES, cases, before, after):
            found.setdefault((operation, one.before, one.after), one)
    return list(found.values())


def path_kinds(before: Evaluator, after: Evaluator) -> Iterator[str]:
    """A path for every way in which the rules of both policies can meet a path.

    Twice, with the rules of one policy told apart one by one and those of the other by what they give: all pairs of
    rules would be as many as the product of the two.
    """
    walk = _Walk(before, after)
    yield from dict.fromkeys((*walk.kinds(closely=before), *walk.kinds(closely=after)))


class _Walk:
    """The path rules of two policies, those of the system, and the control files."""

    def __init__(self, before: Evaluator, after: Evaluator) -> None:
        self._evaluators = (before, after)
        self._context = before.context
        workspace = _written_out(before.context.workspace)
        self._control = [[f"{workspace}/{row.pattern}" for row in _held(one.policy)] for one in self._evaluators]
        rules = [*before.policy.filesystem, *after.policy.filesystem, *SYSTEM_RULES]
        patterns = dict.fromkeys((*(text for rule in rules for text in self._patterns(rule)), *chain(*self._control)))
        self._bits = {text: 1 << number for number, text in enumerate(patterns)}
        self._walk = PathWalk(list(patterns))

    def kinds(self, *, closely: Evaluator) -> Iterator[str]:
        tables = [self._table(SYSTEM_RULES, closely=True)]
        for evaluator in self._evaluators:
            rules = evaluator.policy.filesystem
            # What the administrator denies holds against whatever is deeper: its deepest rule is kept apart.
            binding = [rule for rule in rules if rule.origin.layer in BINDING]
            tables += [self._table(some, closely=evaluator is closely) for some in (rules, binding)]
        watched = [_all(self._bits[text] for text in texts) for texts in self._control]
        yield from self._walk.kinds(tables=tables, watched=watched)

    def _table(self, rules: Iterable[PathRule], *, closely: bool) -> Table:
        given = dict.fromkeys(Access, 0)
        for rule in rules:
            given[rule.access] |= _all(self._bits[text] for text in self._patterns(rule))
        return Table(_all(given.values()), _itself if closely else _given(tuple(given.values())))

    def _patterns(self, rule: PathRule) -> tuple[str, ...]:
        return anchored(rule.pattern, home=self._context.home, workspace=self._context.workspace)


def _itself(patterns: int) -> int:
    return patterns


def _given(by_access: tuple[int, ...]) -> Callable[[int], int]:
    """What patterns give, where all of them give the same; else the patterns themselves."""

    def meaning(patterns: int) -> int:
        giving = [number for number, some in enumerate(by_access) if some & patterns]
        return -1 - giving[0] if len(giving) == 1 else patterns

    return meaning


def _all(bits: Iterable[int]) -> int:
    found = 0
    for bit in bits:
        found |= bit
    return found


def _held(policy: Policy) -> list[ControlFile]:
    """The control files that nothing in a session writes."""
    rows = rows_with(policy.control_files.rows, policy.control_files.exempt)
    return [row for row in rows if row.direct is Direct.PROTECT]


def _written_out(path: str) -> str:
    """A path as a pattern that means it alone."""
    return "".join(f"[{one}]" if one in "*?[" else one for one in path)
