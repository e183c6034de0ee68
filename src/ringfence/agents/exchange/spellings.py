"""A command rule as the texts that agents match: its words in order, with a gap where an option may stand elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import msgspec

from ringfence.policy.effective import CommandRule

GAP = "*"
MAX_SPELLINGS = 5_000
"""Of one rule: more than this helps nobody."""

Positions = tuple[tuple[str, ...], ...]


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """A rule whose positions are each either words or options."""

    positions: Positions
    options: tuple[bool, ...]


def variants(rule: CommandRule) -> tuple[Variant, ...]:
    """The rule taken apart where a position has both words and options: they stand in different places."""
    parts = [_parts(position) for position in rule.prefix]
    return tuple(
        Variant(positions=tuple(words for words, _ in one), options=tuple(option for _, option in one))
        for one in product(*parts)
    )


def _parts(position: tuple[str, ...]) -> list[tuple[tuple[str, ...], bool]]:
    options = tuple(word for word in position if is_option(word))
    words = tuple(word for word in position if not is_option(word))
    return [part for part in ((words, False), (options, True)) if part[0]]


def is_option(word: str) -> bool:
    """Whether a word is an option, which may stand anywhere, and not the mark that ends them."""
    return word.startswith("-") and word.strip("-") != ""


def gaps(variant: Variant) -> tuple[int, ...]:
    """Where something else may stand between two neighbours: beside an option, but for the place behind the program."""
    return tuple(at for at in range(1, len(variant.positions)) if variant.options[at - 1] or variant.options[at])


def spelled(rule: CommandRule, *, trailing_is_optional: bool) -> list[str]:
    """The rule as texts in which `*` stands for anything.

    `trailing_is_optional`: whether the agent takes ` *` at the end for "and perhaps more" also behind another `*`.
    """
    found: dict[str, None] = {}
    for variant in variants(rule):
        for words in product(*variant.positions):
            for text in _texts(words, gaps(variant), trailing_is_optional=trailing_is_optional):
                found[text] = None
            if len(found) > MAX_SPELLINGS:
                return []
    return list(found)


def _texts(words: Sequence[str], places: Sequence[int], *, trailing_is_optional: bool) -> Iterator[str]:
    for chosen in product((False, True), repeat=len(places)):
        open_at = {place for place, is_open in zip(places, chosen, strict=True) if is_open}
        text = "".join(f" {GAP} {word}" if at in open_at else f" {word}" for at, word in enumerate(words))[1:]
        yield f"{text} {GAP}"
        if open_at and not trailing_is_optional:
            yield text
