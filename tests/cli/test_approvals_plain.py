"""The approver that only writes lines."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from tests.approvals.made import Time, command, decision, desk_at, opened

from ringfence.approvals.objects import Request, Scope
from ringfence.cli import approvals_plain
from ringfence.cli.approvals_keys import Choice
from ringfence.cli.approvals_view import Look, Told


class Waiting:
    """Requests that wait, and the answers that were given to them."""

    def __init__(self, *requests: Request) -> None:
        self.open = list(requests)
        self.given: list[tuple[str, bool, Scope, str]] = []
        self.ended: dict[str, str] = {}

    def look(self, selected: str) -> Look:
        return Look(waiting=tuple(self.open), beside=("  beside",), ended=self.ended.get(selected, ""))

    def answer(self, request: Request, choice: Choice, reason: str) -> Told:
        self.given.append((request.id, choice.approve, choice.scope, reason))
        self.open.remove(request)
        return Told(text="taken", taken=True)


class Typist:
    """Types lines, and leaves at their end. What is typed before a question is thrown away."""

    def __init__(self, *lines: str | None) -> None:
        self._lines = list(lines)
        self.discarded = 0

    def discard(self) -> None:
        self.discarded += 1

    def line(self, seconds: float) -> str | None:
        if not self._lines:
            raise EOFError
        return self._lines.pop(0)


@pytest.fixture
def request_() -> Request:
    return opened(desk_at(":memory:", Time()), decision(command("git", "push")))


def conversation(waiting: Waiting, lines: Sequence[str | None]) -> list[str]:
    written: list[str] = []
    approvals_plain.run(waiting, Typist(*lines), written.append)
    return written


def test_a_request_is_read_whole_and_answered_with_a_word(request_: Request) -> None:
    waiting = Waiting(request_)

    written = conversation(waiting, ["session release day"])

    assert written == [
        "",
        f"request {request_.id}, 1 waiting",
        "may it?",
        "  beside",
        "type `deny`, `once`, `session`, `repo`, `next` or `quit`, then Enter; a reason may follow the word",
        "taken",
        "no other request waits; new ones are read as they come; `quit` leaves",
    ]
    assert waiting.given == [(request_.id, True, Scope.SESSION, "release day")]


@pytest.mark.parametrize("typed", ["", "y", "O", "yes", "onc", "once\x00", "Once"])
def test_everything_but_a_whole_word_is_no_answer(request_: Request, typed: str) -> None:
    waiting = Waiting(request_)

    written = conversation(waiting, [typed])

    assert written[-1] == "no answer was given: type `deny`, `once`, `session`, `repo`, `next` or `quit`"
    assert waiting.given == []


def test_a_request_that_ends_meanwhile_is_told(request_: Request) -> None:
    waiting = Waiting(request_)
    waiting.ended[request_.id] = "denied by sue (command)"

    written = conversation(waiting, [None])

    assert "no longer open: denied by sue (command)" in written


def test_an_override_needs_a_reason(request_: Request) -> None:
    overriding = msgspec.structs.replace(request_, override=True, widest=Scope.ONCE)
    waiting = Waiting(overriding)

    written = conversation(waiting, ["once", "once the site is down"])

    assert "no answer was given: it needs a reason: `once REASON`" in written
    assert waiting.given == [(request_.id, True, Scope.ONCE, "the site is down")]


def test_a_question_that_cannot_be_shown_can_only_be_denied(request_: Request) -> None:
    forged = msgspec.structs.replace(request_, prompt=("ls\x1b[2J",))
    waiting = Waiting(forged)

    written = conversation(waiting, ["once", "deny"])

    assert "ls\\x1b[2J" in written
    assert waiting.given == [(request_.id, False, Scope.ONCE, "")]


def test_what_was_passed_over_is_read_again_when_asked_for(request_: Request) -> None:
    waiting = Waiting(request_)

    written = conversation(waiting, ["next", "once", "again", "deny"])

    assert "no answer was given: no request is being read; type `again` or `quit`" in written
    assert waiting.given == [(request_.id, False, Scope.ONCE, "")]


def test_typing_before_a_question_is_thrown_away_each_time(request_: Request) -> None:
    other = msgspec.structs.replace(request_, id="other")
    typist = Typist("deny", "deny")

    approvals_plain.run(Waiting(request_, other), typist, lambda _: None)

    assert typist.discarded == 2
