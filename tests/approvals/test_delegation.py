"""Questions that are left to the agent's own prompt: only those that may be, and the answer is the agent's word."""

from __future__ import annotations

import msgspec
import pytest
from tests.approvals.made import (
    SITE,
    Memory,
    Says,
    Time,
    answer,
    command,
    connection,
    counting,
    decision,
    desk_at,
    vote,
)

from ringfence.approvals.channels.channel import OwnPrompt
from ringfence.approvals.delegation import Delegation
from ringfence.approvals.desk import Desk
from ringfence.approvals.gate import Gate
from ringfence.approvals.permission import Permission, Quorum
from ringfence.approvals.site import Site
from ringfence.approvals.transitions import State
from ringfence.approvals.voting import Standing, Step, Terms, Threshold, standing
from ringfence.model.decision import Decision, Placement, Risk, Verdict
from ringfence.model.event import ApprovalTransition, NoticeGiven, VoteTaken
from ringfence.model.vote import Authentication

RELEASE = decision(command("make", "release"))
OWN = OwnPrompt(agent="claude", call="call-1", arguments='{"command":"make release"}')
MAY = Permission(delegate_up_to=Risk.MEDIUM)


class Scene:
    """A gate whose questions may be left to the agent; what is not, a person approves."""

    def __init__(self, permission: Permission = MAY, wanted: Decision = RELEASE, *, says: bool = True) -> None:
        self.time = Time()
        self.recorder = Memory()
        self.desk: Desk = desk_at(":memory:", self.time)
        self.channel = Says(lambda request: answer(request, approve=says))
        self.told: list[str] = []
        site: Site = msgspec.structs.replace(SITE, permission=permission)
        self.delegation = Delegation(
            desk=self.desk,
            recorder=self.recorder,
            clock=self.time,
            site=site,
            new_id=counting("report"),
            tell=self.told.append,
        )
        self.gate = Gate(
            evaluate=lambda _: wanted,
            desk=self.desk,
            channel=self.channel,
            recorder=self.recorder,
            clock=self.time,
            site=site,
            delegation=self.delegation,
        )

    async def ask(self, own: OwnPrompt = OWN) -> Decision:
        return await self.gate.decide(RELEASE.action, asked_by="hook", call=own.call, own=own)

    def transitions(self) -> list[tuple[str, str, str]]:
        return [
            (body.before, body.after, body.actor)
            for body in self.recorder.bodies
            if isinstance(body, ApprovalTransition)
        ]

    def notices(self) -> list[str]:
        return [body.text for body in self.recorder.bodies if isinstance(body, NoticeGiven)]

    @property
    def state(self) -> State:
        return self.desk.requests()[0].state


async def test_a_question_is_left_to_the_agent_and_ends_as_it_reports() -> None:
    scene = Scene()
    async with scene.gate:
        final = await scene.ask()
        scene.delegation.prompted(OWN.arguments)
        scene.delegation.ran(OWN.call, OWN.arguments)

    assert (final.verdict, final.resolved_by) == (Verdict.ASK, "delegated")
    assert scene.channel.asked == []
    assert scene.transitions() == [("pending", "delegated", "session"), ("delegated", "consumed", "agent:claude")]
    (taken,) = [body.vote for body in scene.recorder.bodies if isinstance(body, VoteTaken)]
    assert (taken.approver, taken.approve, taken.channel, taken.authentication) == (
        "agent:claude", True, "delegated", Authentication.AGENT_REPORTED,
    )  # fmt: skip
    assert taken.seen == scene.desk.requests()[0].shown
    assert scene.desk.grants() == ()


async def test_the_agent_is_given_what_a_person_sees_without_what_only_our_prompts_offer() -> None:
    scene = Scene()
    async with scene.gate:
        final = await scene.ask()

    assert final.message.splitlines() == [
        "the agent wants to run a command",
        "  command  make release",
        "  folder   /w",
        "  because  because (rule rule, user, policy.toml:1)",
        "  risk     low; inside the sandbox",
    ]


