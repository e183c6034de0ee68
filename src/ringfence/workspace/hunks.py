"""Parts of a change to a text file, to be taken over one by one. Pure; bytes, so that nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Collection
from difflib import SequenceMatcher

import msgspec

_CONTEXT = 3


class Hunk(msgspec.Struct, frozen=True, kw_only=True):
    """Changes that lie close together."""

    number: int
    steps: tuple[tuple[str, int, int, int, int], ...]
    """What becomes of which lines, as `difflib` says it, with the lines around."""


def hunks(before: bytes, after: bytes) -> tuple[Hunk, ...]:
    """The parts of a change, in order."""
    old, new = _lines(before), _lines(after)
    grouped = SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(_CONTEXT)
    return tuple(Hunk(number=number, steps=tuple(steps)) for number, steps in enumerate(grouped))


def with_hunks(before: bytes, after: bytes, found: tuple[Hunk, ...], chosen: Collection[int]) -> bytes:
    """The old content with some of the parts."""
    old, new = _lines(before), _lines(after)
    parts, at = list[bytes](), 0
    for hunk in found:
        if hunk.number not in chosen:
            continue
        for what, start, end, first, last in hunk.steps:
            if what != "equal":
                parts += [*old[at:start], *new[first:last]]
                at = end
    return b"".join([*parts, *old[at:]])


def shown(before: bytes, after: bytes, hunk: Hunk) -> list[bytes]:
    """A part as lines that begin with ` `, `-` or `+`, below one that says where they are."""
    old, new = _lines(before), _lines(after)
    first, last = hunk.steps[0], hunk.steps[-1]
    lines = [b"@@ -%d,%d +%d,%d @@" % (first[1] + 1, last[2] - first[1], first[3] + 1, last[4] - first[3])]
    for what, start, end, low, high in hunk.steps:
        if what == "equal":
            lines += [b" " + line.rstrip(b"\n") for line in old[start:end]]
            continue
        lines += [b"-" + line.rstrip(b"\n") for line in old[start:end]]
        lines += [b"+" + line.rstrip(b"\n") for line in new[low:high]]
    return lines


def _lines(content: bytes) -> list[bytes]:
    # Not `splitlines`, which takes a carriage return for an end too.
    parts = content.split(b"\n")
    lines = [part + b"\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines
