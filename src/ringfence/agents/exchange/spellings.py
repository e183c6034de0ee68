"""A command rule as the texts that agents match: its words in order, with a gap where options may stand between them.

A rule that allows has no gaps: it means what is written, and nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from math import prod

import msgspec

from ringfence.model.decision import Verdict
from ringfence.policy.effective import CommandRule

GAP = "*"
MAX_VARIANTS = 64
MAX_SPELLINGS = 5_000
"""Of one rule: more than this helps nobody."""

Positions = tuple[tuple[str, ...], ...]


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """A rule whose positions are each either words or options."""

    positions: Positions
    options: tuple[bool, ...]


def variants(rule: CommandRule) -> tuple[Variant, ...]:
    """The rule taken apart where a position has both words and options: they stand in different places.

    Nothing where they would be too many.
    """
    parts = [_parts(position) for position in rule.prefix]
    if prod(map(len, parts)) > MAX_VARIANTS:
        return ()
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


def spelled(rule: CommandRule, *, escaped: Callable[[str], str] = str) -> list[str]:
    """The rule as texts in which `*` stands for anything, and ` *` behind the only one for "and perhaps more"; nothing
    where they would be too many. `escaped`: how the agent writes a word that holds a `*` of its own.
    """
    exact = rule.verdict is Verdict.ALLOW
    found: dict[str, None] = {}
    for variant in variants(rule):
        for words in product(*(map(escaped, position) for position in variant.positions)):
            for text in _texts(variant, words, exact=exact):
                found[text] = None
                if len(found) > MAX_SPELLINGS:
                    return []
    return list(found)


def _texts(variant: Variant, words: Sequence[str], *, exact: bool) -> Iterator[str]:
    """The words with every choice of gaps between them, and perhaps more behind them.

    Behind an option, or where there is a gap, more may follow at once: that is a little more than the rule says, and
    one text instead of two.
    """
    for between in product(*_betweens(variant, exact=exact)):
        text = words[0] + "".join(f"{gap}{word}" for gap, word in zip(between, words[1:], strict=True))
        at_once = not exact and (variant.options[-1] or any(GAP in gap for gap in between))
        yield f"{text}{GAP}" if at_once else f"{text} {GAP}"


def _betweens(variant: Variant, *, exact: bool) -> Iterator[tuple[str, ...]]:
    """What may stand in front of each word but the first."""
    for at in range(1, len(variant.positions)):
        if exact:
            yield (" ",)
        elif variant.options[at - 1] or variant.options[at]:
            yield " ", f" {GAP} "
        elif at == 1:
            yield " ", f" -{GAP} "
        else:
            yield (" ",)
