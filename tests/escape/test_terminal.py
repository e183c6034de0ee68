"""What a program inside prints must not act on the person's machine: not the clipboard, and nothing typed for them."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.escape.reference_terminal import read

from ringfence.session.output_filter import OutputFilter
from ringfence.verify import source

_CLIPBOARD = b"52;c;ZXZpbA==\x07"
ATTACKS = {
    "plain": b"\x1b]" + _CLIPBOARD,
    "escape twice": b"\x1b\x1b]" + _CLIPBOARD,
    "inside another sequence": b"\x1b[\x1b]" + _CLIPBOARD,
    "inside a charset sequence": b"\x1b(\x1b]" + _CLIPBOARD,
    "inside a title": b"\x1b]0;x\x1b]" + _CLIPBOARD,
    "inside a device string": b"\x1bPx\x1b]" + _CLIPBOARD,
    "bell in the middle": b"\x1b\x07]" + _CLIPBOARD,
    "nothing in the middle": b"\x1b\x00]" + _CLIPBOARD,
    "line end in the middle": b"\x1b\n]" + _CLIPBOARD,
    "leading zero": b"\x1b]0" + _CLIPBOARD,
    "nothing in the number": b"\x1b]5\x002;c;ZXZpbA==\x07",
    "one character for the introducer": "\x9d".encode() + _CLIPBOARD,
    "aborted": b"\x1b]52;c;ZXZpbA==\x18",
    "ended by the next": b"\x1b]52;c;ZXZpbA==\x1b[0m",
    "title report": b"\x1b[21t",
    "title report, leading zero": b"\x1b[021t",
    "title report, second parameter": b"\x1b[21;0t",
    "title report, nothing in the number": b"\x1b[2\x001t",
    "title report, one character": "\x9b21t".encode(),
    "printer": b"\x1b[5i",
    "printer, second parameter": b"\x1b[5;0i",
    "settings report": b"\x1bP$qm\x1b\\",
    "settings report, one character": "\x90$qm\x9c".encode(),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_disguised_commands_do_not_reach_the_terminal(name: str) -> None:
    attack = ATTACKS[name]

    passed = OutputFilter().feed(b"before " + attack + b" after")

    assert any(seen.acts_outside for seen in read(attack)), "the attack proves nothing: no terminal would obey it"
    assert [seen for seen in read(passed) if seen.acts_outside] == []


@pytest.mark.parametrize("name", ATTACKS)
def test_disguised_commands_do_not_reach_the_terminal_in_pieces(name: str) -> None:
    outgoing = OutputFilter()

    passed = b"".join(outgoing.feed(bytes([byte])) for byte in ATTACKS[name] + b" after")

    assert [seen for seen in read(passed) if seen.acts_outside] == []


_PIECES = st.sampled_from(
    [
        *(
            b"\x1b",
            b"\x1b",
            b"]",
            b"[",
            b"P",
            b"]52;",
            b"[21",
            b"P$q",
            b"52;",
            b"0",
            b"5",
            b"2",
            b"1",
            b"t",
            b"i",
            b"$q",
        ),
        *(b";", b"\\", b"\x07", b"\x00", b"\n", b"\x18", b"?", b"x", b"(", b"\x7f", "é".encode()),
        *(b"\xc2\x9d", b"\xc2\x9b", b"\xc2\x90", b"\xc2", b"\x9d"),
    ]
)


@given(st.lists(st.lists(_PIECES, max_size=8).map(b"".join), max_size=4))
def test_no_mixture_of_pieces_reaches_the_terminal(chunks: list[bytes]) -> None:
    outgoing = OutputFilter()

    passed = b"".join(outgoing.feed(chunk) for chunk in (*chunks, b"\x18"))

    assert [seen for seen in read(passed) if seen.acts_outside] == []


_HARMLESS = {
    "colour": b"\x1b[31mred\x1b[0m",
    "title": b"\x1b]0;title\x07",
    "link": b"\x1b]8;;https://a.test\x1b\\link\x1b]8;;\x1b\\",
    "letters": "žluťoučký 🐎\n".encode(),
    "picture": b"\x1bPq#0;2;0;0;0~~\x1b\\",
}


@pytest.mark.parametrize("name", _HARMLESS)
def test_colours_titles_links_and_letters_pass_unchanged(name: str) -> None:
    assert OutputFilter().feed(_HARMLESS[name]) == _HARMLESS[name]


@pytest.mark.escape
@pytest.mark.slow
def test_a_wrapped_agent_cannot_write_the_clipboard(tmp_path: os.PathLike[str]) -> None:
    says = (source.interpreter(), "-I", "-c", "import sys; sys.stdout.write('\\x1b]52;c;ZXZpbA==\\x07shown\\n')")
    ringfence = (sys.executable, "-c", "import sys; from ringfence.cli.entry import main; sys.exit(main())")

    plain = _in_terminal(says, tmp_path)
    inside = _in_terminal((*ringfence, "run", "--", *says), tmp_path)

    assert any(seen.acts_outside for seen in read(plain))
    assert b"shown" in inside
    assert [seen for seen in read(inside) if seen.acts_outside] == []


def _in_terminal(argv: tuple[str, ...], folder: os.PathLike[str]) -> bytes:
    """Run a command in a terminal of its own and return what the terminal got."""
    project, home = os.path.join(folder, "home", "project"), os.path.join(folder, "home")
    os.makedirs(project, exist_ok=True)
    master, slave = pty.openpty()
    modules = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    environment = {"HOME": home, "PATH": os.environ["PATH"], "PYTHONPATH": modules}
    process = subprocess.Popen(
        ("setsid", "--ctty", "--wait", *argv), stdin=slave, stdout=slave, stderr=slave, cwd=project, env=environment
    )
    os.close(slave)
    got = b""
    while select.select((master,), (), (), 20)[0]:
        try:
            got += os.read(master, 65536)
        except OSError:  # the last holder of the terminal is gone
            break
    os.close(master)
    process.wait(20)
    return got
