"""A second parser, shfmt, sees no command that we do not see, unless we say that the script is unclear."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from tests.debian import program
from tests.policy.shell.scripts import statements

from ringfence.policy.shell.parse import parse
from ringfence.policy.shell.tree import Script

CORPUS = Path(__file__).parents[2] / "corpus"
SPELLED = {"␤": "\n", "␉": "\t", "␍": "\r"}


@pytest.fixture(scope="module", autouse=True)
def shfmt() -> None:
    program("shfmt", "shfmt")


def counted(tree: object) -> int:
    """The commands in shfmt's tree: calls with words, and declarations."""
    total, waiting = 0, [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            kind = node.get("Type")
            total += (kind == "CallExpr" and bool(node.get("Args"))) or kind == "DeclClause"
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return total


def seen_by_shfmt(text: str) -> int | None:
    """How many commands shfmt sees, or nothing where it refuses the script."""
    done = subprocess.run(["shfmt", "--to-json"], input=text.encode(), capture_output=True, check=False)
    return counted(json.loads(done.stdout)) if done.returncode == 0 else None


def seen_by_us(script: Script) -> int:
    return sum(1 for command in script.commands if command.words)


def fewer(text: str) -> bool:
    script = parse(text, home="/home/u")
    if script.issues:
        return False
    theirs = seen_by_shfmt(text)
    return theirs is not None and seen_by_us(script) < theirs


def rows() -> list[str]:
    found = []
    for file in sorted(CORPUS.glob("*.tsv")):
        for line in file.read_text(encoding="utf-8").splitlines():
            command = re.sub("[␤␉␍]", lambda match: SPELLED[match.group()], line.split("\t")[0])
            if command and not command.startswith("#"):
                found.append(command)
    return found


@pytest.mark.slow
def test_shfmt_sees_no_more_commands_in_our_corpora() -> None:
    commands = rows()

    assert len(commands) > 500
    assert [text for text in commands if fewer(text)] == []


@pytest.mark.slow
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=statements())
def test_shfmt_sees_no_more_commands_in_any_script(text: str) -> None:
    assert not fewer(text), text
