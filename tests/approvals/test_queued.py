"""Questions that are answered later: the agent is told, goes on, and gets the answer when it asks again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from tests.approvals.made import SITE, Memory, Time, command, decision, desk_at, vote

from ringfence.approvals.channels.queue import Queue
from ringfence.approvals.gate import Gate
from ringfence.approvals.transitions import State
from ringfence.model.action import Action
from ringfence.model.decision import Decision, Verdict

PUSH = command("git", "push")


class Scene:
    def __init__(self, folder: Path) -> None:
        self.time = Time()
        self.desk = desk_at(f"{folder}/approvals.db", self.time)
        self.elsewhere = desk_at(f"{folder}/approvals.db", self.time, "other")
        self.asked: list[str] = []
        self.gate = Gate(
            evaluate=self.judge,
            desk=self.desk,
            channel=Queue(self.asked.append),
            recorder=Memory(),
            clock=self.time,
            site=msgspec.structs.replace(SITE, wait_seconds=0.02, timeout_seconds=3600),
        )

    def judge(self, action: Action) -> Decision:
        return decision(action)

    async def decide(self) -> Decision:
        return await self.gate.decide(PUSH, asked_by="hook")


async def settled(scene: Scene, state: State) -> None:
    """Until the open question has seen the answer."""
    async with asyncio.timeout(5):
        while any(one.state is not state for one in scene.desk.requests()):
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.05)


async def test_who_waits_long_is_told_and_the_question_stays_open_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with scene.gate:
        first, second = await scene.decide(), await scene.decide()
        states = [one.state for one in scene.desk.requests()]

    assert [(one.verdict, one.resolved_by) for one in (first, second)] == [(Verdict.DENY, "queued")] * 2
    assert "ask for exactly the same again later" in first.next_steps[0]
    assert (states, len(scene.asked)) == ([State.PENDING], 1)
    assert [one.state for one in scene.desk.requests()] == [State.CANCELLED]


async def test_a_yes_that_was_given_meanwhile_allows_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with scene.gate:
        await scene.decide()
        (request,) = scene.desk.requests()
        scene.elsewhere.cast(vote(request))
        await settled(scene, State.APPROVED)
        second, third = await scene.decide(), await scene.decide()

    assert (second.verdict, second.resolved_by) == (Verdict.ALLOW, "person")
    assert (third.verdict, third.resolved_by) == (Verdict.DENY, "queued")


async def test_a_no_that_was_given_meanwhile_is_told_once_and_asked_anew_after_that(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with scene.gate:
        await scene.decide()
        (request,) = scene.desk.requests()
        scene.elsewhere.cast(vote(request, approve=False))
        await settled(scene, State.DENIED)
        second, third = await scene.decide(), await scene.decide()

    assert (second.verdict, second.resolved_by) == (Verdict.DENY, "person")
    assert third.resolved_by == "queued"


async def test_a_yes_that_was_not_used_in_time_is_asked_for_anew(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    async with scene.gate:
        await scene.decide()
        (request,) = scene.desk.requests()
        scene.elsewhere.cast(vote(request))
        await settled(scene, State.APPROVED)
        scene.time.pass_seconds(301)
        second = await scene.decide()
        states = sorted(one.state for one in scene.desk.requests())

    assert second.resolved_by == "queued"
    assert states == [State.LAPSED, State.PENDING]
