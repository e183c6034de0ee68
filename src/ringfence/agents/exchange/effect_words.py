"""Rules about what a command does, as words that agents can match: the programs, sub-commands and options that the tool
tables tie to an effect whatever else stands behind them. What depends on arguments has no words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache

import msgspec

from ringfence.agents.exchange.spellings import Positions
from ringfence.model.action import EffectKind
from ringfence.policy.effective import CommandRule
from ringfence.policy.tools import every_tool
from ringfence.policy.tools.readers import FINISH
from ringfence.policy.tools.schema import Command, Effects

_PROGRAM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_WORD = re.compile(r"-{0,2}[A-Za-z0-9][A-Za-z0-9_.:+-]*")


class _Fact(msgspec.Struct, frozen=True):
    """One effect of a program, a sub-command or an option of one."""

    before: Positions
    word: tuple[str, ...]
    """The spellings of the sub-command or option; empty for a program by itself."""
    kind: str
    object: str


def worded(rule: CommandRule) -> list[CommandRule]:
    """The rule once for each group of words that always have one of its effects."""
    kinds = {kind.value for kind in rule.effects}
    groups: dict[tuple[Positions, bool], dict[str, None]] = {}
    for fact in _facts():
        if fact.kind in kinds and _fits(fact.object, rule.objects):
            is_option = bool(fact.word) and fact.word[0].startswith("-")
            groups.setdefault((fact.before, is_option), {}).update(dict.fromkeys(fact.word))
    whole = {before for (before, _), words in groups.items() if not words}
    return [
        msgspec.structs.replace(rule, prefix=(*before, tuple(words)) if words else before, effects=(), objects=())
        for (before, _), words in groups.items()
        if not words or not any(before[: len(outer)] == outer for outer in whole)
    ]


def _fits(text: str, objects: tuple[str, ...]) -> bool:
    """Whether an object is one that the rule names. One that arguments fill in is not known to be."""
    return not objects or ("{" not in text and any(fnmatchcase(text, glob) for glob in objects))


@cache
def _facts() -> tuple[_Fact, ...]:
    found: list[_Fact] = []
    for tool in every_tool():
        names = tuple(name for name in tool.names if _PROGRAM.fullmatch(name))
        if names:
            found.extend(_of(tool, (names,), (), names[0]))
    return tuple(found)


def _of(command: Command, before: Positions, word: tuple[str, ...], shown: str) -> Iterator[_Fact]:
    # What a reader looks at once more is only an effect for some arguments: a database elsewhere, an account.
    if command.reader in FINISH:
        return
    for text in _always(command):
        yield _fact(before, word, text, shown)
    inside = (*before, word) if word else before
    for spellings, option in command.options.items():
        words = tuple(one for one in spellings.split(", ") if _WORD.fullmatch(one) and one.startswith("-"))
        if words:
            yield from (_fact(inside, words, text, shown) for text in option.effects)
    for name, one in command.commands.items():
        words = tuple(each for each in (name, *one.aliases) if _WORD.fullmatch(each))
        if words:
            yield from _of(one, inside, words, f"{shown} {name}")


def _always(command: Command) -> tuple[str, ...]:
    """What a command does however it is used with operands. What it only does without any would be asked too often."""
    effects = command.effects
    return (*effects.always, *effects.some) if isinstance(effects, Effects) else effects


def _fact(before: Positions, word: tuple[str, ...], text: str, shown: str) -> _Fact:
    kind, _, rest = text.partition(" ")
    return _Fact(before, word, EffectKind(kind).value, rest or shown)
