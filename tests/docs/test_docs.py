"""The pages say what the program does: all that it knows is mentioned, and all that is written down is valid."""

from __future__ import annotations

import argparse
import ast
import json
import re
import shlex
import typing

import pytest

from ringfence.agents import claude, codex, known_by_name
from ringfence.cli import codes
from ringfence.cli.entry import COMMANDS
from ringfence.model import event
from ringfence.model.situations import PolicyInvalid
from ringfence.policy.documents import read_document
from ringfence.policy.layers import Layer
from ringfence.policy.sections.settings import PRESETS
from ringfence.policy.shell.tree import Unclear
from tests.docs.pages import DOCS, ROOT, Block, blocks, by_hand, tool

WRITER = tool("write_docs")
PARSERS: dict[str, argparse.ArgumentParser] = dict(WRITER.parsers())

_UNKNOWN = """
zz9 = 1
[filesystem]
zz9 = 1
[network]
zz9 = 1
[[network.rule]]
zz9 = 1
[[commands.rule]]
zz9 = 1
[environment]
zz9 = 1
[approvals]
zz9 = 1
[sandbox]
zz9 = 1
[[test]]
zz9 = 1
"""
"""A key that nobody knows in every table: the faults name all that are known there."""


def place(block: Block) -> str:
    return block.place


def commands() -> list[tuple[str, str]]:
    """Every line of a shell block that runs ringfence, with its place."""
    return [
        (block.place, line)
        for block in blocks("sh")
        for line in block.text.splitlines()
        if line.strip().startswith("ringfence ")
    ]


@pytest.mark.parametrize("block", blocks("toml"), ids=place)
def test_every_policy_in_the_pages_is_valid(block: Block) -> None:
    layer = Layer.REQUIREMENTS if block.text.startswith("# requirements") else Layer.USER

    read_document(block.text.encode(), file=block.page, layer=layer)


@pytest.mark.parametrize("block", blocks("json"), ids=place)
def test_every_json_in_the_pages_parses(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks("python"), ids=place)
def test_every_python_in_the_pages_compiles(block: Block) -> None:
    compile(block.text, block.place, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize(("where", "line"), commands())
def test_every_command_in_the_pages_is_understood(where: str, line: str) -> None:
    words = shlex.split(re.split(r" [|>&]", line)[0], comments=True)[1:]
    name, rest = words[0], words[1:]
    assert name in COMMANDS, where
    if name == "log" and rest and f"ringfence log {rest[0]}" in PARSERS:
        name, rest = f"log {rest[0]}", rest[1:]
    if name == "policy" and "--" in rest:
        rest = rest[: rest.index("--")]

    PARSERS[f"ringfence {name}"].parse_args(rest)


def test_every_key_of_a_policy_is_explained() -> None:
    with pytest.raises(PolicyInvalid) as found:
        read_document(_UNKNOWN.encode(), file="x.toml", layer=Layer.REQUIREMENTS)
    lists = [one.message.partition("known here: ")[2] for one in found.value.diagnostics]
    known = {key for listed in lists for key in re.findall(r"`(\w+)`", listed)}
    page = by_hand()["policy.md"]

    missing = {key for key in known if not re.search(rf"^\[*{key}\b|`{key}`|[.]{key}\b|\b{key} = ", page, re.MULTILINE)}

    assert len(known) > 20
    assert missing == set()


def test_every_command_is_explained_in_a_page_that_people_wrote() -> None:
    everything = "\n".join(by_hand().values())

    assert [name for name in PARSERS if name not in everything] == []


def test_every_preset_is_named_where_policies_are_explained() -> None:
    assert [name for name in PRESETS if f"`{name}`" not in by_hand()["policy.md"]] == []


def test_everything_that_cannot_be_seen_in_a_command_is_named() -> None:
    assert [kind.value for kind in Unclear if f"`commands.{kind.value}`" not in by_hand()["policy.md"]] == []


def test_every_event_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "events.md").read_text()
    tags = [body.__struct_config__.tag for body in typing.get_args(event.Body)]

    assert [tag for tag in tags if f"`{tag}`" not in page] == []


def test_every_exit_code_is_explained() -> None:
    page = by_hand()["troubleshooting.md"]
    values = {value for name, value in vars(codes).items() if name.isupper() and value}

    assert {value for value in values if f"\n| {value} |" not in page} == set()


def texts_of_the_program() -> str:
    """Every text in the code, without what is filled in when it is said."""
    texts = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts).replace("`", "")


@pytest.mark.slow
def test_every_message_that_is_explained_can_be_said() -> None:
    page = by_hand()["troubleshooting.md"]
    said = texts_of_the_program()
    rows = [
        line.split("|")[1].replace("`", "").strip()
        for title in ("Nothing starts (125)", "Notices at the start")
        for line in page.partition(f"## {title}")[2].partition("\n## ")[0].splitlines()
        if line.startswith("| ") and not line.startswith(("| message", "| notice"))
    ]

    parts = [part.strip(" ,:") for row in rows for part in row.split("...")]

    assert len(rows) > 14
    assert [part for part in parts if part not in said] == []


def test_everything_that_is_opened_for_an_agent_is_named() -> None:
    page = by_hand()["agents.md"]
    files = (claude.READ_ONLY, claude.WRITABLE, claude.COPIED, codex.READ_ONLY, codex.WRITABLE, codex.COPIED)
    hosts = (claude.HOSTS, codex.OPENAI_HOSTS, codex.UNASKED, *(row.destinations for row in known_by_name.ROWS))
    named = [
        *(name for group in files for name in group),
        *(
            claude.PLUGINS,
            claude.TRANSCRIPTS,
            claude.HELPER,
            codex.TRANSCRIPTS,
            codex.LOGIN,
            *codex.KEYS,
            *claude.LOGINS,
        ),
        *(name for name, _ in claude.OUR_VARIABLES),
        *(str(port) for port in codex.LOCAL_PROVIDERS.values()),
        *(host.partition(":")[0] for group in hosts for host in group),
        *(key for row in known_by_name.ROWS for key in (row.name, *row.keys)),
    ]

    assert [name for name in named if name not in page] == []


def test_every_generated_page_is_what_the_code_says_now() -> None:
    stale = [path for path, text in WRITER.generated().items() if (ROOT / path).read_text() != text]

    assert stale == []


def test_a_generated_page_does_not_depend_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = WRITER.generated()
    monkeypatch.setenv("COLUMNS", "31")
    monkeypatch.setenv("HOME", "/nowhere")

    assert WRITER.generated() == before


def test_every_page_is_in_the_index() -> None:
    index = by_hand()["README.md"]
    pages = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md") if "adr" not in page.parts]

    assert [page for page in pages if page != "README.md" and f"({page})" not in index] == []
