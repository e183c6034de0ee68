"""Which command rules hit an invocation: by its program and arguments, by what it does, or by both.

A rule that denies or asks hits generously: through paths, global options, bundles and abbreviations, and what could be
the command, or could have the effect, is taken for it while the hit says that it is not certain. A rule that allows
hits only what is exactly written.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from ringfence.model.action import EffectKind
from ringfence.model.decision import Verdict
from ringfence.policy.effective import CommandRule
from ringfence.policy.shell.analysis import Invocation
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools import grammar_of
from ringfence.policy.tools.reading import Fact

MAX_PLACES = 512

OPEN_END = "..."
"""Ends an exception behind which further operands may follow, but no options."""

_SYSTEM_FOLDERS = ("/usr/bin/", "/bin/", "/usr/local/bin/", "/usr/sbin/", "/sbin/")
_VERSION = re.compile(r"[0-9][0-9.]*")
_SUBCOMMAND = re.compile(r"[a-z][a-z0-9:_-]*")


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that speaks about an invocation."""

    rule: CommandRule
    certain: bool
    """False where what is only known at run time could make it so."""
    object: str = ""
    """What the effect falls on, where the rule is about an effect."""


def is_undoable(hit: Hit) -> bool:
    """Whether what the effect falls on can be brought back by a snapshot, as the rule says."""
    return bool(hit.object) and any(fnmatch.fnmatchcase(hit.object, text) for text in hit.rule.undoable)


class CommandTable:
    """The command rules of a policy, by the name of the program and by the kind of effect."""

    def __init__(self, rules: Iterable[CommandRule], *, home: str | None = None) -> None:
        self._prefixes: dict[str, list[CommandRule]] = {}
        self._effects: dict[EffectKind, list[_EffectRule]] = {}
        for rule in rules:
            prepared = rule if home is None else _at_home(rule, home)
            for name in prepared.prefix[0] if prepared.prefix else ():
                self._prefixes.setdefault(name, []).append(prepared)
            if not prepared.prefix:
                for kind in prepared.effects:
                    self._effects.setdefault(kind, []).append(_EffectRule(prepared))

    def hits(self, invocation: Invocation) -> Iterator[Hit]:
        """Every rule that hits what is written, in no order that matters."""
        program = invocation.program
        for name in (program,) if not program[-1:].isdigit() else (program, _unversioned(program)):
            for rule in self._prefixes.get(name, ()):
                certain = _match(rule, name, invocation)
                if certain is None or _excepted(rule, invocation):
                    continue
                if rule.effects:
                    yield from _with_effect(rule, invocation, certain=certain)
                else:
                    yield Hit(rule=rule, certain=certain)
        if invocation.reading is not None and self._effects:
            yield from self._by_effect(invocation)

    def _by_effect(self, invocation: Invocation) -> Iterator[Hit]:
        reading = invocation.reading
        assert reading is not None
        for fact in reading.facts:
            for rule in self._effects.get(fact.kind, ()):
                certain = rule.fits(fact)
                if certain is not None and (certain or rule.rule.verdict is not Verdict.ALLOW):
                    if _excepted(rule.rule, invocation):
                        continue
                    yield Hit(rule=rule.rule, certain=certain, object=fact.object)
        for kind in reading.may:
            for rule in self._effects.get(kind, ()) if isinstance(kind, EffectKind) else ():
                stops = rule.rule.verdict is not Verdict.ALLOW and kind not in EVERYDAY
                if stops and not _excepted(rule.rule, invocation):
                    yield Hit(rule=rule.rule, certain=False)


EVERYDAY = frozenset({EffectKind.READ, EffectKind.WRITE, EffectKind.EXECUTE, EffectKind.DELETE})
"""Effects that an unknown option does not make a question: paths and programs are judged where they are known."""


class _EffectRule:
    """A rule about effects, with its globs ready."""

    __slots__ = ("_objects", "rule")

    def __init__(self, rule: CommandRule) -> None:
        self.rule = rule
        self._objects = tuple(re.compile(fnmatch.translate(text)).match for text in rule.objects)

    def fits(self, fact: Fact) -> bool | None:
        """Whether the effect is meant for certain, perhaps, or not."""
        if not self._objects or any(match(fact.object) for match in self._objects):
            return True
        return False if fact.word is not None and fact.word.text is None and fact.kind not in EVERYDAY else None


def _with_effect(rule: CommandRule, invocation: Invocation, *, certain: bool) -> Iterator[Hit]:
    """A rule about a program and what it does there: both have to hold."""
    reading = invocation.reading
    if reading is None:
        if rule.verdict is not Verdict.ALLOW:
            yield Hit(rule=rule, certain=False)
        return
    prepared = _EffectRule(rule)
    for fact in reading.facts:
        fits = prepared.fits(fact) if fact.kind in rule.effects else None
        if fits is not None:
            yield Hit(rule=rule, certain=certain and fits, object=fact.object)
    if rule.verdict is not Verdict.ALLOW and any(kind in reading.may for kind in rule.effects):
        yield Hit(rule=rule, certain=False)


def hits_rule(rule: CommandRule, invocations: Iterable[Invocation]) -> bool:
    """Whether one rule hits any of these."""
    table = CommandTable((rule,))
    return any(True for invocation in invocations for _ in table.hits(invocation))


def _at_home(rule: CommandRule, home: str) -> CommandRule:
    """The rule with `~` as the shell expands it."""
    unless = tuple(_expanded(prefix, home) for prefix in rule.unless)
    objects = tuple(home + text[1:] if text == "~" or text.startswith("~/") else text for text in rule.objects)
    return msgspec.structs.replace(rule, prefix=_expanded(rule.prefix, home), unless=unless, objects=objects)


