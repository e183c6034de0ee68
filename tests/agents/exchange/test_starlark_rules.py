"""Rules of Codex are programs of somebody else: what they may do, and what is said where they do more."""

from __future__ import annotations

import pytest

from ringfence.agents.exchange import starlark_rules
from ringfence.agents.exchange.starlark_rules import Call, evaluated
from ringfence.model.situations import Diagnostic, PolicyInvalid, RingfenceError


def faults(source: str) -> list[tuple[int, str]]:
    with pytest.raises(PolicyInvalid) as raised:
        evaluated(source.encode(), file="a.rules")
    return [(fault.line, fault.message) for fault in raised.value.diagnostics]


def test_a_call_has_its_arguments_and_the_line_that_wrote_it() -> None:
    source = b'def f(word):\n    prefix_rule([word, ["x", "y"]],\n decision = "prompt")\n\n[f(w) for w in ["a", "b"]]\n'

    calls = evaluated(source, file="a.rules")

    expected = [
        Call(function="prefix_rule", line=2, positional=([word, ["x", "y"]],), named={"decision": "prompt"})
        for word in ("a", "b")
    ]
    assert list(calls) == expected


@pytest.mark.parametrize(
    ("source", "line", "said"),
    [
        ('\nload("other.star", "x")', 2, "`load()` is refused: each file of rules is read on its own"),
        ("x = 1\ny = x +", 2, "parse error"),
        ('open("/etc/passwd")', 1, "variable `open` not found"),
        ('print("x")', 1, "variable `print` not found"),
        ('fail("no such team")', 1, "fail: no such team"),
        ("def f():\n    return f()\nf()", 2, "overflow"),
        ("prefix_rule(pattern = [len])", 1, "not supported"),
        ("_ringfence_call(1)", 1, "missing"),
    ],
)
def test_an_error_is_told_at_its_line(source: str, line: int, said: str) -> None:
    [(at, message)] = faults(source)

    assert at == line
    assert said in message


ENDLESS = """
def endless():
    for a in range(100000):
        for b in range(100000):
            pass
endless()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "said"),
    [
        (ENDLESS, "2 seconds of computing"),
        ("x = ['a' * 2000000000]", "512 MiB of memory"),
        ("[prefix_rule(['a']) for i in range(5001)]", "more than 5000 rules in one file"),
        ("prefix_rule(['a' * 20000000])", "16 MiB of rules in one file"),
    ],
)
def test_what_takes_too_much_is_ended_and_told(source: str, said: str) -> None:
    [(_, message)] = faults(source)

    assert said in message


def test_bytes_that_are_no_text_are_told_at_their_place() -> None:
    with pytest.raises(PolicyInvalid) as raised:
        evaluated(b"x = 1\ny = '\xff'", file="a.rules")

    assert raised.value.diagnostics == (Diagnostic(file="a.rules", line=2, column=6, message="byte 0xff is not UTF-8"),)


def test_without_an_interpreter_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starlark_rules, "MODULE", "no_such_interpreter")

    with pytest.raises(RingfenceError) as raised:
        evaluated(b"", file="a.rules")

    assert raised.value.remedy == "install it with `pip install 'ringfence[import]'`"
