"""Many wildcard patterns run side by side over one text, one bit of an integer for each place in each of them.

A pattern is a sequence of steps: a token, which takes one symbol, or `ANY_RUN`, which takes any number. The symbols of
a name are its characters, those of a path its components; what a token takes is the caller's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

ANY_RUN = None
"""The step that takes any number of symbols, none included."""

Step = str | None


class Sequences:
    """Patterns compiled together. A state is an integer; 0 means that no pattern can match any more."""

    def __init__(self, patterns: Sequence[Sequence[Step]]) -> None:
        self.starts: list[int] = []
        """For each pattern the state that stands at its beginning."""
        self._finals: list[int] = []
        self._all_finals = 0
        self._runs = 0
        self._tokens: dict[str, int] = {}
        at = 0
        for steps in patterns:
            at = self._add(_without_double_runs(steps), at)
        self.starts = [self._settled(start) for start in self.starts]

    def _add(self, steps: Sequence[Step], at: int) -> int:
        self.starts.append(1 << at)
        for step in steps:
            if step is ANY_RUN:
                self._runs |= 1 << at
            else:
                self._tokens[step] = self._tokens.get(step, 0) | 1 << at
            at += 1
        self._finals.append(1 << at)
        self._all_finals |= 1 << at
        return at + 1

    def mask(self, takes: Callable[[str], bool]) -> int:
        """All places whose token takes a symbol: what `after` needs to know about it."""
        found = 0
        for token, places in self._tokens.items():
            if takes(token):
                found |= places
        return found

    def after(self, state: int, mask: int) -> int:
        """The state after one more symbol."""
        return self._settled((state & mask) << 1 | state & self._runs)

    def _settled(self, state: int) -> int:
        # INVARIANT: no run stands behind another, so that passing over each once reaches every place.
        return state | (state & self._runs) << 1

    def ended(self, state: int) -> int:
        """The final places in a state: equal for two states exactly where the same patterns match."""
        return state & self._all_finals

    def matched(self, ended: int) -> frozenset[int]:
        """The patterns that match, by number."""
        return frozenset(number for number, final in enumerate(self._finals) if ended & final)


def _without_double_runs(steps: Sequence[Step]) -> list[Step]:
    kept: list[Step] = []
    for step in steps:
        if step is not ANY_RUN or not kept or kept[-1] is not ANY_RUN:
            kept.append(step)
    return kept