def _expanded(prefix: tuple[tuple[str, ...], ...], home: str) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (*position, *(home + word[1:] for word in position if word == "~" or word.startswith("~/")))
        for position in prefix
    )


def _match(rule: CommandRule, program: str, invocation: Invocation) -> bool | None:
    """Whether a rule hits for certain, perhaps, or (nothing) not at all."""
    arguments = invocation.words[1:]
    if rule.verdict is Verdict.ALLOW:
        return True if _exactly(rule.prefix, invocation.words[0], arguments) else None
    if len(rule.prefix) == 1:
        return True
    anywhere = [_option_at(position, arguments) for position in rule.prefix[1:]]
    needed = [position for position, found in zip(rule.prefix[1:], anywhere, strict=True) if not found]
    if any(word.startswith("-") for position in needed for word in position if len(position) == 1):
        return None
    outcomes = _outcomes(needed, arguments, program)
    return True if True in outcomes else False if outcomes else None


def _exactly(prefix: Sequence[tuple[str, ...]], name: Word, arguments: Sequence[Word]) -> bool:
    # SECURITY: a program in the workspace must not inherit the good name of the one it is called after.
    text = name.text or ""
    if "/" in text and not text.startswith(_SYSTEM_FOLDERS):
        return False
    if len(arguments) < len(prefix) - 1:
        return False
    pairs = zip(prefix[1:], arguments, strict=False)
    return all(word.text in position and not word.glob for position, word in pairs)


def _excepted(rule: CommandRule, invocation: Invocation) -> bool:
    """Whether an exception of the rule holds: exactly its words, and behind an open end nothing but known operands."""
    if not rule.unless:
        return False
    names = {invocation.program, _unversioned(invocation.program)}
    return any(not names.isdisjoint(prefix[0]) and _is_exception(prefix, invocation) for prefix in rule.unless)


def _is_exception(prefix: Sequence[tuple[str, ...]], invocation: Invocation) -> bool:
    is_open = prefix[-1] == (OPEN_END,)
    fixed = prefix[:-1] if is_open else prefix
    rest = invocation.words[len(fixed) :]
    return _exactly(fixed, invocation.words[0], invocation.words[1:]) and (
        all(map(_is_operand, rest)) if is_open else not rest
    )


def _is_operand(word: Word) -> bool:
    # SECURITY: an option behind the words that were excepted (`--force`, `--exec=x`) is another command; so may be
    # what is only known when it runs.
    return word.text is not None and not word.glob and not word.text.startswith(("-", "+"))


def _outcomes(needed: Sequence[tuple[str, ...]], words: Sequence[Word], program: str) -> set[bool]:
    """Ways in which the needed words follow one another, each certain or not.

    Each place is visited once. Where more options stand in a row than anybody writes, the rest is taken for a possible
    match instead of being followed: a question, not a way around.
    """
    found: set[bool] = set()
    waiting = [(0, 0, True)]
    seen: set[tuple[int, int, bool]] = set()
    while waiting:
        state = waiting.pop()
        if state in seen:
            continue
        seen.add(state)
        at, word_at, certain = state
        if at == len(needed):
            found.add(certain)
        elif len(seen) > MAX_PLACES:
            return {False}
        elif word_at < len(words):
            waiting.extend(_steps(needed[at], words[word_at], program if at == 0 else "", state))
    return found


def _steps(
    position: tuple[str, ...], word: Word, program: str, state: tuple[int, int, bool]
) -> Iterator[tuple[int, int, bool]]:
    at, word_at, certain = state
    if word.text is not None and word.text.startswith(("-", "+")) and word.text not in position:
        for width in _widths(word.text, program):
            yield at, word_at + width, certain
        return
    matches = _is_word(position, word)
    if matches is not None:
        yield at + 1, word_at + 1, certain and matches


def _widths(option: str, program: str) -> tuple[int, ...]:
    """How many words an option may take up: both where it is not known."""
    name, equals, _ = option.partition("=")
    if equals or option == "--":
        return (1,)
    grammar = grammar_of(program) if program else None
    if grammar is None:
        return (1, 2)
    spec = grammar.option(name)
    if spec is not None:
        return (2,) if spec.value and not spec.optional else (1,)
    short = grammar.options.get(option[:2]) if not option.startswith("--") else None
    return (1,) if short is not None and short.value else (1, 2)


def _is_word(position: tuple[str, ...], word: Word) -> bool | None:
    if word.text is None:
        return False if any(_SUBCOMMAND.fullmatch(name) for name in position) else None
    if word.text in position:
        return True
    if word.glob and any(fnmatch.fnmatchcase(name, word.text) for name in position):
        return False
    return None


def _option_at(position: tuple[str, ...], arguments: Sequence[Word]) -> bool:
    """Whether a position that names options is met by any argument in front of `--`."""
    wanted = [word for word in position if word.startswith("-")]
    if not wanted:
        return False
    for word in arguments:
        if word.text == "--":
            return False
        if word.text is not None and any(_is_option(option, word.text) for option in wanted):
            return True
    return False


def _is_option(option: str, text: str) -> bool:
    if text == option:
        return True
    name = text.partition("=")[0]
    if option.startswith("--"):
        return name == option or (len(name) > 4 and name.startswith("--") and option.startswith(name))
    return len(option) == 2 and text.startswith("-") and not text.startswith("--") and option[1] in text[1:]


def _unversioned(program: str) -> str:
    """`python3.11` as `python3`, `pip3` as `pip`: rules name programs without what differs between machines."""
    stem = program.rstrip("0123456789.")
    version = program[len(stem) :]
    return stem if stem and version and _VERSION.fullmatch(version) else program
