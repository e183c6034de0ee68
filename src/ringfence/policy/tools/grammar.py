"""Tool tables as look-ups: one `Grammar` for a program and one for each of its sub-commands, made when first used."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cached_property

from ringfence.model.action import EffectKind
from ringfence.policy.tools.schema import Command, Effects, Operands, Option, Tool, Unknown

PROGRAM = "program"
"""What stands in a set of possible effects for starting any program."""

_STARTS = frozenset({"program", "shell", "program;", "command"})
_CONNECTS = frozenset({"url", "host", "registry"})
_PATHS = {"read": EffectKind.READ, "write": EffectKind.WRITE, "delete": EffectKind.DELETE, "upload": EffectKind.READ}


class Phrase:
    """An effect as a table writes it: a kind and words with placeholders."""

    __slots__ = ("kind", "late", "object")

    def __init__(self, text: str) -> None:
        kind, _, rest = text.partition(" ")
        self.kind = EffectKind(kind)
        self.object = rest
        self.late = any(place in rest for place in ("{operands}", "{first}", "{last}", "{here}"))


class OptionSpec:
    """One option, ready for use."""

    __slots__ = ("cancels", "effects", "name", "only", "operands", "optional", "replaces", "unless", "value")

    def __init__(self, name: str, option: Option) -> None:
        self.name = name
        self.value = option.value
        self.optional = option.optional
        self.effects = tuple(Phrase(text) for text in option.effects)
        self.operands = option.operands
        self.only = option.only
        self.cancels = frozenset(EffectKind(kind) for kind in option.cancels)
        self.replaces = frozenset(EffectKind(kind) for kind in option.replaces)
        self.unless = option.unless


class Grammar:
    """How a program, or one of its sub-commands, reads its arguments."""

    def __init__(self, tool: Tool, command: Command, name: str, outer: Grammar | None) -> None:
        self.tool = tool
        self.command = command
        self.name = name
        self.outer = outer
        self.options: dict[str, OptionSpec] = dict(outer.options) if outer is not None and command.inherit else {}
        for spec in _specs(command, tool):
            for spelling in spec.name.split(", "):
                self.options[spelling] = spec
        self.longs = sorted(option for option in self.options if option.startswith("--"))
        operands = command.operands
        self.operands = Operands(kinds=operands) if isinstance(operands, tuple) else operands
        self.rest_at = _rest_at(self.operands.kinds)
        self.rest_unless = [(options, _rest_at(kinds)) for options, kinds in self.operands.unless.items()]
        ends = command.operands_end_options
        self.operands_end_options: bool = ends if ends is not None else bool(outer and outer.operands_end_options)
        self.unknown_command: Unknown = command.unknown_command or (outer.unknown_command if outer else "opaque")
        self.commands = {alias: name for name, one in command.commands.items() for alias in (name, *one.aliases)}
        self.patterns = [name for name in self.commands if "*" in name]
        self.any_options: bool = command.any_options or bool(outer and outer.any_options)
        self.effects = _by_number(command.effects)
        self.operand_words = {word: tuple(map(Phrase, texts)) for word, texts in command.operand_words.items()}
        self.port: int = command.port or (outer.port if outer else 0)
        self._children: dict[str, Grammar] = {}

    def command_of(self, text: str) -> str | None:
        """The name under which the table has this sub-command."""
        found = self.commands.get(text)
        if found is None and self.patterns:
            pattern = next((one for one in self.patterns if fnmatchcase(text, one)), None)
            found = None if pattern is None else self.commands[pattern]
        return found

    def child(self, name: str) -> Grammar:
        """The grammar of a sub-command that the table has."""
        found = self._children.get(name)
        if found is None:
            shown = f"{self.name} {name}".strip()
            found = self._children[name] = Grammar(self.tool, self.command.commands[name], shown, self)
        return found

    def option(self, text: str) -> OptionSpec | None:
        """The option of this spelling, or of this beginning where the program takes beginnings."""
        found = self.options.get(text)
        if found is not None:
            return found
        if self.tool.long == "single-dash" and text.startswith("--"):
            return self.options.get(text[1:])
        if not text.startswith("--") or len(text) == 2:
            return None
        if self.tool.negatable and text.startswith("--no-") and self._beginning(f"--{text[5:]}") is not None:
            return _FLAG
        return self._beginning(text) if self.tool.long == "abbreviated" else None

    def _beginning(self, text: str) -> OptionSpec | None:
        found: OptionSpec | None = None
        for at in range(bisect_left(self.longs, text), len(self.longs)):
            spelling = self.longs[at]
            if not spelling.startswith(text):
                break
            spec = self.options[spelling]
            if spelling == text:
                return spec
            if found is not None and not _same(found, spec):
                return None
            found = spec
        return found

    @cached_property
    def may(self) -> frozenset[EffectKind | str]:
        """Every effect that anything in here has: what an unknown option may stand for."""
        found: set[EffectKind | str] = set(_own_effects(self))
        for name in self.command.commands:
            found |= self.child(name).may
        return frozenset(found)

    @cached_property
    def option_may(self) -> frozenset[EffectKind | str]:
        """What a word may do that is only known when it runs and stands where an option could: the worst of it. To ask
        for each `git checkout $branch` would help nobody."""
        kinds = {phrase.kind for spec in self.options.values() for phrase in spec.effects}
        return frozenset(kinds & {EffectKind.PUBLISH, EffectKind.PRIVILEGE})

    @cached_property
    def doors(self) -> tuple[str, ...]:
        """Options whose value is a program or a shell string that the tool then starts."""
        return tuple(
            spelling
            for spelling, spec in self.options.items()
            if spec.value in {"program", "shell"} and spelling != "+"
        )


_FLAG = OptionSpec("--no-", Option())


def _specs(command: Command, tool: Tool) -> Iterator[OptionSpec]:
    if not isinstance(command.groups, dict):
        for group in command.groups:
            yield from _group(group, tool)
    for name, option in command.options.items():
        yield OptionSpec(name, option)


def _group(name: str, tool: Tool) -> Iterator[OptionSpec]:
    groups = tool.groups
    if not isinstance(groups, dict) or name not in groups:
        raise ValueError(f"`{tool.names[0]}` names a group `{name}` that its file does not have")
    for spelling, option in groups[name].items():
        yield OptionSpec(spelling, option)


def _same(left: OptionSpec, right: OptionSpec) -> bool:
    return left is right or (
        left.value == right.value
        and left.optional == right.optional
        and [(one.kind, one.object) for one in left.effects] == [(one.kind, one.object) for one in right.effects]
        and (left.operands, left.only, left.cancels) == (right.operands, right.only, right.cancels)
        and (left.replaces, left.unless) == (right.replaces, right.unless)
    )


def _rest_at(kinds: Iterable[str]) -> int | None:
    """The position from which on everything belongs to what is started."""
    return next((at for at, kind in enumerate(kinds) if kind.endswith("...")), None)


def _by_number(effects: tuple[str, ...] | Effects) -> tuple[tuple[Phrase, ...], ...]:
    """Phrases that hold always, without operands, with at least one, with at least two."""
    written = Effects(always=effects) if isinstance(effects, tuple) else effects
    return tuple(tuple(map(Phrase, texts)) for texts in (written.always, written.none, written.some, written.several))


def _own_effects(grammar: Grammar) -> Iterator[EffectKind | str]:
    for phrases in (*grammar.effects, *grammar.operand_words.values()):
        yield from (phrase.kind for phrase in phrases)
    for spec in grammar.options.values():
        yield from (phrase.kind for phrase in spec.effects)
        for kind in spec.value.split():
            yield from _of_kind(kind)
        for kind in spec.unless.values():
            yield from _of_kind(kind)
        yield from _of_kind(spec.operands)
    lists = (grammar.operands.kinds, *grammar.operands.unless.values())
    for kinds in lists:
        for kind in kinds:
            yield from _of_kind(kind.rstrip("*+?."))


def _of_kind(kind: str) -> Iterator[EffectKind | str]:
    if kind in _STARTS or kind.startswith("code:"):
        yield PROGRAM
    elif kind in _CONNECTS:
        yield EffectKind.CONNECT
    elif kind == "readwrite":
        yield from (EffectKind.READ, EffectKind.WRITE)
    elif kind == "move":
        yield from (EffectKind.READ, EffectKind.DELETE)
    elif kind in _PATHS:
        yield _PATHS[kind]
