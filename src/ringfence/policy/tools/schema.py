"""What a tool table may say, as people write it in TOML: the options of a program, its sub-commands, its operands.

Only the form stands here; `grammar` makes look-ups of it. A key that is not here is an error with its place.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Long = Literal["abbreviated", "exact", "single-dash"]
"""How whole-word options are recognised: by any unique beginning, as written only, or with one dash (`-name`)."""
Unknown = Literal["opaque", "project", "program"]
"""What a sub-command that the table does not have is: unclear, a thing of the project, or a program of that name."""


class Option(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One option, under any of its spellings."""

    value: str = ""
    """What its value is (a kind); several kinds for an option of several values; nothing for a flag."""
    optional: bool = False
    """The value only counts where it is glued to the option."""
    effects: tuple[str, ...] = ()
    """What its mere presence does."""
    operands: str = ""
    """The kind that operands which are paths become with it."""
    only: bool = False
    """With it the program shows something and does nothing else."""
    cancels: tuple[str, ...] = ()
    """Kinds of effect that do not happen with it."""
    replaces: tuple[str, ...] = ()
    """Kinds of effect that the command has by itself and that it does not have with this option."""
    unless: dict[str, str] = {}
    """For options that change what its value is: the kind with one of them."""


class Operands(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the operands are, in order."""

    kinds: tuple[str, ...] = ()
    unless: dict[str, tuple[str, ...]] = {}
    """For options that change what the operands are: the kinds with one of them."""
    assignments: bool = False
    """`NAME=value` may stand in front of the program that the operands name."""


class Effects(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Effects by how many operands there are."""

    always: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    some: tuple[str, ...] = ()
    several: tuple[str, ...] = ()


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A sub-command, or the part of a program that has none."""

    options: dict[str, Option] = {}
    groups: tuple[str, ...] | dict[str, dict[str, Option]] = ()
    """Names of shared option lists; at the top of a table those lists themselves may stand here."""
    operands: tuple[str, ...] | Operands = ()
    operand_words: dict[str, tuple[str, ...]] = {}
    """Effects of an operand that is this very word; `*` at the end stands for any rest."""
    effects: tuple[str, ...] | Effects = ()
    commands: dict[str, Command] = {}
    """By name; a name with `*` stands for all that match it and have no entry of their own."""
    aliases: tuple[str, ...] = ()
    unknown_command: Unknown | None = None
    any_options: bool = False
    """Options that it does not list have no effect of their own: for programs with thousands of them. A value glued to
    one is read as an operand, like a value behind it."""
    inherit: bool = True
    """The options of the program are valid behind the sub-command too."""
    operands_end_options: bool | None = None
    reader: str = ""
    """A function in `readers` for what data cannot say."""
    port: int = 0
    """Where it connects to, if nothing else says so."""


class Example(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command line and how this table alone reads it."""

    shell: str
    effects: tuple[str, ...] = ()
    opaque: bool = False


class Tool(Command, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One program."""

    names: tuple[str, ...]
    source: str
    """What the table was written from."""
    long: Long = "abbreviated"
    bundles: bool = True
    negatable: bool = False
    """`--no-X` of every long option is a flag without effect."""
    workspace_program: bool = False
    """A file of this name in the workspace (`./gradlew`, `bin/rails`) is read by the table too, and stays opaque."""
    example: tuple[Example, ...] = ()


class Family(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A file with several programs."""

    tool: tuple[Tool, ...]
    groups: dict[str, dict[str, Option]] = {}


def tools_of(document: object) -> tuple[Tool, ...]:
    """The programs of one file; `ValueError` says which key is wrong."""
    if isinstance(document, dict) and "tool" in document:
        family = msgspec.convert(document, Family)
        return tuple(_with_groups(tool, family.groups) for tool in family.tool)
    return (msgspec.convert(document, Tool),)


def _with_groups(tool: Tool, groups: dict[str, dict[str, Option]]) -> Tool:
    """A tool with the shared lists of its file, where it or its commands name any."""
    if not groups:
        return tool
    own = tool.groups if isinstance(tool.groups, dict) else {}
    options = dict(tool.options)
    if not isinstance(tool.groups, dict):
        for name in tool.groups:
            options = {**groups[name], **options}
    return msgspec.structs.replace(tool, options=options, groups={**groups, **own})