@pytest.mark.parametrize("how", ["batch", "turn"])
async def test_what_has_not_run_when_the_agent_goes_on_was_not_answered_with_yes(how: str) -> None:
    scene = Scene()
    async with scene.gate:
        await scene.ask()
        scene.delegation.prompted(OWN.arguments)
        if how == "batch":
            scene.delegation.refused(("other", OWN.call))
        else:
            scene.delegation.turn_ended()

        assert scene.state is State.DENIED
        assert scene.transitions()[-1] == ("delegated", "denied", "agent:claude")


async def test_a_call_that_ran_ends_once() -> None:
    scene = Scene()
    async with scene.gate:
        await scene.ask()
        scene.delegation.prompted(OWN.arguments)
        scene.delegation.ran(OWN.call, OWN.arguments)
        scene.delegation.ran(OWN.call, OWN.arguments)
        scene.delegation.refused((OWN.call,))
        scene.delegation.turn_ended()

    assert len(scene.transitions()) == 2


async def test_a_call_that_ran_without_a_prompt_was_approved_by_nobody_and_that_is_told() -> None:
    scene = Scene()
    async with scene.gate:
        await scene.ask()
        scene.delegation.ran(OWN.call, OWN.arguments)

    assert scene.state is State.INVALIDATED
    assert "did not say that anybody was asked: make release" in scene.told[0]
    assert scene.notices() == [scene.told[0].removeprefix("ringfence: ")]
    assert not [body for body in scene.recorder.bodies if isinstance(body, VoteTaken)]


async def test_a_call_that_ran_with_other_arguments_is_not_what_was_asked() -> None:
    scene = Scene()
    async with scene.gate:
        await scene.ask()
        scene.delegation.prompted(OWN.arguments)
        scene.delegation.ran(OWN.call, '{"command":"make evil"}')

    assert scene.state is State.INVALIDATED
    assert "the agent ran something else than what was asked" in scene.told[0]


async def test_a_report_after_the_deadline_changes_nothing_and_is_told() -> None:
    scene = Scene()
    async with scene.gate:
        await scene.ask()
        scene.delegation.prompted(OWN.arguments)
        scene.time.pass_seconds(61)
        scene.delegation.ran(OWN.call, OWN.arguments)

    assert scene.state is State.EXPIRED
    assert "the agent ran it after the question had ended" in scene.told[0]


async def test_a_session_that_ends_cancels_what_the_agent_still_asks() -> None:
    scene = Scene()
    async with scene.gate:
        await scene.ask()

    assert scene.state is State.CANCELLED
    assert scene.transitions()[-1] == ("delegated", "cancelled", "session")


async def test_reports_about_what_was_never_left_to_the_agent_are_nothing() -> None:
    scene = Scene()
    async with scene.gate:
        scene.delegation.prompted(OWN.arguments)
        scene.delegation.ran("of somebody else", OWN.arguments)
        scene.delegation.refused(("of somebody else",))

    assert scene.recorder.bodies == []


async def test_nobody_else_answers_what_the_agent_asks() -> None:
    scene = Scene()
    async with scene.gate:
        await scene.ask()
        (request,) = scene.desk.requests()
        yes, no = scene.desk.cast(vote(request)), scene.desk.cast(vote(request, "vote-2", approve=False))

    assert yes is not None and no is not None
    assert {yes.problem, no.problem} == {"it is asked by the agent's own prompt, and is answered there"}
    assert scene.desk.grants() == ()


async def test_two_calls_for_the_same_are_two_questions_and_end_each_for_itself() -> None:
    scene = Scene()
    second = msgspec.structs.replace(OWN, call="call-2")
    async with scene.gate:
        await scene.ask()
        await scene.ask(second)
        scene.delegation.prompted(OWN.arguments)
        scene.delegation.prompted(OWN.arguments)
        scene.delegation.ran("call-2", OWN.arguments)
        scene.delegation.refused(("call-1", "call-2"))

    assert sorted(request.state for request in scene.desk.requests()) == [State.CONSUMED, State.DENIED]


