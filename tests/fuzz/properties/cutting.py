"""Where an input is cut in two or more: everywhere where it is short."""

from __future__ import annotations

import itertools

_SHORT = 256


def cuts(data: bytes) -> list[int]:
    """Everywhere in a short input; at places that the input itself chooses in a long one."""
    if len(data) <= _SHORT:
        return list(range(len(data)))
    return sorted({int.from_bytes(data[at : at + 2], "big") % len(data) for at in range(0, 64, 2)})


def cut_up(data: bytes) -> list[bytes]:
    """The input cut there."""
    places = [0, *cuts(data), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]
