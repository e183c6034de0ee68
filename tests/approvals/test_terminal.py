"""The question on a real terminal: who can approve, and who cannot."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.approvals.made import Time, command, counting, decision, desk_at
from tests.approvals.pseudoterminal import Person
from tests.descriptors import left_open, opened

from ringfence.approvals.channels.channel import Answer, Outcome, Unanswered
from ringfence.approvals.channels.terminal import Terminal
from ringfence.approvals.objects import Request, Scope
from ringfence.approvals.prompt import prompt

GUARD = 0.05


@pytest.fixture
async def person() -> AsyncIterator[Person]:
    somebody = Person()
    yield somebody
    somebody.hang_up()


@pytest.fixture
def request_() -> Request:
    wanted = decision(command("git", "push", "evil\x1b[2J\u202e"))
    desk = desk_at(":memory:", Time())
    return desk.open(wanted, session="s", workspace="/w", channel="terminal", prompt=prompt(wanted), seconds=60)[0]


def terminal(path: str, *, guard: float = GUARD, colours: bool = False) -> Terminal:
    return Terminal(approver="person:ada", new_id=counting("vote"), colours=colours, path=path, guard_seconds=guard)


async def asked(person: Person, request: Request, *keys: str, guard: float = GUARD) -> Outcome:
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        outcome = tasks.create_task(terminal(person.path, guard=guard).ask(request))
        await person.sees("\n> ")
        for key in keys:
            person.type(key)
        return await outcome


def approval(request: Request, scope: Scope) -> Answer:
    return Answer(vote="vote-001", approver="person:ada", approve=True, seen=request.shown, scope=scope)


@pytest.mark.parametrize(("key", "scope"), [("o", Scope.ONCE), ("s", Scope.SESSION)])
async def test_a_letter_and_enter_approve(person: Person, request_: Request, key: str, scope: Scope) -> None:
    outcome = await asked(person, request_, key, "\r")

    assert outcome == approval(request_, scope)


@pytest.mark.parametrize("keys", ["\r", "\n", "d\r", "n\r", "no\r", "\x03", "\x04", "o\x03", "o\x7f\r"])
async def test_everything_but_a_letter_and_enter_denies(person: Person, request_: Request, keys: str) -> None:
    outcome = await asked(person, request_, keys)

    assert isinstance(outcome, Answer)
    assert not outcome.approve


@pytest.mark.parametrize("line", ["yes", "oo", "O", " o", "o ", "\x1b[A", "os"])
async def test_a_line_that_is_no_answer_asks_again(person: Person, request_: Request, line: str) -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        outcome = tasks.create_task(terminal(person.path).ask(request_))
        await person.sees("\n> ")

        person.type(f"{line}\r")
        await person.sees("type o, s or d")
        person.type("d\r")

    answer = outcome.result()
    assert isinstance(answer, Answer)
    assert not answer.approve


async def test_what_was_typed_before_the_question_does_not_approve(person: Person, request_: Request) -> None:
    person.type("o\ro\ro\r")

    outcome = await asked(person, request_, "\r")

    assert isinstance(outcome, Answer)
    assert not outcome.approve


@pytest.mark.slow
async def test_what_is_typed_while_the_question_appears_does_not_approve(person: Person, request_: Request) -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        outcome = tasks.create_task(terminal(person.path, guard=0.15).ask(request_))
        await person.sees("Enter alone denies")
        for _ in range(6):
            person.type("o\r")
            await asyncio.sleep(0.05)
        assert not outcome.done()
        assert "\n> " not in person.seen
        await person.sees("\n> ")
        person.type("\r")

    answer = outcome.result()
    assert isinstance(answer, Answer)
    assert not answer.approve


async def test_the_prompt_shows_control_and_bidi_characters_as_escapes(person: Person, request_: Request) -> None:
    await asked(person, request_, "\r")

    assert r"evil\x1b[2J\u202e" in person.seen
    assert "\x1b" not in person.seen
    assert "\u202e" not in person.seen


async def test_a_terminal_that_goes_away_is_nobody_to_ask(person: Person, request_: Request) -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        outcome = tasks.create_task(terminal(person.path).ask(request_))
        await person.sees("\n> ")
        person.hang_up()

    assert outcome.result() == Unanswered(reason="the terminal went away")


async def test_no_terminal_is_nobody_to_ask(request_: Request, tmp_path: Path) -> None:
    outcome = await terminal(str(tmp_path / "tty")).ask(request_)

    assert outcome == Unanswered(reason="there is no terminal to ask on: No such file or directory")


async def test_the_terminal_gets_its_mode_back(person: Person, request_: Request) -> None:
    before = person.mode()

    await asked(person, request_, "o\r")

    assert person.mode() == before


async def test_a_cancelled_question_gives_the_terminal_back(person: Person, request_: Request) -> None:
    before = person.mode()
    descriptors = opened()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await terminal(person.path).ask(request_)

    assert person.mode() == before
    assert await left_open(descriptors) == frozenset()


async def test_the_screen_is_borrowed_and_given_back(person: Person, request_: Request) -> None:
    calls: list[str] = []

    class Relay:
        def suspend(self) -> None:
            calls.append("suspend" if "ringfence" not in person.seen else "late")

        def resume(self) -> None:
            calls.append("resume")

    asking = Terminal(
        approver="person:ada",
        new_id=counting(),
        colours=True,
        path=person.path,
        relay=Relay(),
        guard_seconds=GUARD,
    )
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(asking.ask(request_))
        await person.sees("\n> ")
        person.type("\x03")

    assert calls == ["suspend", "resume"]


def on_a_terminal_of_its_own(result: Path, keys: bytes, *words: str) -> str:
    """Run the question in a process whose standard streams are no terminal, but whose session has one."""
    root = Path(__file__).parents[2]
    pid, master = pty.fork()
    if pid == 0:
        # One descriptor stays, or the terminal would hang up before the question is asked.
        os.dup2(0, 9)
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        environment = {"PYTHONPATH": f"{root}:{root / 'src'}"}
        program = (sys.executable, "-m", "tests.approvals.controlling", str(result), *words)
        os.chdir(root)
        os.execve(sys.executable, program, environment)
    seen = b""
    try:
        while b"\n> " not in seen:
            seen += os.read(master, 4096)
        os.write(master, keys)
    except OSError:
        # The process ended without a question: the terminal's other side is gone.
        pass
    finally:
        os.waitpid(pid, 0)
        os.close(master)
    return result.read_text()


@pytest.mark.slow
def test_the_controlling_terminal_is_asked_whatever_the_standard_streams_are(tmp_path: Path) -> None:
    outcome = on_a_terminal_of_its_own(tmp_path / "result", b"o\r")

    assert "approve=True" in outcome


@pytest.mark.slow
def test_a_job_in_the_background_does_not_ask(tmp_path: Path) -> None:
    outcome = on_a_terminal_of_its_own(tmp_path / "result", b"o\r", "background")

    assert "the terminal belongs to another job" in outcome


@pytest.fixture
def override() -> Request:
    wanted = msgspec.structs.replace(decision(command("git", "push")), override=True)
    desk = desk_at(":memory:", Time())
    return desk.open(wanted, session="s", workspace="/w", channel="terminal", prompt=prompt(wanted), seconds=60)[0]


async def test_an_override_asks_why(person: Person, override: Request) -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        outcome = tasks.create_task(terminal(person.path).ask(override))
        await person.sees("[o] once   [d] deny")
        await person.sees("\n> ")
        person.type("s\r")
        await person.sees("type o or d")
        person.type("o\r")
        await person.sees("why?")
        person.type("the release is broken\r")

    assert await outcome == Answer(
        vote="vote-001",
        approver="person:ada",
        approve=True,
        seen=override.shown,
        scope=Scope.ONCE,
        reason="the release is broken",
    )


async def test_an_override_without_a_reason_is_a_deny(person: Person, override: Request) -> None:
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        outcome = tasks.create_task(terminal(person.path).ask(override))
        await person.sees("\n> ")
        person.type("o\r")
        await person.sees("why?")
        person.type("\r")

    answered = await outcome
    assert isinstance(answered, Answer)
    assert not answered.approve
