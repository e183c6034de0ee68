"""`[[test]]`: what a policy should decide, written next to it and run by `ringfence policy test`."""

from __future__ import annotations

from ringfence.model.decision import Verdict
from ringfence.policy.effective import PolicyTest
from ringfence.policy.schema import Table

MAX_TESTS = 10_000
QUESTIONS = ("shell", "argv", "connect", "read", "write")


def tests(top: Table) -> tuple[PolicyTest, ...]:
    """The tests of a document."""
    found = [_test(table) for table in top.take_tables("test", most=MAX_TESTS)]
    return tuple(test for test in found if test is not None)


def _test(table: Table) -> PolicyTest | None:
    expect = table.take_choice("expect", Verdict)
    texts = [(key, table.take_text(key)) for key in ("shell", "connect", "read", "write", "method", "path", "cwd")]
    argv = tuple(text for _, text in table.take_texts("argv"))
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
    return PolicyTest(question=question, argv=argv, expect=expect, origin=table.faults.origin(table.path))
