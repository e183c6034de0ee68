"""Which variables a script has set to constants, at the point where each is used.

SECURITY: a value that is wrong would hide a command. A variable counts as known only while every way to the place where
it is used has set it to constants; whatever could set it otherwise makes it, or all of them, unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from ringfence.policy.shell.syntax import (
    Branch,
    Chain,
    Function,
    Loop,
    Pipeline,
    Redirected,
    Simple,
    Statement,
    Subshell,
    Text,
)
from ringfence.policy.shell.syntax import Sequence as Statements

MAX_VALUES = 16
MAX_VALUE = 4096

DECLARES = frozenset({"declare", "typeset", "export", "readonly", "local"})
_SETS_NAMES = frozenset({"read", "mapfile", "readarray", "getopts", "unset", "let", "printf", "wait", "select"})
_SETS_ANYTHING = frozenset({"eval", "source", ".", "builtin", "enable", "trap", "fc", "unalias", "coproc", "bind"})
_KEEPS_PREFIX = frozenset(
    {
        ":", ".", "eval", "exec", "export", "readonly", "set", "shift", "source", "times", "trap", "unset", "break",
        "continue", "return", "exit",
    }
)  # fmt: skip
"""Special builtins: a variable set in front of one stays set in some shells."""
_SELF_SET = re.compile(
    r"_|BASH.*|COMP.*|COPROC.*|DIRSTACK|E?UID|EPOCH.*|FUNCN.*|GROUPS|HIST.*|LINENO|MAPFILE|OLDPWD|OPT.*|PIPESTATUS|"
    r"PPID|PWD|S?RANDOM|READLINE.*|REPLY|SECONDS|SHELLOPTS|SHLVL"
)
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=")
_HARMLESS_DECLARE = re.compile(r"[-+][xrgpfF]+|--")

Values = tuple[str, ...]


class Change:
    """What a command may do to variables: set some to what cannot be told, or any."""

    __slots__ = ("everything", "names")

    def __init__(self, names: Iterable[str] = (), *, everything: bool = False) -> None:
        self.names = set(names)
        self.everything = everything

    def add(self, other: Change) -> None:
        self.names |= other.names
        self.everything = self.everything or other.everything


class Variables:
    """The values that variables may have here. A name that is missing has one that is not known."""

    __slots__ = ("fixed", "values")

    def __init__(self, values: dict[str, Values], fixed: set[str]) -> None:
        self.values = values
        self.fixed = fixed
        """Names that are never known: set by functions, read-only, or by the shell itself."""

    def copy(self) -> Variables:
        return Variables(dict(self.values), self.fixed)

    def set(self, name: str, values: Values) -> None:
        too_much = len(values) > MAX_VALUES or any(len(value) > MAX_VALUE for value in values)
        if not values or too_much or name in self.fixed or _SELF_SET.fullmatch(name):
            self.values.pop(name, None)
        else:
            self.values[name] = values

    def forget(self, change: Change) -> None:
        if change.everything:
            # Code that is not seen here could move home as well, but it could do anything: that is what is asked about.
            home = self.values.get("HOME")
            self.values.clear()
            if home is not None:
                self.values["HOME"] = home
        for name in change.names:
            self.values.pop(name, None)

    def join(self, other: Variables) -> None:
        """What holds whichever of two ways was taken."""
        if self.values == other.values:
            return
        mine, theirs = self.values, other.values
        self.values = {}
        for name in mine.keys() & theirs.keys():
            self.set(name, tuple(dict.fromkeys((*mine[name], *theirs[name]))))


def literal(text: Text) -> str | None:
    """The text of a word that holds nothing to expand."""
    if text.plain:
        return text.raw
    if any(piece.hole for piece in text.pieces):
        return None
    if any(not piece.quoted and re.search(r"[*?\[{~]", piece.text) for piece in text.pieces):
        return None
    return "".join(piece.text for piece in text.pieces)


def change_of(simple: Simple, names: Sequence[str | None]) -> Change:
    """What a simple command does to variables beside its own assignments; `names` are its expanded words."""
    change = Change(simple.clobbers)
    if not simple.words:
        return change
    at = acting(names)
    change.names.update(_assigned(names[:at]))
    words = names[at:]
    name = words[0] if words else None
    if name is None or name in _SETS_ANYTHING:
        only_exit = name == "trap" and len(words) > 2 and set(words[2:]) <= {"EXIT", "0"}
        change.everything = not only_exit
    elif name in _SETS_NAMES:
        change.add(_named(words[1:]))
    elif name in DECLARES:
        change.add(_declared(words[1:]))
        if at:
            change.names.update(_assigned(words[1:]))
    if name is None or name in _KEEPS_PREFIX or name in _SETS_NAMES:
        change.names.update(assign.name for assign in simple.assigns)
    return change


def acting(words: Sequence[str | None]) -> int:
    """Where the builtin stands that acts on this shell: behind `command`, and behind the keyword `time`."""
    at = 0
    while at < len(words) and words[at] in {"command", "time"}:
        at += 1
        while at < len(words) and ((word := words[at] or "").startswith("-") or ASSIGNMENT.match(word)):
            at += 1
    return at


def _assigned(words: Sequence[str | None]) -> set[str]:
    """The names that are written as in an assignment."""
    return {match[1] for word in words if word is not None and (match := ASSIGNMENT.match(word))}


def _named(words: Sequence[str | None]) -> Change:
    change = Change()
    for word in words:
        if word is None:
            change.everything = True
        else:
            change.names.update(IDENTIFIER.findall(word))
    return change


def _declared(words: Sequence[str | None]) -> Change:
    """A name without a value may get an attribute; an option that changes how values are read makes all unknown."""
    change = Change()
    change.everything = any(word is None or gives_attributes(word) for word in words)
    return change


def gives_attributes(word: str | None) -> bool:
    """Whether an argument of a declaration is an option that changes how values are read."""
    return word is not None and word[:1] in {"-", "+"} and not _HARMLESS_DECLARE.fullmatch(word)


def changes(statement: Statement | None, held: Mapping[str, Values] | None = None) -> Change:
    """Everything that a statement could do to variables, in whatever order its parts run.

    `held` are values that are certain throughout it, for commands that are named by a variable.
    """
    change = Change()
    waiting = [statement]
    while waiting:
        one = waiting.pop()
        match one:
            case None | Subshell():
                pass
            case Simple():
                for name in _programs(one, held or {}):
                    change.add(change_of(one, [name, *(literal(word) for word in one.words[1:])]))
                change.names.update(assign.name for assign in one.assigns)
                change.names.update(_written_names(one.words))
            case Statements() | Pipeline():
                waiting.extend(one.items)
            case Chain():
                waiting.extend(item for _, item in one.items)
            case Branch():
                waiting.append(one.before)
                waiting.extend(part for arm in one.arms for part in arm)
            case Loop():
                change.names.add(one.variable)
                waiting.extend((one.before, one.body))
            case Function():
                waiting.append(one.body)
            case Redirected():
                change.names |= one.clobbers
                waiting.append(one.body)
    return change


def _programs(simple: Simple, held: Mapping[str, Values]) -> Sequence[str | None]:
    """What its first word can be."""
    if not simple.words:
        return [None]
    pieces = simple.words[0].pieces
    if len(pieces) == 1 and pieces[0].name in held and pieces[0].name:
        values = held[pieces[0].name]
        return values if all(value.isidentifier() for value in values) else [None]
    return [literal(simple.words[0])]


def _written_names(words: Sequence[Text]) -> list[str]:
    """Names that a declaration sets."""
    if not words or literal(words[0]) not in DECLARES | {"command", "builtin", "time"}:
        return []
    return [match[1] for word in words[1:] if (match := ASSIGNMENT.match(word.raw))]
