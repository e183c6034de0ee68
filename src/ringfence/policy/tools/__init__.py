"""What programs do with their arguments: one table for each, read when the program is first met.

A table is written in TOML, which is what people read. Next to it lies the same as JSON, made by
`ringfence.policy.tools.compiling`, because that is read in a fraction of the time. A test fails where the two differ.
"""

from __future__ import annotations

import os
import re
from functools import cache

import msgspec

from ringfence.policy.tools.grammar import Grammar
from ringfence.policy.tools.schema import Tool

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tables")

_VERSION = re.compile(r"(.*[^0-9.-])-?[0-9][0-9.]*")


@cache
def _index() -> dict[str, str]:
    """The file of each program."""
    with open(os.path.join(FOLDER, "index.json"), "rb") as stream:
        return msgspec.json.decode(stream.read(), type=dict[str, str])


@cache
def _file(name: str) -> tuple[Tool, ...]:
    with open(os.path.join(FOLDER, f"{name}.json"), "rb") as stream:
        return msgspec.json.decode(stream.read(), type=tuple[Tool, ...])


@cache
def _grammar(name: str) -> Grammar:
    tool = next(tool for tool in _file(_index()[name]) if name in tool.names)
    return Grammar(tool, tool, "", None)


def every_tool() -> tuple[Tool, ...]:
    """All tables, for those who go through them; judging reads one at a time."""
    return tuple(tool for file in sorted(set(_index().values())) for tool in _file(file))


def known_name(program: str) -> str | None:
    """The name under which a program has a table, with or without the version behind it; or nothing."""
    index = _index()
    if program in index:
        return program
    if program.startswith(("ld-linux", "ld-musl")):
        return "ld.so"
    match = _VERSION.fullmatch(program)
    while match is not None:
        if match[1] in index:
            return match[1]
        match = _VERSION.fullmatch(match[1])
    return None


def grammar_of(program: str) -> Grammar | None:
    """How a program of this base name reads its arguments, or nothing where it has no table."""
    name = known_name(program)
    return None if name is None else _grammar(name)
