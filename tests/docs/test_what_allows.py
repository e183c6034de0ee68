"""The page that says what can allow names every module that makes an allow, and only those."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "ringfence"
DECIDING = ("policy", "approvals", "session", "egress", "agents", "sandbox", "server", "workspace")
TRANSLATING = SOURCES / "agents" / "exchange"
"""Turns other agents' settings into ours and back: it prints a policy, which applies once somebody has saved it."""


def made(tree: ast.AST) -> Iterator[ast.expr]:
    """Where a verdict that allows is made: named, and neither compared nor the key of a table."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Compare):
            continue
        if isinstance(node, ast.Dict):
            yield from (one for value in node.values for one in made(ast.Expr(value)))
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "Verdict.ALLOW":
            yield node
        elif isinstance(node, ast.match_case):
            yield from (one for line in node.body for one in made(line))
        else:
            yield from made(node)


@pytest.mark.slow
def test_every_module_that_makes_an_allow_is_on_the_page_and_no_other() -> None:
    files = [
        file for package in DECIDING for file in (SOURCES / package).rglob("*.py") if TRANSLATING not in file.parents
    ]
    makers = {str(file.relative_to(SOURCES)) for file in files if any(made(ast.parse(file.read_text())))}

    page = (ROOT / "docs" / "what-allows.md").read_text()
    table = page.partition("<!-- sources -->")[2].partition("<!-- /sources -->")[0]
    named = set(re.findall(r"`([a-z_]+/[a-z_/]+\.py)`", table)) - {"approvals/gate.py"}

    assert named == makers


@pytest.mark.slow
def test_the_gate_alone_makes_a_yes_of_a_question() -> None:
    users = {
        str(file.relative_to(SOURCES))
        for file in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module in {"ringfence.approvals", "ringfence.approvals.answers"}
        and {"answers", "allowed", "kept"} & {one.name for one in node.names}
    }

    assert users == {"approvals/gate.py"}


@pytest.mark.parametrize(
    ("text", "makes"),
    [
        ("rule(verdict=Verdict.ALLOW)", True),
        ("def f(x=Verdict.ALLOW): pass", True),
        ("words = {'allow': Verdict.ALLOW}", True),
        ("words = {Verdict.ALLOW: 'allow'}", False),
        ("if found.verdict is Verdict.ALLOW: pass", False),
        ("match v:\n case Verdict.ALLOW:\n  return_ = 1", False),
    ],
)
def test_what_counts_as_making_one(text: str, makes: bool) -> None:
    assert any(made(ast.parse(text))) is makes