async def test_calls_that_never_end_do_not_pile_up() -> None:
    scene = Scene()
    async with scene.gate:
        finals = [await scene.ask(msgspec.structs.replace(OWN, call=f"call-{number}")) for number in range(18)]

    assert [final.resolved_by for final in finals] == ["delegated"] * 16 + ["person"] * 2
    assert "the agent asks too many at once" in scene.notices()[0]


async def test_a_breaker_that_lets_one_question_through_lets_the_next_one_through_after_the_agents_own() -> None:
    scene = Scene(says=False)
    async with scene.gate:
        for _ in range(3):
            await scene.gate.decide(RELEASE.action, asked_by="exec")
        stopped = await scene.ask()
        scene.time.pass_seconds(301)
        left = await scene.ask()
        next_one = await scene.ask(msgspec.structs.replace(OWN, call="call-2"))

    assert [one.resolved_by for one in (stopped, left, next_one)] == ["breaker", "delegated", "delegated"]


def risky(risk: Risk) -> Decision:
    return msgspec.structs.replace(RELEASE, risk=risk)


@pytest.mark.parametrize(
    ("permission", "wanted", "own", "why"),
    [
        (Permission(), RELEASE, OWN, "the policy leaves none to it"),
        (MAY, risky(Risk.HIGH), OWN, "it is of high risk"),
        (MAY, risky(Risk.CRITICAL), OWN, "it is of critical risk"),
        (Permission(delegate_up_to=Risk.CRITICAL), risky(Risk.HIGH), OWN, "it is of high risk"),
        (Permission(delegate_up_to=Risk.LOW), risky(Risk.MEDIUM), OWN, "it is of medium risk"),
        (MAY, RELEASE, msgspec.structs.replace(OWN, refusal="nobody is there"), "nobody is there"),
        (MAY, RELEASE, msgspec.structs.replace(OWN, call=""), "no name of its own"),
        (MAY, msgspec.structs.replace(RELEASE, override=True), OWN, "it overrides a rule"),
        (MAY, msgspec.structs.replace(RELEASE, placement=Placement.OUTSIDE), OWN, "leaves the sandbox"),
        (MAY, decision(connection("a.example")), OWN, "for commands only"),
        (MAY, decision(command("make", "x" * 2000)), OWN, "too long"),
        (msgspec.structs.replace(MAY, approvers=(("ada",),)), RELEASE, OWN, "names who has to answer"),
        (msgspec.structs.replace(MAY, quorums=(Quorum(threshold=Threshold(who=("ada",))),)), RELEASE, OWN, "names who"),
        (msgspec.structs.replace(MAY, steps=(Step(who=("ada",)),)), RELEASE, OWN, "names who has to answer"),
        (msgspec.structs.replace(MAY, self_approval=False), RELEASE, OWN, "names who has to answer"),
    ],
)
async def test_what_may_not_be_left_to_the_agent_is_asked_here(
    permission: Permission, wanted: Decision, own: OwnPrompt, why: str
) -> None:
    scene = Scene(permission, wanted)

    async with scene.gate:
        final = await scene.gate.decide(wanted.action, asked_by="hook", own=own)

    assert why in scene.delegation.refusal(wanted, own)
    assert final.resolved_by != "delegated"
    assert all(request.state is not State.DELEGATED for request in scene.desk.requests())
    assert why in scene.notices()[0]


@pytest.mark.parametrize("approver", ["agent:claude", "person:ada"])
def test_the_word_of_an_agent_counts_for_nobody(approver: str) -> None:
    one = vote(Scene().desk.open(RELEASE, session="s", workspace="/w", channel="c", prompt=("?",), seconds=9)[0])
    reported = msgspec.structs.replace(one, approver=approver, authentication=Authentication.AGENT_REPORTED)

    found = {
        standing(terms, Risk.LOW, (reported,), lambda _name, _group: True)
        for terms in (Terms(), Terms(thresholds=(Threshold(approve=1, assurance=Authentication.SIGNED),)))
    }

    assert found == {Standing.OPEN}
