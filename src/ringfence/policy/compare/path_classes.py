"""The kinds of paths that some globs can tell apart, with a shortest path of each kind.

`url_paths` is about paths of requests, which a glob matches as a whole. `PathWalk` is about files, where the deepest
rule decides: it follows every way that a path can grow and keeps apart what could make a decision another one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from ringfence.policy.compare.limits import MAX_STATES, TooLarge
from ringfence.policy.compare.name_classes import FILE_NAMES, URL_NAMES, NameClasses
from ringfence.policy.compare.sequences import ANY_RUN, Sequences, Step
from ringfence.policy.globs import components, is_glob

_ESCAPED = "*%[0-9A-Fa-f][0-9A-Fa-f]*"
_NEVER = (".", "..")
"""Components that no normal path has."""


def url_paths(globs: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """For every set of globs that any plain path matches, the components of a shortest such path."""
    steps = [[_step(name) for name in components(glob)] for glob in sorted(set(globs))]
    run = Sequences(steps)
    names = NameClasses([_ESCAPED, *_tokens(steps)], literals=_NEVER, alphabet=URL_NAMES)
    # What looks escaped after it was unescaped is one kind of path by itself, which no rule can be sure about.
    plain = {kind: name for kind, name in names.kinds.items() if _ESCAPED not in names.matched(kind)}
    masks = [(name, _mask(run, names, kind)) for kind, name in plain.items()]
    state = _all(run.starts)
    found: dict[int, tuple[str, ...]] = {}
    waiting: deque[tuple[int, tuple[str, ...]]] = deque([(state, ())])
    seen = {state}
    while waiting:
        state, path = waiting.popleft()
        found.setdefault(run.ended(state), path)
        for name, mask in masks:
            after = run.after(state, mask)
            if after not in seen:
                seen.add(after)
                waiting.append((after, (*path, name)))
        _check(len(seen), len(steps))
    return tuple(found.values())


class Place(msgspec.Struct, frozen=True):
    """How far a walk has come, with all that can still matter."""

    node: int
    """In the tree of written names; -1 is off it."""
    globs: int
    latest: tuple[int, ...]
    """For each table the patterns that end at the deepest level at which any of it ends."""
    passed: int
    """The watched patterns that ended at any level."""


class PathWalk:
    """Absolute patterns, compiled together; each is known by its bit, in the order given."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._children: list[dict[str, int]] = [{}]
        self._hits: list[int] = [0]
        self._entered: list[int] = [0]
        tails: list[tuple[int, list[Step], int]] = []
        for number, pattern in enumerate(patterns):
            names = components(pattern)
            fixed = next((at for at, name in enumerate(names) if is_glob(name)), len(names))
            node = self._node(names[:fixed])
            if fixed == len(names):
                self._hits[node] |= 1 << number
            else:
                tails.append((node, [_step(name) for name in names[fixed:]], number))
        self._run = Sequences([steps for _, steps, _ in tails])
        self._number = [number for _, _, number in tails]
        for (node, _, _), start in zip(tails, self._run.starts, strict=True):
            self._entered[node] |= start
        self._names = self._classes([steps for _, steps, _ in tails])
        self._moves: dict[tuple[int, int], int] = {}
        self._ended: dict[int, int] = {}

    def kinds(self, *, tables: Sequence[int], watched: int) -> Iterator[str]:
        """A shortest path for every way in which the patterns of some tables, and the watched ones, can meet a path."""
        start = self._place(0, self._entered[0], Place(0, 0, (0,) * len(tables), 0), tables, watched)
        waiting: deque[tuple[Place, str]] = deque([(start, "")])
        seen = {start}
        told: set[tuple[tuple[int, ...], int]] = set()
        while waiting:
            place, path = waiting.popleft()
            if (place.latest, place.passed) not in told:
                told.add((place.latest, place.passed))
                yield path or "/"
            for name, kind, node in self._ways(place):
                globs = self._after(place.globs, kind) | (self._entered[node] if node >= 0 else 0)
                after = self._place(node, globs, place, tables, watched)
                if after not in seen:
                    seen.add(after)
                    waiting.append((after, f"{path}/{name}"))
            _check(len(seen), len(self._number))

    def _place(self, node: int, globs: int, before: Place, tables: Sequence[int], watched: int) -> Place:
        hits = self._hit(globs) | (self._hits[node] if node >= 0 else 0)
        latest = tuple(hits & table or last for table, last in zip(tables, before.latest, strict=True))
        return Place(node, globs, latest, before.passed | hits & watched)

    def _ways(self, place: Place) -> Iterator[tuple[str, int, int]]:
        """Every next name that can make a difference: its kind, and where it leads in the tree."""
        children = self._children[place.node] if place.node >= 0 else {}
        for name, node in children.items():
            yield name, self._kind_of[name], node
        if not place.globs:
            yield self._fresh, 0, -1
            return
        for kind, name in self._names.kinds.items():
            yield name, kind, -1
        for kind, names in self._written_only.items():
            other = next((name for name in names if name not in children), None)
            if other is not None:
                yield other, kind, -1

    def _classes(self, steps: list[list[Step]]) -> NameClasses:
        written = sorted({name for children in self._children for name in children})
        names = NameClasses(_tokens(steps), literals=(*written, *_NEVER), alphabet=FILE_NAMES)
        self._kind_of = {name: names.kind(name) for name in written}
        self._written_only: dict[int, list[str]] = {}
        for name, kind in self._kind_of.items():
            if kind not in names.kinds:
                self._written_only.setdefault(kind, []).append(name)
        self._fresh = next(iter(names.kinds.values()))
        self._masks = {kind: _mask(self._run, names, kind) for kind in (*names.kinds, *self._kind_of.values())}
        return names

    def _after(self, globs: int, kind: int) -> int:
        if not globs:
            return 0
        known = self._moves.get((globs, kind))
        if known is None:
            known = self._moves[globs, kind] = self._run.after(globs, self._masks[kind])
        return known

    def _hit(self, globs: int) -> int:
        ended = self._run.ended(globs)
        known = self._ended.get(ended)
        if known is None:
            known = self._ended[ended] = _all(1 << self._number[at] for at in self._run.matched(ended))
        return known

    def _node(self, names: Iterable[str]) -> int:
        node = 0
        for name in names:
            after = self._children[node].get(name)
            if after is None:
                after = self._children[node][name] = len(self._children)
                self._children.append({})
                self._hits.append(0)
                self._entered.append(0)
            node = after
        return node


def _step(name: str) -> Step:
    return ANY_RUN if name == "**" else name


def _tokens(steps: Iterable[Iterable[Step]]) -> list[str]:
    return [step for sequence in steps for step in sequence if step is not None]


def _mask(run: Sequences, names: NameClasses, kind: int) -> int:
    matched = names.matched(kind)
    return run.mask(lambda token: token in matched)


def _all(bits: Iterable[int]) -> int:
    found = 0
    for bit in bits:
        found |= bit
    return found


def _check(states: int, globs: int) -> None:
    if states > MAX_STATES:
        raise TooLarge(f"{globs} globs over paths make more than {MAX_STATES} combinations")
