"""The kinds of names that some patterns can tell apart, with a shortest name of each kind.

Two names are of one kind where the same patterns match them. Characters that no pattern mentions are all alike, so a
few of them stand for the whole of Unicode, and a walk over the patterns' automaton meets every kind that there is.
"""

from __future__ import annotations

import fnmatch
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

import msgspec

from ringfence.policy.compare.limits import MAX_STATES, TooLarge
from ringfence.policy.compare.sequences import ANY_RUN, Sequences, Step

_PLEASANT = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_-.+,@=~^"
FOLDED = "\0"
"""Stands before a pattern that is compared without regard to case; no pattern of a policy holds it."""
_LONGEST_UNICODE = 0x10FFFF


class Alphabet(msgspec.Struct, frozen=True, kw_only=True):
    """Which characters a name can have."""

    last: int = _LONGEST_UNICODE
    """The highest code point."""
    without: str = "/\0"


FILE_NAMES = Alphabet()
URL_NAMES = Alphabet(last=0x7F, without="/\\;")
"""Of a decoded URL path. What has other characters is one kind of its own, which no rule can be sure about."""


class NameClasses:
    """The kinds of names under some patterns. `literals` are names that somebody treats by themselves: a kind is shown
    by another name wherever it has one. `folded` are patterns that are compared without regard to case, letter by
    letter; they are known by `FOLDED` in front."""

    def __init__(
        self, patterns: Iterable[str], *, literals: Iterable[str], alphabet: Alphabet, folded: Iterable[str] = ()
    ) -> None:
        self.patterns = tuple(dict.fromkeys((*patterns, *(FOLDED + pattern.casefold() for pattern in folded))))
        self._literals = frozenset(literals)
        self._run = Sequences([_steps(pattern) for pattern in self.patterns])
        self._by_character: dict[str, int] = {}
        self._symbols = self._masks(alphabet)
        self.kinds: dict[int, str] = {}
        """For each kind, named by what matches, a name that is no literal; where all of its names are, it has none."""
        self._explore()

    def kind(self, name: str) -> int:
        """The kind of any name."""
        state = self._start
        for character in name:
            state = self._run.after(state, self._mask(character))
        return self._run.ended(state)

    def matched(self, kind: int) -> frozenset[str]:
        """The patterns that match the names of a kind."""
        return frozenset(self.patterns[number] for number in self._run.matched(kind))

    @property
    def _start(self) -> int:
        state = 0
        for start in self._run.starts:
            state |= start
        return state

    def _mask(self, character: str) -> int:
        found = self._by_character.get(character)
        if found is None:
            found = self._by_character[character] = self._run.mask(lambda token: _takes(token, character))
        return found

    def _masks(self, alphabet: Alphabet) -> list[tuple[str, int]]:
        mentioned = {character for text in (*self.patterns, *self._literals) for character in text} - {FOLDED}
        if any(pattern.startswith(FOLDED) for pattern in self.patterns):
            mentioned |= {one for text in mentioned for one in (text.upper(), text.lower()) if len(one) == 1}
        return [(one, self._mask(one)) for one in sorted(_representatives(mentioned, alphabet), key=_pleasantness)]

    def _explore(self) -> None:
        """Breadth first over the patterns' automaton, side by side with the tree of the literals."""
        tree = _Tree(self._literals)
        waiting: deque[tuple[int, int, str]] = deque([(self._start, 0, "")])
        seen = {(self._start, 0)}
        moves: dict[int, list[tuple[str, int]]] = {}
        while waiting:
            state, node, name = waiting.popleft()
            if name and not tree.is_literal(node):
                self.kinds.setdefault(self._run.ended(state), name)
            if state not in moves:
                moves[state] = [(one, self._run.after(state, mask)) for one, mask in self._symbols]
            for character, after in moves[state]:
                key = (after, tree.child(node, character))
                # Behind a state in which nothing matches any more there is only that: one such walk will do.
                if key not in seen and (after or (0, -1) not in seen):
                    seen.add(key)
                    waiting.append((*key, name + character))
            if len(seen) > MAX_STATES:
                raise TooLarge(f"the {len(self.patterns)} patterns of names make more than {MAX_STATES} combinations")


class _Tree:
    """The literals letter by letter. Node 0 is the beginning, -1 is off the tree."""

    def __init__(self, names: Iterable[str]) -> None:
        self._children: dict[tuple[int, str], int] = {}
        self._ends: set[int] = set()
        for name in names:
            node = 0
            for character in name:
                node = self._children.setdefault((node, character), len(self._children) + 1)
            self._ends.add(node)

    def child(self, node: int, character: str) -> int:
        return self._children.get((node, character), -1)

    def is_literal(self, node: int) -> bool:
        return node in self._ends


def _steps(pattern: str) -> list[Step]:
    """The steps of a pattern, split where `fnmatch` splits it."""
    if pattern.startswith(FOLDED):
        return [step if step is ANY_RUN else FOLDED + step for step in _steps(pattern.removeprefix(FOLDED))]
    steps: list[Step] = []
    at = 0
    while at < len(pattern):
        end = _end_of_set(pattern, at) if pattern[at] == "[" else at + 1
        steps.append(ANY_RUN if pattern[at] == "*" else pattern[at:end])
        at = end
    return steps


def _end_of_set(pattern: str, at: int) -> int:
    end = at + 1
    if pattern[end : end + 1] == "!":
        end += 1
    if pattern[end : end + 1] == "]":
        end += 1
    closing = pattern.find("]", end)
    return at + 1 if closing < 0 else closing + 1


def _takes(token: str, character: str) -> bool:
    if token.startswith(FOLDED):
        folded = character.casefold()
        return len(folded) == 1 and _takes(token.removeprefix(FOLDED), folded)
    if len(token) == 1:
        return token in ("?", character)
    return _set(token).match(character) is not None


@lru_cache(maxsize=1024)
def _set(token: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(token))


def _representatives(mentioned: Iterable[str], alphabet: Alphabet) -> Iterator[str]:
    """Every mentioned character, and one for each stretch of code points between them."""
    points = {ord(one) for one in (*mentioned, *alphabet.without)}
    before = -1
    for point in [*sorted(one for one in points if one <= alphabet.last), alphabet.last + 1]:
        if point - before > 1:
            yield _one_of(range(before + 1, point))
        if point <= alphabet.last and chr(point) not in alphabet.without:
            yield chr(point)
        before = point


def _one_of(points: Sequence[int]) -> str:
    return next((one for one in _PLEASANT if ord(one) in points), chr(points[0]))


def _pleasantness(character: str) -> tuple[int, int]:
    at = _PLEASANT.find(character)
    return (at if at >= 0 else len(_PLEASANT), ord(character))
