"""Every tool table: it can be read, its JSON is up to date, and its examples come out as they say."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest

from ringfence.policy.shell.parse import parse
from ringfence.policy.tools import FOLDER, accounts, compiling, containers, datastores, readers, toolchains, values
from ringfence.policy.tools.grammar import Grammar
from ringfence.policy.tools.invocation import is_kind, read
from ringfence.policy.tools.schema import Example, Tool

NAMES = sorted(name.removesuffix(".toml") for name in os.listdir(FOLDER) if name.endswith(".toml"))
ENOUGH = 8
"""Examples that a file needs, unless it is about a few trivial programs."""


@pytest.fixture(scope="module")
def tables() -> dict[str, tuple[Tool, ...]]:
    """The tables, read once."""
    return compiling.tables()


def test_every_file_is_a_table(tables: dict[str, tuple[Tool, ...]]) -> None:
    assert sorted(tables) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_compiled_table_is_what_the_toml_says(tables: dict[str, tuple[Tool, ...]], name: str) -> None:
    with open(os.path.join(FOLDER, f"{name}.json"), "rb") as stream:
        assert stream.read() == compiling.compiled(tables[name]), "run `python -m ringfence.policy.tools.compiling`"


def test_the_index_names_every_program_once(tables: dict[str, tuple[Tool, ...]]) -> None:
    with open(os.path.join(FOLDER, "index.json"), "rb") as stream:
        assert stream.read() == compiling.index(tables), "run `python -m ringfence.policy.tools.compiling`"


def test_no_two_kinds_of_value_share_a_name() -> None:
    modules = (accounts, containers, datastores, toolchains, values)
    names = [name for module in modules for name in module.VALUES]

    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("name", NAMES)
def test_a_table_has_examples(tables: dict[str, tuple[Tool, ...]], name: str) -> None:
    tools = tables[name]

    assert sum(len(tool.example) for tool in tools) >= min(ENOUGH, 2 * len(tools))


@pytest.mark.parametrize("name", NAMES)
def test_every_part_of_a_table_can_be_used(tables: dict[str, tuple[Tool, ...]], name: str) -> None:
    faults = {tool.names[0]: found for tool in tables[name] if (found := list(_unusable(tool)))}

    assert faults == {}


def _unusable(tool: Tool) -> Iterator[str]:
    """The parts of a program, and of all its commands, that nothing can be done with."""
    waiting = [Grammar(tool, tool, "", None)]
    while waiting:
        grammar = waiting.pop()
        waiting.extend(grammar.child(name) for name in grammar.command.commands)

        values = [spec.value for spec in grammar.options.values() if spec.value]
        changed = [spec.operands for spec in grammar.options.values() if spec.operands]
        kinds = [kind for kinds in (grammar.operands.kinds, *grammar.operands.unless.values()) for kind in kinds]
        yield from (f"kind {kind}" for kind in (*values, *changed, *kinds) if not is_kind(kind))
        yield from (f"options {options}" for options in grammar.operands.unless if not _has(grammar, options))
        if grammar.command.reader not in ("", *readers.NAMES):
            yield f"reader {grammar.command.reader}"


def _has(grammar: Grammar, options: str) -> bool:
    return any(option in grammar.options for option in options.split(", "))


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_of_a_table_come_out_as_written(tables: dict[str, tuple[Tool, ...]], name: str) -> None:
    wrong = [found for tool in tables[name] for example in tool.example if (found := _differing(tool, example))]

    assert wrong == []


def _differing(tool: Tool, example: Example) -> tuple[str, Counter[str], bool, object] | None:
    """What an example does where that is not what it says, and what of it was not understood."""
    command = next(
        one for one in parse(example.shell, home=None).commands if one.words and one.words[0].text in tool.names
    )

    reading = read(Grammar(tool, tool, "", None), command.words[0].text or "", command.words[1:])

    if (Counter(reading.shown()), reading.opaque) == (Counter(example.effects), example.opaque):
        return None
    return example.shell, Counter(reading.shown()), reading.opaque, reading.unknown
