"""Any text gives a script, soon: what is too long, too deep or takes too long is said to be so."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.policy.shell.parse import parse
from ringfence.policy.shell.tree import Dialect, Script, Unclear

FRAGMENTS = [
    "((", "$(", "${", '"$(', "`", "<<a ", "{ ", "if ", "((((((((((a", "[[ ( ", "case x in ", "$((", "a[", "'", "a&&",
    "f()",    ";;", "{a,", "<(", "<", "a=(", '($[`"{', "for x in a b; do ", "f() { ", "cat <<a\n", "a ", "$x ", "x=a;",
    "{a,b}{a,b}{a,b}{a,b}{a,b}{a,b} ", "a=~:", "$((1+(2))) ", "while a; do ", "a & ", "x=ab; x+=$x$x$x$x; ", "a \\\n",
    '"a$b"', "\\", "|", "a|", "echo a b c; ", "x=$x$x$x$x ", "! ", "$'\\x41'", "\r", "\u202e", "é",
]  # fmt: skip
SECONDS = 3.0
"""Far more than the slowest takes (a twentieth of a second), and far less than anything that grows with a power: this
finds explosions, and is no measure of speed."""


@pytest.fixture(scope="module", autouse=True)
def warm() -> None:
    parse("((x)) && a", home=None)


@pytest.mark.parametrize("fragment", FRAGMENTS)
@pytest.mark.parametrize("size", [2_000, 8_000, 65_536])
def test_no_text_takes_long(fragment: str, size: int) -> None:
    text = fragment * (size // len(fragment.encode()))

    start = time.thread_time()
    parse(text, home="/home/u")

    assert time.thread_time() - start < SECONDS


def test_a_long_value_is_not_put_in_place_again_and_again() -> None:
    script = parse("x=" + "a" * 4000 + "; echo " + "$x " * 1000, home=None)

    assert Unclear.SIZE in {issue.kind for issue in script.issues}


def test_a_long_here_document_is_only_text() -> None:
    script = parse("cat > f <<'E'\n" + "x $(y) `z`\n" * 700 + "E\nrm f", home=None)

    assert [c.words[0].text for c in script.commands] == ["cat", "rm"]
    assert script.issues == ()


@settings(max_examples=200, deadline=None)
@given(
    text=st.text(max_size=200)
    | st.lists(st.sampled_from([*FRAGMENTS, ")", "}", " ", "\n", "done", "fi", "esac", "E\n", "]]", "$x"])).map("".join)
    | st.binary(max_size=200).map(lambda raw: raw.decode("utf-8", "surrogateescape")),
    dialect=st.sampled_from(Dialect),
)
def test_any_text_gives_a_script(text: str, dialect: Dialect) -> None:
    assert isinstance(parse(text, home="/home/u", dialect=dialect), Script)


@pytest.mark.parametrize(
    "text",
    [
        "ls **/*.py",
        "=ls x",
        "ls *(.)",
        "ls *(om[1])",
        "echo $x[1]",
        "echo ${(f)x}",
        "a >! f",
        "a &!",
        "repeat 3 a",
        "x=(a); =(b)",
    ],
)
def test_what_zsh_reads_differently_is_unclear(text: str) -> None:
    assert Unclear.SYNTAX in {issue.kind for issue in parse(text, home=None, dialect=Dialect.ZSH).issues}


@pytest.mark.parametrize(
    "text", ["echo (whoami)", "a; and b", "set x 1", "echo $x", "a &> b", "if a; b; end", "begin; a; end"]
)
def test_what_fish_reads_differently_is_unclear(text: str) -> None:
    assert Unclear.SYNTAX in {issue.kind for issue in parse(text, home=None, dialect=Dialect.FISH).issues}


@pytest.mark.parametrize("dialect", Dialect)
def test_plain_lines_mean_the_same_in_every_shell(dialect: Dialect) -> None:
    script = parse("git commit -m 'a b' && git push | cat > f", home=None, dialect=dialect)

    assert [c.words[0].text for c in script.commands] == ["git", "git", "cat"]
    assert script.issues == ()
