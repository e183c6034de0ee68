"""The statements of a shell string as they are written, before anything is expanded.

Both readers, the scanner for everyday lines and the one over the parser's tree, produce these; what they come down to
when they run is worked out from them alone.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Piece(msgspec.Struct, frozen=True):
    """One run of characters of a word, or a hole where an expansion stands."""

    text: str
    quoted: bool
    hole: bool = False
    process: bool = False
    """It is a process substitution."""
    name: str = ""
    """For a hole: the one variable whose value stands there, unchanged."""


class Text(msgspec.Struct, frozen=True):
    """One word as it is written."""

    pieces: tuple[Piece, ...]
    raw: str
    plain: bool = False
    """It is one run of letters, digits and signs that mean nothing to the shell: its value is what is written."""


class Assign(msgspec.Struct, frozen=True):
    """`NAME=VALUE`, or `NAME+=VALUE`. Without a value: an array, or an element of one."""

    name: str
    value: Text | None
    append: bool = False
    raw: str = ""


class Open(msgspec.Struct, frozen=True):
    """A redirection to a file."""

    operator: str
    target: Text


class Here(msgspec.Struct, frozen=True):
    """A here-document or here-string: its text, or nothing where it is unclear."""

    text: Text | None


class Simple(msgspec.Struct, frozen=True):
    """A simple command, or an expression that runs nothing of its own: `((...))`, `[[...]]`."""

    words: tuple[Text, ...] = ()
    assigns: tuple[Assign, ...] = ()
    opens: tuple[Open, ...] = ()
    here: Here | None = None
    nested: tuple[Statement, ...] = ()
    """The substitutions inside its words, in order."""
    clobbers: frozenset[str] = frozenset()
    """Variables that its expansions may set: `${x:=y}`, `$((x++))`."""


class Sequence(msgspec.Struct, frozen=True):
    """Statements one after another."""

    items: tuple[Statement, ...]


class Chain(msgspec.Struct, frozen=True):
    """`a && b || c`: each with the operator in front of it; the first has none."""

    items: tuple[tuple[str, Statement], ...]


class Pipeline(msgspec.Struct, frozen=True):
    """`a | b | c`."""

    items: tuple[Statement, ...]


class Branch(msgspec.Struct, frozen=True):
    """`if` and `case`: every arm may run or not, each behind the conditions of those in front of it."""

    arms: tuple[tuple[Statement, Statement], ...]
    complete: bool
    """One arm runs for certain."""
    before: Statement | None = None


class Loop(msgspec.Struct, frozen=True):
    """`for`, `select`, `while`, `until`."""

    body: Statement
    variable: str = ""
    values: tuple[Text, ...] | None = None
    """Of a `for`; nothing where they are not written there."""
    before: Statement | None = None


class Subshell(msgspec.Struct, frozen=True):
    """Something that runs in a shell of its own, so that it sets nothing outside."""

    body: Statement


class Function(msgspec.Struct, frozen=True):
    """The definition of a function."""

    name: str
    body: Statement


class Redirected(msgspec.Struct, frozen=True):
    """A compound command with redirections."""

    body: Statement
    opens: tuple[Open, ...]
    here: Here | None
    nested: tuple[Statement, ...]
    clobbers: frozenset[str] = frozenset()


Statement: TypeAlias = Simple | Sequence | Chain | Pipeline | Branch | Loop | Subshell | Function | Redirected
