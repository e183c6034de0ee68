"""Globs over paths, component by component: `**` stands for any number of them, `*`, `?`, `[...]` stay inside one.

Matching takes time proportional to the pattern times the path, whatever the pattern: no text of a policy or an agent
makes it blow up.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from functools import lru_cache

MAX_COMPONENTS = 64
_REMEMBERED = 4096
"""Globs that are kept: the tables of a session are made of the same ones, time and again."""


def is_glob(text: str) -> bool:
    """Whether a text has any character that stands for others."""
    return any(character in text for character in "*?[")


def components(path: str) -> tuple[str, ...]:
    """The names in a path, without empty ones."""
    return tuple(filter(None, path.split("/")))


class Glob:
    """One compiled pattern; `ValueError` says what is wrong with it."""

    def __init__(self, text: str) -> None:
        self.text = text
        names = components(text)
        if len(names) > MAX_COMPONENTS:
            raise ValueError(f"glob `{text}` has more than {MAX_COMPONENTS} components")
        steps = tuple(_step(name, text) for name in names)
        fixed = next((at for at, name in enumerate(names) if is_glob(name)), len(names))
        self._fixed, self._steps = names[:fixed], steps[fixed:]
        self.any_depth_name = (self._fixed, names[-1]) if len(names) == fixed + 2 and names[fixed] == "**" else None
        """For `BASE/**/NAME`: the names of the base, and the name; nothing for any other glob."""
        if self.any_depth_name is not None and names[-1] == "**":
            self.any_depth_name = None
        self.literal_characters = sum(len(name) - len(re.findall(r"[*?\[\]]", name)) for name in names)

    def matches(self, path: Sequence[str]) -> bool:
        """Whether the whole path, as components, fits."""
        return len(path) in self._ends(path)

    def deepest(self, path: Sequence[str]) -> int | None:
        """The number of leading components of the longest ancestor, or the path itself, that fits; or nothing."""
        ends = self._ends(path)
        return max(ends) if ends else None

    def _ends(self, path: Sequence[str]) -> set[int]:
        start = len(self._fixed)
        if tuple(path[:start]) != self._fixed:
            return set()
        if len(self._steps) == 2 and self._steps[0] is None and (last := self._steps[1]) is not None:
            return {
                at + 1 for at in range(start, len(path)) if last.match(path[at])
            }  # `**/x`, by far the most frequent
        positions = {start}
        for step in self._steps:
            if step is None:
                positions = set(range(min(positions), len(path) + 1))
            else:
                positions = {at + 1 for at in positions if at < len(path) and step.match(path[at])}
            if not positions:
                break
        return positions


@lru_cache(maxsize=_REMEMBERED)
def glob(text: str) -> Glob:
    """The compiled pattern; `ValueError` says what is wrong with it."""
    return Glob(text)


@lru_cache(maxsize=_REMEMBERED)
def expression(name: str) -> str:
    """The regular expression of one component."""
    return fnmatch.translate(name)


def _step(name: str, text: str) -> re.Pattern[str] | None:
    """The pattern of one component, or nothing for `**`."""
    if name == "**":
        return None
    if "**" in name:
        raise ValueError(f"glob `{text}`: `**` stands for whole components; write `**/` before or `/**` after a name")
    if name in {".", ".."}:
        raise ValueError(f"glob `{text}` has a component `{name}`; write the path that is meant")
    if name.count("[") and not re.search(r"\[!?.[^\]]*\]", name):
        raise ValueError(f"glob `{text}` opens `[` without closing it")
    return re.compile(expression(name))
