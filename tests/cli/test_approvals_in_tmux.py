"""The approver in a real terminal: started as people start it, drawn by tmux, answered with keys that tmux sends."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.approvals.made import command, counting, decision
from tests.debian import program
from tests.window import Window, until

from ringfence.approvals.desk import Desk
from ringfence.approvals.objects import Request
from ringfence.approvals.prompt import prompt
from ringfence.approvals.stores.sqlite import SqliteStore
from ringfence.telemetry.presence import Presence

pytestmark = pytest.mark.slow
_COLOURS = re.compile(rb"\x1b\[[0-9;]*?\b(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;[0-9;]*)?m")


@pytest.fixture(scope="module", autouse=True)
def tmux() -> None:
    program("tmux", "tmux")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "ringfence").mkdir()
    recording = Presence(str(tmp_path / "ringfence" / "recording"), "session-1")
    yield Desk(SqliteStore(str(tmp_path / "ringfence" / "approvals.db")), time.time_ns, counting())
    recording.end()


@pytest.fixture
def window(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Window]:
    def opened(*words: str, **environment: str) -> Window:
        argv = (sys.executable, "-m", "ringfence", "approvals", *words)
        made = Window(tmp_path, argv, {"XDG_STATE_HOME": str(tmp_path), "TERM": "xterm-256color", **environment})
        request.addfinalizer(made.close)
        return made

    return opened


def ask(desk: Desk, *argv: str) -> Request:
    wanted = decision(command(*argv))
    return desk.open(wanted, session="session-1", workspace="/w", channel="queue", prompt=prompt(wanted), seconds=3600)[
        0
    ]


def test_what_was_typed_before_the_question_came_does_not_answer_it(desk: Desk, window: Callable[..., Window]) -> None:
    screen = window()
    screen.shows("no request waits")
    screen.keys("O", "Enter", "d", "O")
    asked = ask(desk, "git", "push")

    screen.shows("command  git push")

    assert desk.votes(asked.id) == ()
    time.sleep(0.6)
    screen.keys("O")
    screen.shows(f"{asked.id} is approved (once)")


def test_a_window_of_another_size_shows_the_same_question(desk: Desk, window: Callable[..., Window]) -> None:
    ask(desk, "git", "push")
    screen = window()
    screen.shows("command  git push")

    screen.resize(44, 16)
    small = screen.shows("  command  git push", "O: once", "q: leave")
    screen.resize(120, 40)
    large = screen.shows("  command  git push", "O: approve once", "q: leave")

    assert [line for line in small.splitlines() if set(line) == {"─"}] == ["─" * 44] * 2
    assert [line for line in large.splitlines() if set(line) == {"─"}] == ["─" * 120] * 2


@pytest.mark.parametrize(("environment", "coloured"), [({"NO_COLOR": "1"}, False), ({}, True)])
def test_no_colour_is_sent_where_none_is_wanted(
    desk: Desk, window: Callable[..., Window], environment: dict[str, str], *, coloured: bool
) -> None:
    wanted = decision(command("git", "push"))
    lines = (*prompt(wanted), "    +in colour, where there are colours")
    desk.open(wanted, session="session-1", workspace="/w", channel="queue", prompt=lines, seconds=3600)
    screen = window(**environment)

    screen.shows("+in colour")

    until(lambda: b"in colour" in screen.raw.read_bytes())
    assert bool(_COLOURS.search(screen.raw.read_bytes())) is coloured


def test_hostile_text_draws_nothing(desk: Desk, window: Callable[..., Window]) -> None:
    ask(desk, "ls", "\x1b[2J\x1b]0;evil\x07\u202e[bold]x[/bold]")
    screen = window()

    seen = screen.shows("folder   /w")

    assert "ls '\\x1b[2J\\x1b]0;evil\\x07\\u202e[bold]x[/bold]'" in seen


def test_plain_text_only_ever_adds_lines(desk: Desk, window: Callable[..., Window]) -> None:
    asked = ask(desk, "git", "push")
    screen = window("--plain")
    screen.shows("a reason may follow")
    time.sleep(0.6)

    screen.keys("once release day", "Enter")
    screen.shows(f"{asked.id} is approved (once)")
    screen.keys("quit", "Enter")
    until(screen.has_ended, screen.seen)

    assert b"\x1b" not in screen.raw.read_bytes()
    assert [vote.reason for vote in desk.votes(asked.id)] == ["release day"]


def test_half_a_word_from_before_the_question_is_thrown_away(desk: Desk, window: Callable[..., Window]) -> None:
    screen = window("--plain")
    screen.shows("no other request waits")
    screen.keys("once")
    asked = ask(desk, "git", "push")
    screen.shows("a reason may follow")
    time.sleep(0.6)

    screen.keys("Enter")
    screen.shows("no answer was given: type `deny`, `once`")

    assert desk.votes(asked.id) == ()


def test_a_terminal_that_cannot_draw_says_what_to_take_instead(desk: Desk, window: Callable[..., Window]) -> None:
    screen = window(TERM="dumb")

    screen.shows("take `ringfence approvals --plain`")
