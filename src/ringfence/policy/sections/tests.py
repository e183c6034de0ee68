"""`[[test]]`: what a policy should decide, written next to it and run by `ringfence policy test`."""

from __future__ import annotations

from ringfence.model.decision import Verdict
from ringfence.policy.effective import PolicyTest
from ringfence.policy.schema import Table

MAX_TESTS = 10_000
_ABOUT = "What the policy should decide; run by `ringfence policy test`."
QUESTIONS = ("shell", "argv", "connect", "read", "write", "mcp")
_TEXTS = {
    "shell": "A shell string.",
    "connect": "A destination, with `:port` unless it is 443.",
    "read": "A path that is read.",
    "write": "A path that is written.",
    "mcp": "The name of an MCP server, with `tool`.",
    "tool": "With `mcp`: the tool.",
    "method": "With `connect`: the HTTP method.",
    "path": "With `connect`: the path of the URL.",
    "model": "With `connect`: the model that is asked there.",
    "cwd": "The folder that it is asked from.",
}


def tests(top: Table) -> tuple[PolicyTest, ...]:
    """The tests of a document."""
    found = [_test(table) for table in top.take_tables("test", most=MAX_TESTS, about=_ABOUT)]
    return tuple(test for test in found if test is not None)


def _test(table: Table) -> PolicyTest | None:
    expect = table.take_choice("expect", Verdict, about="The verdict that is right.")
    texts = [(key, table.take_text(key, about=about)) for key, about in _TEXTS.items()]
    argv = tuple(text for _, text in table.take_texts("argv", about="A command, word by word."))
    arguments = table.take_table("arguments", about="With `mcp`: the arguments.").take_pairs()
    asked = [key for key in QUESTIONS if table.has(key)]
    complete = table.require("expect")
    table.finish()
    if len(asked) != 1:
        listed = ", ".join(f"`{key}`" for key in QUESTIONS)
        table.faults.add(table.path, f"a test asks one question; write one of {listed}")
        return None
    if not complete or expect is None:
        return None
    question = tuple((key, value) for key, value in texts if value is not None)
    return PolicyTest(
        question=question, argv=argv, arguments=arguments, expect=expect, origin=table.faults.origin(table.path)
    )
