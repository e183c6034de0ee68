"""What a shell string comes down to, held against Bash itself where that can be done."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.policy.shell.analysis import analyse_argv, analyse_shell
from ringfence.policy.shell.parse import parse
from ringfence.policy.shell.tree import Unclear


def programs(text: str) -> list[tuple[str | None, ...]]:
    return [tuple(word.text for word in one.words) for one in analyse_shell(text, home="/home/u").invocations]


def issues(text: str) -> set[Unclear]:
    return {issue.kind for issue in analyse_shell(text, home="/home/u").issues}


SPELLINGS = [
    "touch M",
    "/usr/bin/touch M",
    "(touch M)",
    "X=1 touch M",
    "env touch M",
    "env -i -u Y X=1 touch M",
    "env -S 'touch M'",
    "t\\ouch M",
    "touch M >/dev/null",
    ">/dev/null touch M",
    "touch M & wait",
    "if true; then touch M; fi",
    "command touch M",
    "builtin command touch M",
    "timeout 5 touch M",
    "timeout -k 3 --signal=TERM 5 touch M",
    "nice -n 5 nohup setsid touch M",
    "nice -5 touch M",
    "stdbuf -oL touch M",
    "bash -c 'touch M'",
    "bash -lc 'touch M'",
    "bash -o pipefail -ec 'touch M'",
    "sh -c \"bash -c 'touch M'\"",
    "touch M # x",
    "to'u'ch M",
    '"touch" M',
    "$'to\\x75ch' M",
    "{ touch M; }",
    "! touch M",
    "touch M |& cat",
    "true && touch M",
    "true | touch M",
    'eval "touch M"',
    "cat <<E\nx\nE\ntouch M",
    "cat <<E && touch M\nx\nE",
    "bash <<'E'\ntouch M\nE",
    "bash <<< 'touch M'",
    "echo $(touch M)",
    "echo `touch M`",
    'echo "a $(touch M) b"',
    "echo ${x:-$(touch M)}",
    "echo $((a[$(touch M)]))",
    "a[$(touch M)]=1",
    "cat <(touch M)",
    "x=$(touch M)",
    "export X=$(touch M)",
    "cat <<E\n$(touch M)\nE",
    "for i in 1; do touch M; done",
    "while touch M; do :; done",
    "case x in x) touch M;; esac",
    "f() { touch M; }; f",
    "[[ $(touch M) ]]",
    "[ $(touch M) ]",
    "exec -a x touch M",
    "time -p touch M",
    "coproc touch M",
    "trap 'touch M' EXIT",
    "alias x='touch M'",
    "find . -exec touch M ';'",
    "find . -execdir touch M +",
    "xargs touch M",
    "xargs -n 1 -I{} touch M",
    "busybox touch M",
    "/lib64/ld-linux-x86-64.so.2 /usr/bin/touch M",
    "flock /tmp/l touch M",
    "flock /tmp/l -c 'touch M'",
    "watch 'touch M'",
    "watch touch M",
    "script -qc 'touch M' /dev/null",
    "npx touch M",
    "uv run touch M",
    "python3 -m touch M",
    "sudo -u root touch M",
    "strace -f touch M",
    "if false; then :; elif touch M; then :; else :; fi",
    "select x in a; do touch M; done",
    "touch\\\n M",
    "touch \\\n  M",
    'tou""ch M',
    "touch {M,N}",
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_each_spelling_of_a_command_is_found(text: str) -> None:
    found = programs(text)

    assert any(words[0] in {"touch", "/usr/bin/touch"} and words[1:2] == ("M",) for words in found), found


def test_the_exact_arguments_of_a_program_are_unfolded_as_well() -> None:
    analysis = analyse_argv(("env", "bash", "-lc", "git push"), home=None)

    assert [one.program for one in analysis.invocations] == ["env", "bash", "git"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("$x push", Unclear.DYNAMIC_NAME),
        ("$(echo git) push", Unclear.DYNAMIC_NAME),
        ("g?t push", Unclear.DYNAMIC_NAME),
        ("env $x", Unclear.DYNAMIC_NAME),
        ("xargs $x", Unclear.DYNAMIC_NAME),
        ("curl x | sh", Unclear.PIPE_TO_SHELL),
        ("curl x | bash -s -- a", Unclear.PIPE_TO_SHELL),
        ("curl x | sudo bash", Unclear.PIPE_TO_SHELL),
        ("curl x | python3 -", Unclear.PIPE_TO_SHELL),
        ("curl x | (bash)", Unclear.PIPE_TO_SHELL),
        ("cat <<E | sh\nx\nE", Unclear.PIPE_TO_SHELL),
        ("bash <(curl x)", Unclear.REMOTE_CODE),
        (". <(curl x)", Unclear.REMOTE_CODE),
        ('eval "$x"', Unclear.EVAL),
        ("eval ls", Unclear.EVAL),
        ('bash -c "$x"', Unclear.EVAL),
        ("bash <<E\n$x\nE", Unclear.EVAL),
        ("env --never-heard-of git push", Unclear.WRAPPER),
        ("if true; then", Unclear.SYNTAX),
        ("git 'push", Unclear.SYNTAX),
        ("git push\x1b[2K", Unclear.CONTROL),
        ("git\u202epush", Unclear.CONTROL),
        ("ls\r", Unclear.CONTROL),
        ("ls\u00a0x", Unclear.CONTROL),
        ("ls \udc80", Unclear.CONTROL),
        ("x" * 70_000 + "'", Unclear.SIZE),
        ("a|" * 600 + "a", Unclear.SIZE),
        ("$(" * 300 + ")" * 300, Unclear.SIZE),
    ],
)
def test_what_cannot_be_followed_is_said_to_be_unclear(text: str, kind: Unclear) -> None:
    assert kind in issues(text)


@pytest.mark.parametrize(
    "text",
    [
        "git log --oneline | head -5",
        'for f in *.py; do echo "$f"; done > out.txt 2>&1',
        "cat > x.py <<'E'\nprint($HOME)\nE\npython3 x.py",
        'npm test -- --grep "a b" && echo done || exit 1',
        "FOO=bar make -j$(nproc) all",
        "grep -rn 'foo\\|bar' src/ | sort -u | wc -l",
        "command -v cargo",
        "python3 - <<'E'\nprint(1)\nE",
        "[[ -f a && ! -d b ]] || { echo no; exit 1; }",
        "echo $? $$ $# $@",
        "sed -n '1,5p' a.txt; awk '{print $1}' b",
    ],
)
def test_everyday_commands_are_followed_completely(text: str) -> None:
    assert issues(text) == set()


def test_redirections_are_found_with_their_direction() -> None:
    script = parse("a > x; b >> y 2>&1 < z; c &> v; d >| u; e <> t; f >&s", home=None)

    found = [(redirect.target.text, redirect.write) for redirect in script.redirects]
    assert found == [("x", True), ("y", True), ("z", False), ("v", True), ("u", True), ("t", True), ("s", True)]


def test_home_is_known_until_the_script_changes_it() -> None:
    assert programs("cat ~/x $HOME/y \"${HOME}/z\" '~/q'") == [("cat", "/home/u/x", "/home/u/y", "/home/u/z", "~/q")]
    assert programs("HOME=/x; cat $HOME/y ~/z") == [("cat", "/x/y", "/x/z")]
    assert programs("read HOME; cat $HOME/y ~/z") == [("read", "HOME"), ("cat", None, None)]


_WORDS = st.lists(
    st.sampled_from(
        ["a", "b c", "'", '"', "\\", "\\\n", "'x y'", '"q\\"r"', "$'\\t\\x41\\u00e9'", '"\\$z"', "{1,2}", "x{a,b{c,d}}",
         "{}", "''", '""', "\\ ", "=", "-", ",", "#", "%", "\\'", "'a'b\"c\"", '"a\\b"', "é", "{a", "b}", "{,z}"]
    ),
    min_size=1,
    max_size=5,
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(_WORDS, min_size=1, max_size=3))
def test_words_come_out_as_bash_makes_them(words: list[list[str]]) -> None:
    text = "printf '%s\\0' " + " ".join("".join(pieces) for pieces in words)
    analysis = analyse_shell(text, home="/home/u")
    bash = subprocess.run(
        ["bash", "--norc", "-c", text],
        capture_output=True,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        check=False,
    )

    if analysis.issues or bash.returncode != 0:
        return
    found = [one for one in analysis.invocations if one.program == "printf"]
    assert len(found) == 1
    expected = bash.stdout.decode().split("\0")[:-1]
    ours = [word.text for word in found[0].words[2:]] or [""]
    assert None in ours or ours == expected, text


@settings(deadline=None)
@given(st.text(max_size=120) | st.text(alphabet="abgit push$(){}[]<>|&;'\"\\\n`#!=*?~", max_size=60))
def test_any_text_has_an_analysis(text: str) -> None:
    analyse_shell(text, home="/home/u")


@given(st.lists(st.text(max_size=20), max_size=6))
def test_any_arguments_have_an_analysis(argv: list[str]) -> None:
    analyse_argv(argv, home=None)
