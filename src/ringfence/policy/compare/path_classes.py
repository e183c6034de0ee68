"""The kinds of paths that some globs can tell apart, with a shortest path of each kind.

`url_paths` is about paths of requests, which a glob matches as a whole. `PathWalk` is about files, where the deepest
rule decides: it follows every way that a path can grow and keeps apart what could make a decision another one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from ringfence.policy.compare.limits import MAX_STEPS, TooLarge
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
    taken = 0
    while waiting:
        state, path = waiting.popleft()
        found.setdefault(run.ended(state), path)
        for name, mask in masks:
            after = run.after(state, mask)
            if after not in seen:
                seen.add(after)
                waiting.append((after, (*path, name)))
        taken += len(masks)
        _check(taken, len(steps))
    return tuple(found.values())


class Place(msgspec.Struct, frozen=True):
    """How far a walk has come, with all that can still matter."""

    node: int
    """In the tree of written names; -1 is off it."""
    globs: int
    latest: tuple[int, ...]
    """For each table what the patterns mean that end at the deepest level at which any of it ends."""
    first: tuple[int, ...]
    """For each watched set the patterns that ended at the first level at which any of it ended."""


class Way(msgspec.Struct, frozen=True):
    """One more component."""

    name: str
    node: int
    globs: int
    hits: int
    """The patterns that end with it."""


Meaning = Callable[[int], int]
"""What can still matter about some patterns that end at one level; never 0 where there are any."""


class Table(msgspec.Struct, frozen=True):
    """Patterns of which the deepest decides."""

    patterns: int
    meaning: Meaning


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
        self._ended: dict[int, int] = {}

    def kinds(self, *, tables: Sequence[Table], watched: Sequence[int]) -> Iterator[str]:
        """A shortest path for every way in which the patterns of some tables, and the watched ones, can meet a path."""
        start = _moved(Place(0, 0, (0,) * len(tables), (0,) * len(watched)), self._start, tables, watched)
        waiting: deque[tuple[Place, str]] = deque([(start, "")])
        seen = {start}
        told: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
        done: set[tuple[int, int, int, tuple[int, ...], tuple[int, ...]]] = set()
        grouped: dict[tuple[int, int], dict[int, list[Way]]] = {}
        steps = 0
        while waiting:
            place, path = waiting.popleft()
            if (place.latest, place.first) not in told:
                told.add((place.latest, place.first))
                yield path or "/"
            groups = grouped.get((place.node, place.globs))
            if groups is None:
                groups = grouped[place.node, place.globs] = self._grouped(place, tables)
            for replaced, ways in groups.items():
                # What the next component replaces does not matter: places that differ in nothing else go on alike.
                kept = tuple(0 if replaced >> at & 1 else one for at, one in enumerate(place.latest))
                key = (place.node, place.globs, replaced, kept, place.first)
                if key in done:
                    continue
                done.add(key)
                steps += len(ways)
                for way in ways:
                    after = _moved(place, way, tables, watched)
                    if after not in seen:
                        seen.add(after)
                        waiting.append((after, f"{path}/{way.name}"))
            _check(steps, len(self._number))

    def _grouped(self, place: Place, tables: Sequence[Table]) -> dict[int, list[Way]]:
        """Every next component that can make a difference, by the tables in which some pattern ends with it."""
        groups: dict[int, list[Way]] = {}
        for way in self._ways(place.node, place.globs):
            replaced = _all(1 << at for at, table in enumerate(tables) if way.hits & table.patterns)
            groups.setdefault(replaced, []).append(way)
        return groups

    def _ways(self, node: int, globs: int) -> Iterator[Way]:
        children = self._children[node] if node >= 0 else {}
        for name, child in children.items():
            yield self._way(name, child, self._run.after(globs, self._masks[self._kind_of[name]]))
        if not globs:
            yield Way(self._fresh, -1, 0, 0)
            return
        for kind, name in self._names.kinds.items():
            yield self._way(name, -1, self._run.after(globs, self._masks[kind]))
        for kind, names in self._written_only.items():
            other = next((name for name in names if name not in children), None)
            if other is not None:
                yield self._way(other, -1, self._run.after(globs, self._masks[kind]))

    def _way(self, name: str, node: int, globs: int) -> Way:
        globs |= self._entered[node] if node >= 0 else 0
        hits = self._hit(globs) | (self._hits[node] if node >= 0 else 0)
        return Way(name, node, globs & ~self._run.ended(globs), hits)

    @property
    def _start(self) -> Way:
        return self._way("", 0, 0)

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


def _moved(place: Place, way: Way, tables: Sequence[Table], watched: Sequence[int]) -> Place:
    if not way.hits:
        return Place(way.node, way.globs, place.latest, place.first)
    latest = tuple(
        table.meaning(way.hits & table.patterns) if way.hits & table.patterns else last
        for table, last in zip(tables, place.latest, strict=True)
    )
    first = tuple(known or way.hits & patterns for patterns, known in zip(watched, place.first, strict=True))
    return Place(way.node, way.globs, latest, first)


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


def _check(steps: int, globs: int) -> None:
    if steps > MAX_STEPS:
        raise TooLarge(f"{globs} globs over paths meet in too many ways (more than {MAX_STEPS:,} steps)")
