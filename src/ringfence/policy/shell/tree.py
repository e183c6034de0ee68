"""Our own tree of a shell script: every command in it wherever it stands, every redirection, and what stayed unclear.

It holds what rules need and nothing of the parser, so that the parser can change without the rules noticing.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """One word after Bash's unquoting and brace expansion."""

    text: str | None
    """Its value; nothing where only running the script would tell."""
    raw: str
    """As written."""
    glob: bool = False
    """It has unquoted `*`, `?` or `[`: file names will stand in its place."""
    splits: bool = False
    """It is dynamic and unquoted, so that it may become several words, or none."""
    process: bool = False
    """It is the output of a process, as a file: `<(...)`."""


class Dialect(StrEnum):
    """The shell that reads a string."""

    BASH = "bash"
    SH = "sh"
    ZSH = "zsh"
    FISH = "fish"


class Feed(StrEnum):
    """What stands at a command's standard input."""

    INHERITED = "inherited"
    PIPE = "pipe"
    TEXT = "text"


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One simple command."""

    words: tuple[Word, ...]
    assignments: tuple[tuple[str, Word], ...] = ()
    """Variables set in front of it, or on their own where it has no words."""
    feed: Feed = Feed.INHERITED
    text: str | None = None
    """For a here-document or here-string that is fully known: what it reads."""
    scope: tuple[int, ...] = ()
    """The subshells it stands in, outermost first: a `cd` counts for later commands whose scope begins with its own."""
    link: str = ""
    """The operator in front of it in its list or pipeline: `&&`, `||`, `|`, or nothing where it begins a statement."""
    function: str = ""
    """The function whose body it stands in, the innermost, or nothing."""


class Redirect(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the shell itself opens."""

    target: Word
    write: bool
    after: int
    """How many commands of the script stand before it."""
    operator: str = ""
    """As written, without the descriptor: `>`, `>>`, `<>`, `&>` ..."""
    scope: tuple[int, ...] = ()
    """The subshells it stands in, as of a command."""

    @property
    def network(self) -> bool:
        """Whether Bash opens a connection here: `/dev/tcp/HOST/PORT` or `/dev/udp/HOST/PORT`, or what may become it."""
        text = self.target.text
        return (self.target.raw if text is None else text).lstrip("\"'").startswith(("/dev/tcp/", "/dev/udp/"))


class Unclear(StrEnum):
    """Why something could not be followed."""

    CONTROL = "control"
    SIZE = "size"
    SYNTAX = "syntax"
    DYNAMIC_NAME = "dynamic-name"
    EVAL = "eval"
    PIPE_TO_SHELL = "pipe-to-shell"
    REMOTE_CODE = "remote-code"
    WRAPPER = "wrapper"


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that could not be followed, with the words of it."""

    kind: Unclear
    text: str


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """Everything found in one shell string."""

    commands: tuple[Command, ...] = ()
    redirects: tuple[Redirect, ...] = ()
    issues: tuple[Issue, ...] = ()
    functions: tuple[str, ...] = ()
    """The names of functions that it defines: a command of that name runs what stands in the script, not a program."""
    aliases: tuple[tuple[str, str | None], ...] = ()
    """Aliases that it defines, with the text they stand for where that is known."""
