"""Whether two path patterns may mean the same path. Where it is not certain that they do not, they may."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from ringfence.policy.globs import Glob, components, is_glob
from ringfence.policy.paths import anchored

_HOME, _WORKSPACE = "/home/someone", "/home/someone/project"


def may_meet(one: str, other: str) -> bool:
    """Whether some path is named by both, or lies below what both name."""
    return any(_paths_meet(left, right, below=True) for left, right in _pairs(one, other))


def opens(rule: str, denied: str) -> bool:
    """Whether a rule that gives would win over one that denies, for some path that both name."""
    return any(_wins(left, right) and _paths_meet(left, right, below=False) for left, right in _pairs(rule, denied))


def _pairs(one: str, other: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [
        (components(left), components(right))
        for left in anchored(one, home=_HOME, workspace=_WORKSPACE)
        for right in anchored(other, home=_HOME, workspace=_WORKSPACE)
    ]


def _wins(rule: Sequence[str], denied: Sequence[str]) -> bool:
    """Whether a rule counts as more specific where both end at the same place; a tie is the denial's."""
    one, other = Glob("/".join(rule)), Glob("/".join(denied))
    literal, closed = not is_glob(one.text), not is_glob(other.text)
    return (literal, one.literal_characters) > (closed, other.literal_characters)


def _paths_meet(one: Sequence[str], other: Sequence[str], *, below: bool) -> bool:
    """Component by component; with `below` the shorter one may end first, as what lies below belongs to it."""

    @cache
    def meet(a: int, b: int) -> bool:
        if a == len(one) or b == len(other):
            return below or (set(one[a:]) | set(other[b:])) <= {"**"}
        if one[a] == "**" or other[b] == "**":
            return meet(a + 1, b) or meet(a, b + 1)
        return names_meet(one[a], other[b]) and meet(a + 1, b + 1)

    return meet(0, 0)


def names_meet(one: str, other: str) -> bool:
    """Whether one name fits both patterns of a component."""
    if not is_glob(one) and not is_glob(other):
        return one == other
    left, right = _pieces(one), _pieces(other)

    @cache
    def meet(a: int, b: int) -> bool:
        if a == len(left) and b == len(right):
            return True
        if a < len(left) and left[a] == "*":
            return meet(a + 1, b) or (b < len(right) and meet(a, b + 1))
        if b < len(right) and right[b] == "*":
            return meet(a, b + 1) or (a < len(left) and meet(a + 1, b))
        if a == len(left) or b == len(right):
            return False
        return _same(left[a], right[b]) and meet(a + 1, b + 1)

    return meet(0, 0)


def _same(one: str, other: str) -> bool:
    """One character each; a class may be any."""
    return one == other or one == "?" or other == "?" or len(one) > 1 or len(other) > 1


def _pieces(pattern: str) -> tuple[str, ...]:
    """`*`, `?`, `[...]` and plain characters."""
    found: list[str] = []
    at = 0
    while at < len(pattern):
        end = pattern.find("]", at + 2) if pattern[at] == "[" else -1
        piece = pattern[at : end + 1] if end > 0 else pattern[at]
        found.append(piece)
        at += len(piece)
    return tuple(found)
