"""Words, held against Bash itself: what a program gets is what we say it gets, or we say that it is not known."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.policy.shell.analysis import analyse_shell
from ringfence.policy.shell.parse import parse
from ringfence.policy.shell.tree import Word

HOME = "/home/u"

PIECES = [
    "a", "b c", "0", "1", "12", "-3", "..", ",", "{", "}", "{}", "{a,b}", "{1..5}", "{05..1..2}", "{a..e..2}", "{c..a}",
    "{-1..1}", "{1..2..0}", "{x,{1..3},}", "{a,b", "a,b}", "{,}", "'", '"', "'x y'", "'a{1,2}'", '"q\\"r"', '"a\\b"',
    '"\\$z"', "''", '""', "\\", "\\\n", "\\ ", "\\{", "\\,", "\\'", "$'\\t\\x41'", "$'\\101\\e\\'\\\\'", "$'\\u41\\q'",
    "$'\\xc3\\xa9'", "$'\\cA'", '$"l"', "$X", "${X}", '"$X"', '"a${X}b"', "$Y", '"$Y"', "$E", '"$E"', "$IFS", '"$IFS"',
    "$", "=", "x=", "X=", ":", "~", "/~", "=~", ":~", "~+", "~/x", "#", "%", "!", "^", "é", "\t", "@", "[", "]",
    "$((1+1))", "$(:)", "${X:-d}", "${E:-d}", "${X%l}", "{$X,2}", "{~,a}", "~$X", "\\~", "'~'/", "+",
]  # fmt: skip
ASSIGNMENTS = "X=val; Y='one  two'; E=; "


def bash(text: str, folder: Path) -> list[str] | None:
    """The words that Bash makes, or nothing where it refuses."""
    run = subprocess.run(
        ["bash", "--norc", "--noprofile", "-c", text],
        capture_output=True,
        cwd=folder,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "HOME": HOME},
        check=False,
    )
    return run.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1] if run.returncode == 0 else None


def ours(text: str) -> tuple[Word, ...] | None:
    """The words that we tell, or nothing where we say that it is unclear."""
    script = parse(text, home=HOME)
    return (
        None
        if script.issues
        else next(c.words[2:] for c in script.commands if c.words[:1] and c.words[0].text == "printf")
    )


def fits(told: tuple[Word, ...], real: list[str]) -> bool:
    """Whether these words are among those that were told; a word that is not known fits any, or any number."""
    if not told:
        return not real
    first, rest = told[0], told[1:]
    if first.text is None:
        counts = range(len(real) + 1) if first.splits else [1]
        return any(fits(rest, real[count:]) for count in counts if count <= len(real))
    return bool(real) and real[0] == first.text and fits(rest, real[1:])


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("empty")


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(words=st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join), min_size=1, max_size=3))
def test_words_are_what_bash_makes_of_them(words: list[str], empty: Path) -> None:
    text = f"{ASSIGNMENTS}printf '%s\\0' _ " + " ".join(words)
    real = bash(text, empty)
    told = ours(text)

    if real is not None and told is not None:
        assert fits(told, real), (text, told, real)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{1..5}", ["1", "2", "3", "4", "5"]),
        ("{a..e..2}x", ["ax", "cx", "ex"]),
        ("{}/{a,b}", ["{}/a", "{}/b"]),
        ("{x..y,z}", ["x..y", "z"]),
        ("{1..x}", ["{1..x}"]),
        ("{08..10}", ["08", "09", "10"]),
        ("a{b,{c,d}e}f", ["abf", "acef", "adef"]),
        ("$'\\x67it'", ["git"]),
        ("g\\it", ["git"]),
        ("pu\\\nsh", ["push"]),
        ('"pu\\\nsh"', ["push"]),
        ("$X", ["val"]),
        ("a$Y", ["aone", "two"]),
        ('"$Y"', ["one  two"]),
        ("x${IFS}y", ["x", "y"]),
        ("${E}z", ["z"]),
        ("$E", []),
        ('"$E"', [""]),
        ("~/x", [HOME + "/x"]),
        ("a=~/x", ["a=" + HOME + "/x"]),
        ("--a=~/x", ["--a=~/x"]),
        ("a=~/x{1,2}", ["a=~/x1", "a=~/x2"]),
        ("a=~/{1..1}", ["a=~/1"]),
        ("a=~/{1}", ["a=" + HOME + "/{1}"]),
        ("~/x{1,2}", [HOME + "/x1", HOME + "/x2"]),
        ("{~,a}/x", [HOME + "/x", "a/x"]),
    ],
)
def test_these_words_are_known_exactly(written: str, expected: list[str], empty: Path) -> None:
    text = f"{ASSIGNMENTS}printf '%s\\0' _ {written}"
    told = ours(text)

    assert told is not None
    assert [word.text for word in told[1:]] == expected == (bash(text, empty) or [])[1:]


@pytest.mark.parametrize(
    "written", ["a{},b}", "~root", "~+", "~-", "{1..9999999}", "{A..z}", "$(x)", "$1", "${X:-d}", "$'\\u00e9'",
     "~:x", "~:$X", "~a:/x"],
)  # fmt: skip
def test_these_words_are_known_only_when_the_script_runs(written: str) -> None:
    assert parse(f"a {written}", home=HOME).commands[-1].words[1].text is None


@pytest.mark.parametrize("written", ["cat a{$Y~ a{$\\{", 'cat $\\ "q"'])
def test_a_word_that_the_parser_takes_apart_in_another_way_than_bash_is_unclear(written: str) -> None:
    assert parse(written, home=HOME).issues


def test_a_posix_shell_expands_no_tilde_inside_an_argument() -> None:
    from ringfence.policy.shell.tree import Dialect

    bash_words = parse("a b=~/x", home=HOME).commands[0].words
    sh_words = parse("a b=~/x", home=HOME, dialect=Dialect.SH).commands[0].words

    assert (bash_words[1].text, sh_words[1].text) == (f"b={HOME}/x", "b=~/x")


def test_a_tilde_before_a_range_of_numbers_is_not_certain() -> None:
    # Bash makes `~1` of it first, which is a folder of `pushd`, or what stands behind an equals sign.
    assert analyse_shell("cat ~{1..2}", home="/home/u", cwd="/w").invocations[0].words[1].text is None
