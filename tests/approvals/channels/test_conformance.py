"""What every way of asking does: it has a name, it carries, it never decides, and it can be taken back at any time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.approvals.made import Time, command, counting, decision, desk_at

from ringfence.approvals.channels.channel import Answer, Channel, Unanswered
from ringfence.approvals.channels.deny import Nobody
from ringfence.approvals.channels.queue import Queue
from ringfence.approvals.channels.telling import Listener, Telling
from ringfence.approvals.channels.terminal import Terminal
from ringfence.approvals.objects import Request
from ringfence.approvals.prompt import prompt
from ringfence.approvals.transitions import State


def _silent(_: str) -> None:
    """Nobody listens."""


async def _told(_: Request) -> str:
    return ""


async def _fails(_: Request) -> str:
    raise OSError("the network is gone")


async def _hangs(_: Request) -> str:
    await asyncio.Event().wait()
    return ""


CHANNELS: dict[str, Callable[[], Channel]] = {
    "terminal": lambda: Terminal(approver="person:ada", new_id=counting(), colours=False, path="/nowhere/tty"),
    "queue": lambda: Queue(_silent),
    "web": lambda: Queue(_silent, name="web"),
    "deny": lambda: Nobody("nobody is asked"),
    "told": lambda: Telling(Queue(_silent), [Listener(name="a webhook", tell=_told)], _silent),
    "told in vain": lambda: Telling(Queue(_silent), [Listener(name="a webhook", tell=_fails)], _silent),
    "told without end": lambda: Telling(Queue(_silent), [Listener(name="a webhook", tell=_hangs)], _silent),
}


@pytest.mark.parametrize("name", CHANNELS)
async def test_a_way_of_asking_carries_and_can_be_taken_back(name: str) -> None:
    channel, wanted = CHANNELS[name](), decision(command("git", "push"))
    desk = desk_at(":memory:", Time())
    request, _ = desk.open(wanted, session="s", workspace="/w", channel=channel.name, prompt=prompt(wanted), seconds=60)

    asking = asyncio.ensure_future(channel.ask(request))  # noqa: TID251 - cancelled and awaited right below
    done, _ = await asyncio.wait([asking], timeout=0.05)
    asking.cancel()
    (ended,) = await asyncio.gather(asking, return_exceptions=True)  # noqa: TID251 - one task, and its end is compared

    assert channel.name.isascii() and channel.name.isprintable() and channel.name
    assert isinstance(ended, Unanswered) if done else isinstance(ended, asyncio.CancelledError)
    now = desk.request(request.id)
    assert now is not None and now.state is State.PENDING
    assert desk.votes(request.id) == ()


async def test_who_cannot_be_told_is_named_and_the_answer_still_counts() -> None:
    said: list[str] = []
    answered = Answer(vote="v", approver="person:ada", approve=True, seen="s")

    class Answering:
        name, refusal = "answering", ""

        async def ask(self, _: Request) -> Answer:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return answered

    wanted = decision(command("git", "push"))
    request, _ = desk_at(":memory:", Time()).open(
        wanted, session="s", workspace="/w", channel="answering", prompt=prompt(wanted), seconds=60
    )
    outcome = await Telling(Answering(), [Listener(name="webhook `chat`", tell=_fails)], said.append).ask(request)

    assert outcome == answered
    assert said == ["ringfence: webhook `chat` could not be told of the question: the network is gone"]
