"""What a screen shows of a request."""

from __future__ import annotations

import msgspec
import pytest
from tests.approvals.made import Time, command, decision, desk_at, vote

from ringfence.approvals.objects import Request
from ringfence.approvals.prompt import prompt
from ringfence.approvals.transitions import State
from ringfence.cli.approvals_page import can_be_shown, gist, history_lines, question, row, window
from ringfence.model.canonical import digest


@pytest.fixture
def request_() -> Request:
    wanted = decision(command("git", "push", "evil\x1b[2J\u202e\\"))
    desk = desk_at(":memory:", Time())
    return desk.open(wanted, session="s", workspace="/w", channel="queue", prompt=prompt(wanted), seconds=60)[0]


def test_the_question_is_the_lines_that_the_vote_is_bound_to(request_: Request) -> None:
    assert can_be_shown(request_)
    assert digest(list(question(request_))) == request_.shown


@pytest.mark.parametrize("hidden", ["\x1b[2K", "\u202e", "\u200b", "\r", "\u00a0", "a\u0301"])
def test_lines_that_hide_something_are_escaped_and_told_apart(request_: Request, hidden: str) -> None:
    forged = msgspec.structs.replace(request_, prompt=("the agent wants to read", "", f"  command  ls {hidden}"))

    assert not can_be_shown(forged)
    assert hidden not in "".join((*question(forged), gist(forged)))


def test_a_row_says_how_long_it_waits_or_how_it_ended(request_: Request) -> None:
    now = request_.expires_ns - 30 * 10**9

    assert row(request_, now) == f"  30.0 s left  low       {gist(request_)}"
    ended = msgspec.structs.replace(request_, state=State.DENIED)
    assert row(ended, now) == f"       denied  low       {gist(request_)}"


@pytest.mark.parametrize(
    ("selected", "shown"),
    [
        (0, ["a", "b", "    3 more below"]),
        (2, ["    1 more above", "b", "c", "    2 more below"]),
        (4, ["    3 more above", "d", "e"]),
    ],
)
def test_the_selected_row_is_always_among_those_that_fit(selected: int, shown: list[str]) -> None:
    assert window(list("abcde"), selected, 4) == shown


def test_a_queue_that_fits_is_whole() -> None:
    assert window(["a", "b"], 1, 2) == ["a", "b"]


def test_the_history_says_who_answered_what_and_why(request_: Request) -> None:
    denied = msgspec.structs.replace(request_, state=State.DENIED, created_ns=0)
    no = msgspec.structs.replace(vote(request_, approve=False), reason="not\x1bnow")

    (line,) = history_lines([(denied, (no,))])

    assert line.endswith("  denied by person:ada: not\\x1bnow")
    assert history_lines([]) == ["  before   never asked"]
