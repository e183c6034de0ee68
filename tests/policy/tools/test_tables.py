"""Every tool table: it can be read, its JSON is up to date, and its examples come out as they say."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from ringfence.policy.shell.parse import parse
from ringfence.policy.tools import FOLDER, accounts, compiling, containers, datastores, readers, toolchains, values
from ringfence.policy.tools.grammar import Grammar
from ringfence.policy.tools.invocation import is_kind, read
from ringfence.policy.tools.schema import Example, Tool

TABLES = compiling.tables()
TOOLS = [tool for tools in TABLES.values() for tool in tools]
EXAMPLES = [(tool, example) for tool in TOOLS for example in tool.example]
ENOUGH = 8
"""Examples that a file needs, unless it is about a few trivial programs."""


@pytest.mark.parametrize("name", TABLES)
def test_the_compiled_table_is_what_the_toml_says(name: str) -> None:
    with open(os.path.join(FOLDER, f"{name}.json"), "rb") as stream:
        assert stream.read() == compiling.compiled(TABLES[name]), "run `python -m ringfence.policy.tools.compiling`"


def test_the_index_names_every_program_once() -> None:
    with open(os.path.join(FOLDER, "index.json"), "rb") as stream:
        assert stream.read() == compiling.index(TABLES), "run `python -m ringfence.policy.tools.compiling`"


def test_no_two_kinds_of_value_share_a_name() -> None:
    modules = (accounts, containers, datastores, toolchains, values)
    names = [name for module in modules for name in module.VALUES]

    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_examples(name: str) -> None:
    tools = TABLES[name]

    assert sum(len(tool.example) for tool in tools) >= min(ENOUGH, 2 * len(tools))


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.names[0])
def test_every_part_of_a_table_can_be_used(tool: Tool) -> None:
    waiting = [Grammar(tool, tool, "", None)]

    while waiting:
        grammar = waiting.pop()
        waiting.extend(grammar.child(name) for name in grammar.command.commands)

        values = [spec.value for spec in grammar.options.values() if spec.value]
        changed = [spec.operands for spec in grammar.options.values() if spec.operands]
        kinds = [kind for kinds in (grammar.operands.kinds, *grammar.operands.unless.values()) for kind in kinds]
        assert [kind for kind in (*values, *changed, *kinds) if not is_kind(kind)] == []
        assert [options for options in grammar.operands.unless if not _has(grammar, options)] == []
        assert grammar.command.reader in ("", *readers.NAMES)


def _has(grammar: Grammar, options: str) -> bool:
    return any(option in grammar.options for option in options.split(", "))


@pytest.mark.parametrize(("tool", "example"), EXAMPLES, ids=[f"{tool.names[0]}: {one.shell}" for tool, one in EXAMPLES])
def test_an_example_comes_out_as_written(tool: Tool, example: Example) -> None:
    command = next(
        one for one in parse(example.shell, home=None).commands if one.words and one.words[0].text in tool.names
    )

    reading = read(Grammar(tool, tool, "", None), command.words[0].text or "", command.words[1:])

    assert (Counter(reading.shown()), reading.opaque) == (Counter(example.effects), example.opaque), reading.unknown
