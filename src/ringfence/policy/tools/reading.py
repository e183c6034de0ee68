"""What a table says about one invocation: effects with their objects, what it starts, and what stayed unknown."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from ringfence.model.action import EffectKind
from ringfence.model.decision import Verdict
from ringfence.policy.shell.tree import Word


class Role(StrEnum):
    """How the object of an effect is to be judged."""

    PATH = "path"
    HOST = "host"
    """A destination that the command names: the rules for hosts decide."""
    REMOTE = "remote"
    """A destination that is decided when the gateway sees the connection."""
    PHRASE = "phrase"
    """Words that only rules by effect look at."""


class Fact(NamedTuple):
    """One effect."""

    kind: EffectKind
    object: str
    """As people read it."""
    role: Role = Role.PHRASE
    word: Word | None = None
    """The word it came from, for a path."""
    port: int = 0


class Started(NamedTuple):
    """A program or shell string that the invocation starts."""

    words: tuple[Word, ...]
    """The program with its arguments; for a shell string, one word."""
    shell: str = ""
    """The shell that reads the string; nothing for a program."""
    side_door: bool = False
    """An option made it run something that is not what the tool is for."""
    code: str = ""
    """The language, for code that is no shell."""


class Reading:
    """What one invocation does, as far as its table tells. Filled in place: it is made for every command."""

    __slots__ = (
        "concerns",
        "environment",
        "facts",
        "folders",
        "may",
        "mentions",
        "name",
        "only",
        "port",
        "started",
        "unknown",
        "wraps",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        """The program and its sub-commands, as used."""
        self.facts: list[Fact] = []
        self.started: list[Started] = []
        self.environment: list[tuple[str, Word]] = []
        self.folders: list[Word] = []
        """Folders that it changes to, before it acts."""
        self.unknown: list[str] = []
        """What the table does not know."""
        self.may: set[EffectKind | str] = set()
        """Effects that it may have through what is unknown or dynamic; `program` for starting any program."""
        self.concerns: list[tuple[str, Verdict, str]] = []
        """What is to be said whatever the rules are: a name for it, the verdict, and why."""
        self.mentions: list[str] = []
        """Paths that stand in its code: not known to be opened, and denied where a rule names them."""
        self.wraps = False
        """Its operands name the program that it starts."""
        self.only = False
        self.port = 0

    @property
    def opaque(self) -> bool:
        """Whether anything stayed unknown."""
        return bool(self.unknown)

    def add(self, kind: EffectKind, text: str) -> None:
        """An effect whose object is a phrase."""
        self.facts.append(Fact(kind, text))

    def shown(self) -> list[str]:
        """The effects as the examples of tables write them."""
        lines = [f"{fact.kind.value} {fact.object}" for fact in self.facts]
        for one in self.started:
            first = one.words[0]
            text = first.raw if first.text is None else first.text
            lines.append(f"code:{one.code} {text}" if one.code else f"shell {text}" if one.shell else f"execute {text}")
        lines.extend(f"environment {name}={_text(value)}" for name, value in self.environment)
        lines.extend(f"cwd {_text(folder)}" for folder in self.folders)
        return lines


def _text(word: Word) -> str:
    return word.raw if word.text is None else word.text
