"""The gate: what is decided is on record first, and whatever goes wrong is a deny."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from tests.approvals.made import SITE, Memory, Says, Time, answer, command, connection, decision, desk_at, vote

from ringfence.approvals.channels.channel import Channel, Outcome, Unanswered
from ringfence.approvals.channels.deny import Nobody
from ringfence.approvals.channels.queue import Queue
from ringfence.approvals.desk import Desk
from ringfence.approvals.gate import Gate
from ringfence.approvals.objects import Request, Scope
from ringfence.approvals.reviewing.opinion import Conclusion, Reviewed
from ringfence.approvals.transitions import State
from ringfence.model.action import Action, ConnectAction
from ringfence.model.decision import Decision, Placement, Verdict
from ringfence.model.event import DecisionMade
from ringfence.model.situations import LedgerBroken

PUSH = command("git", "push")
ASKED = ["approval.requested"]


def evaluate(action: Action) -> Decision:
    """`ls` is allowed, `rm` is denied, everything else asks."""
    word = "host" if isinstance(action, ConnectAction) else msgspec.to_builtins(action)["argv"][0]
    return decision(action, {"ls": Verdict.ALLOW, "rm": Verdict.DENY}.get(word, Verdict.ASK))


class Scene:
    """A gate with everything around it."""

    def __init__(self, channel: Channel | None = None, judge: Callable[[Action], Decision] = evaluate) -> None:
        self.time = Time()
        self.recorder = Memory()
        self.desk: Desk = desk_at(":memory:", self.time)
        self.channel = channel if channel is not None else Nobody()
        self.gate = self.new_gate(judge)

    def new_gate(self, judge: Callable[[Action], Decision], timeout_seconds: int = 60) -> Gate:
        return Gate(
            evaluate=judge,
            desk=self.desk,
            channel=self.channel,
            recorder=self.recorder,
            clock=self.time,
            site=msgspec.structs.replace(SITE, timeout_seconds=timeout_seconds),
        )

    def states(self) -> list[State]:
        return [request.state for request in self.desk.requests()]


class Person:
    """Somebody who reads what is asked, and takes a while."""

    name = "test"
    refusal = ""

    def __init__(self, say: Callable[[Request], Awaitable[Outcome]]) -> None:
        self._say = say
        self.seen: list[Request] = []

    async def ask(self, request: Request) -> Outcome:
        self.seen.append(request)
        return await self._say(request)


def saying(*, approve: bool, scope: Scope = Scope.ONCE) -> Says:
    return Says(lambda request: answer(request, approve=approve, scope=scope))


@pytest.mark.parametrize(("word", "verdict"), [("ls", Verdict.ALLOW), ("rm", Verdict.DENY)])
async def test_what_the_policy_settles_is_recorded_and_returned_as_it_is(word: str, verdict: Verdict) -> None:
    scene = Scene()
    async with scene.gate as gate:
        final = await gate.decide(command(word), asked_by="exec", call="call-1")

    assert final == evaluate(command(word))
    assert final.verdict is verdict
    assert scene.recorder.bodies == [DecisionMade(decision=final, asked_by="exec", call="call-1")]


async def test_an_approval_allows_once_and_every_step_is_on_record() -> None:
    scene = Scene(saying(approve=True))
    async with scene.gate as gate:
        final = await gate.decide(PUSH, asked_by="exec")

    assert (final.verdict, final.resolved_by) == (Verdict.ALLOW, "person")
    assert final.reasons == evaluate(PUSH).reasons
    assert scene.recorder.names() == [
        "approval.requested",
        "approval.vote",
        "approval.transition approved",
        "grant created",
        "grant used",
        "approval.transition consumed",
        "decision allow",
    ]


async def test_an_approval_for_once_is_asked_for_again_the_next_time() -> None:
    channel = saying(approve=True)
    scene = Scene(channel)
    async with scene.gate as gate:
        await gate.decide(PUSH, asked_by="exec")
        await gate.decide(PUSH, asked_by="exec")

    assert len(channel.asked) == 2


async def test_an_approval_for_the_session_is_not_asked_for_again() -> None:
    channel = saying(approve=True, scope=Scope.SESSION)
    scene = Scene(channel)
    async with scene.gate as gate:
        await gate.decide(PUSH, asked_by="exec")
        final = await gate.decide(PUSH, asked_by="exec")

    (grant,) = scene.desk.grants()
    assert len(channel.asked) == 1
    assert (final.verdict, final.resolved_by) == (Verdict.ALLOW, f"grant:{grant.id}")
    assert scene.recorder.names()[-2:] == ["grant used", "decision allow"]


async def test_a_denial_says_who_denied_and_keeps_the_reasons() -> None:
    scene = Scene(saying(approve=False))
    async with scene.gate as gate:
        final = await gate.decide(PUSH, asked_by="exec")

    assert (final.verdict, final.resolved_by) == (Verdict.DENY, "person")
    assert final.message == "denied: ada denied it (asked because: because)"
    assert [reason.rule for reason in final.reasons] == ["approvals.person", "rule"]
    assert scene.recorder.names() == [
        "approval.requested",
        "approval.vote",
        "approval.transition denied",
        "decision deny",
    ]


async def test_nobody_to_ask_is_a_deny_without_a_request() -> None:
    scene = Scene(Nobody())
    async with scene.gate as gate:
        final = await gate.decide(PUSH, asked_by="exec")

    assert (final.verdict, final.resolved_by, final.message) == (
        Verdict.DENY,
        "nobody",
        "denied: there is nobody to ask (asked because: because)",
    )
    assert scene.recorder.names() == ["decision deny"]
    assert scene.desk.requests() == ()


async def test_invariant_1_a_timeout_is_a_deny() -> None:
    scene = Scene(Queue(lambda _: None))
    async with scene.new_gate(evaluate, timeout_seconds=0) as gate:
        final = await gate.decide(PUSH, asked_by="exec")

    assert (final.verdict, final.resolved_by) == (Verdict.DENY, "timeout")
    assert scene.recorder.names() == ["approval.requested", "approval.transition expired", "decision deny"]
    assert scene.states() == [State.EXPIRED]


def fails(_: Request) -> Outcome:
    raise ConnectionError("the line is dead")


@pytest.mark.parametrize(
    ("channel", "text"),
    [
        (Says(lambda _: Unanswered(reason="the terminal went away")), "the terminal went away"),
        (Says(fails), "asking failed: the line is dead"),
        (
            Says(lambda request: msgspec.structs.replace(answer(request), seen="sha256:another")),
            "the answer does not count: what was seen is not what is asked",
        ),
    ],
    ids=["unanswered", "raises", "another prompt"],
)
async def test_invariant_1_a_channel_that_fails_is_a_deny(channel: Says, text: str) -> None:
    scene = Scene(channel)
    async with scene.gate as gate:
        final = await gate.decide(PUSH, asked_by="exec")

    assert (final.verdict, final.resolved_by) == (Verdict.DENY, "nobody")
    assert final.message == f"denied: {text} (asked because: because)"
    assert scene.recorder.names()[-1] == "decision deny"
    assert scene.states()[0] in {State.CANCELLED, State.INVALIDATED}


async def test_invariant_1_a_policy_that_cannot_be_evaluated_is_a_deny() -> None:
    def broken(action: Action) -> Decision:
        raise RecursionError("too deep")

    scene = Scene(saying(approve=True), broken)
    async with scene.gate as gate:
        final = await gate.decide(command("ls"), asked_by="exec")

    assert final.verdict is Verdict.DENY
    assert final.message == "denied: the policy could not be evaluated: too deep"
    assert scene.recorder.names() == ["decision deny"]


async def test_invariant_1_a_store_that_is_gone_is_a_deny() -> None:
    scene = Scene(saying(approve=True))
    scene.desk.requests()
    scene.desk._store.close()  # type: ignore[attr-defined]
    async with scene.gate as gate:
        final = await gate.decide(PUSH, asked_by="exec")

    assert final.verdict is Verdict.DENY
    assert "the approvals cannot be read or written" in final.message


@pytest.mark.parametrize("word", ["ls", "rm", "git"])
async def test_no_record_no_allow(word: str) -> None:
    scene = Scene(saying(approve=True, scope=Scope.SESSION))
    scene.recorder.broken = LedgerBroken("the disk is full", remedy="free some space")
    soon: list[Decision] = []
    async with scene.gate as gate:
        final = await gate.decide(command(word), asked_by="exec")
        gate.decide_soon(command(word), soon.append)

    assert [each.verdict for each in (final, *soon)] == [Verdict.DENY] * 2
    assert "the disk is full" in final.message


async def test_invariant_2_a_policy_that_changes_while_somebody_thinks_voids_the_answer() -> None:
    policies = ["sha256:one", "sha256:two"]

    def judge(action: Action) -> Decision:
        return decision(action, policy=policies[0])

    def think(request: Request) -> Outcome:
        if len(policies) > 1:
            policies.pop(0)
        return answer(request)

    channel = Says(think)
    scene = Scene(channel, judge)
    async with scene.gate as gate:
        final = await gate.decide(PUSH, asked_by="exec")

    assert [request.policy for request in channel.asked] == ["sha256:one", "sha256:two"]
    assert (final.verdict, final.policy) == (Verdict.ALLOW, "sha256:two")
    assert [request.state for request in scene.desk.requests()] == [State.CONSUMED, State.INVALIDATED]
    assert "approval.transition invalidated" in scene.recorder.names()


async def test_invariant_2_a_policy_that_now_denies_beats_the_answer() -> None:
    verdicts = [Verdict.ASK]

    def think(request: Request) -> Outcome:
        verdicts[0] = Verdict.DENY
        return answer(request)

    scene = Scene(Says(think), lambda action: decision(action, verdicts[0]))
    async with scene.gate as gate:
        final = await gate.decide(PUSH, asked_by="exec")

    assert final.verdict is Verdict.DENY
    assert scene.states() == [State.INVALIDATED]


class Waits:
    """A way of asking that answers when it is told to."""

    name = "test"
    refusal = ""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answered = asyncio.Event()
        self.number = 0
        self.approve = True

    async def ask(self, request: Request) -> Outcome:
        self.number += 1
        self.asked.set()
        await self.answered.wait()
        return answer(request, approve=self.approve)


async def test_a_question_that_nobody_waits_for_is_withdrawn() -> None:
    channel = Waits()
    scene = Scene(channel)
    async with scene.gate as gate:
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(gate.decide(PUSH, asked_by="hook"))
            await channel.asked.wait()
            asking.cancel()
        assert asking.cancelled()

    assert scene.states() == [State.CANCELLED]
    assert sorted(scene.recorder.names()) == [
        "approval.requested",
        "approval.transition cancelled",
        "decision deny",
    ]


async def test_one_who_goes_away_does_not_withdraw_the_question_of_another() -> None:
    channel = Waits()
    scene = Scene(channel)
    async with scene.gate as gate, asyncio.TaskGroup() as tasks:
        first = tasks.create_task(gate.decide(PUSH, asked_by="hook"))
        second = tasks.create_task(gate.decide(PUSH, asked_by="exec"))
        await channel.asked.wait()
        first.cancel()
        channel.answered.set()

    assert channel.number == 1
    assert second.result().verdict is Verdict.ALLOW


async def test_the_same_command_twice_at_once_is_one_question_and_one_use() -> None:
    channel = Waits()
    channel.answered.set()
    scene = Scene(channel)
    async with scene.gate as gate, asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(gate.decide(PUSH, asked_by="exec")) for _ in range(2)]

    assert [each.result().verdict for each in both] == [Verdict.ALLOW] * 2
    # The second one was answered by a question of its own: an approval for once is used once.
    assert channel.number == 2
    assert [grant.uses for grant in scene.desk.grants()] == [1, 1]


async def test_a_flock_of_connections_is_one_question_for_all_that_wait() -> None:
    channel = Waits()
    scene = Scene(channel)
    async with scene.gate as gate, asyncio.TaskGroup() as tasks:
        flock = [tasks.create_task(gate.decide(connection("host"), asked_by="gateway")) for _ in range(6)]
        await channel.asked.wait()
        channel.answered.set()

    assert [each.result().verdict for each in flock] == [Verdict.ALLOW] * 6
    assert channel.number == 1
    assert [(grant.max_uses, grant.uses) for grant in scene.desk.grants()] == [(6, 6)]


async def test_two_things_that_are_found_in_equal_requests_are_two_questions() -> None:
    upload = ConnectAction(host="host", port=443, method="POST", path="/upload")
    tokens, keys = decision(upload, Verdict.ASK, "a-token"), decision(upload, Verdict.ASK, "a-key")

    async def person(request: Request) -> Outcome:
        await asyncio.sleep(0.05)
        shown = any("a-token" in line for line in request.prompt)
        return answer(request, approve=shown, scope=Scope.SESSION)

    channel = Person(person)
    scene = Scene(channel)
    async with scene.gate as gate, asyncio.TaskGroup() as tasks:
        both = [
            tasks.create_task(gate.decide(upload, asked_by="gateway", within=lambda _, found=found: found))
            for found in (tokens, keys)
        ]

    assert [each.result().verdict for each in both] == [Verdict.ALLOW, Verdict.DENY]
    assert [request.asking for request in channel.seen] == [("user/a-token",), ("user/a-key",)]


async def test_leaving_the_gate_denies_what_is_open() -> None:
    channel = Waits()
    scene = Scene(channel)
    soon: list[Decision] = []
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks, scene.gate as gate:
        waiting = tasks.create_task(gate.decide(PUSH, asked_by="exec"))
        gate.decide_soon(connection("host"), soon.append)
        await channel.asked.wait()

    assert [each.verdict for each in (waiting.result(), *soon)] == [Verdict.DENY] * 2
    assert waiting.result().message == "denied: the session is ending (asked because: because)"
    assert set(scene.states()) == {State.CANCELLED}


async def test_a_gate_that_is_not_open_asks_nobody() -> None:
    channel = saying(approve=True)
    scene = Scene(channel)
    soon: list[Decision] = []

    final = await scene.gate.decide(PUSH, asked_by="exec")
    scene.gate.decide_soon(PUSH, soon.append)

    assert [each.verdict for each in (final, *soon)] == [Verdict.DENY] * 2
    assert channel.asked == []


async def test_soon_is_settled_by_the_receipt_and_asks_where_the_policy_does() -> None:
    scene = Scene(saying(approve=True))
    soon: list[Decision] = []
    async with scene.gate as gate:
        gate.decide_soon(command("ls"), soon.append)
        gate.decide_soon(command("rm"), soon.append)
        assert [each.verdict for each in soon] == [Verdict.ALLOW, Verdict.DENY]

        answered = asyncio.Event()

        def done(final: Decision) -> None:
            soon.append(final)
            answered.set()

        gate.decide_soon(PUSH, done)
        await answered.wait()

    assert soon[2].verdict is Verdict.ALLOW
    assert scene.recorder.names()[:2] == ["decision allow", "decision deny"]


async def test_an_answer_given_elsewhere_counts() -> None:
    said: list[str] = []
    scene = Scene(Queue(said.append))

    async def somebody_else() -> None:
        while not said:
            await asyncio.sleep(0.01)
        (request,) = scene.desk.requests()
        assert request.id in said[0]
        scene.desk.cast(vote(request, scope=Scope.SESSION))

    async with scene.gate as gate, asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(somebody_else())
        final = await gate.decide(PUSH, asked_by="exec")

    assert (final.verdict, final.resolved_by) == (Verdict.ALLOW, "person")
    assert final.message == "allowed by person:ada"
    assert "grant created" in scene.recorder.names()


async def test_an_answer_given_elsewhere_in_the_last_moment_counts() -> None:
    class LastMoment(Queue):
        async def ask(self, request: Request) -> Outcome:
            scene.desk.cast(vote(request))
            return await super().ask(request)

    scene = Scene(LastMoment(lambda _: None))
    # A deadline that passes at once, and a desk whose own clock has not reached it.
    scene.gate._clock = LateClock(scene.time)  # type: ignore[attr-defined]
    async with scene.gate as gate, asyncio.timeout(5):
        final = await gate.decide(PUSH, asked_by="exec")

    assert (final.verdict, final.resolved_by) == (Verdict.ALLOW, "person")


class LateClock:
    """A clock that is far ahead of another."""

    def __init__(self, time: Time) -> None:
        self._time = time

    def monotonic(self) -> float:
        return self._time.monotonic()

    def time_ns(self) -> int:
        return self._time.time_ns() + 3_600_000_000_000


async def test_invariant_13_every_transition_is_one_event_with_actor_and_latency() -> None:
    scene = Scene(saying(approve=False))
    async with scene.gate as gate:
        await gate.decide(PUSH, asked_by="exec")

    (request,) = scene.desk.requests()
    transition = msgspec.to_builtins(scene.recorder.bodies[2])
    assert transition == {
        "event": "approval.transition",
        "request": request.id,
        "before": "pending",
        "after": "denied",
        "actor": "person:ada",
        "channel": "test",
        "reason": "",
        "latency_ms": 0,
        "authentication": "account",
        "shown": request.shown,
        "action": request.digest,
        "policy": request.policy,
    }


async def test_invariant_7_an_approval_never_changes_the_placement() -> None:
    scene = Scene(saying(approve=True, scope=Scope.REPO))
    async with scene.gate as gate:
        final = await gate.decide(PUSH, asked_by="exec")

    assert final.placement is evaluate(PUSH).placement
    assert final.action == PUSH


async def test_an_answer_is_held_to_the_plan_that_was_asked_about() -> None:
    scene = Scene(saying(approve=True), judge=lambda action: decision(action, Verdict.ALLOW))
    async with scene.gate as gate:
        final = await gate.decide(PUSH, asked_by="shell", within=evaluate)

    assert (final.verdict, final.resolved_by) == (Verdict.ALLOW, "person")


async def test_a_script_that_changes_while_it_is_reviewed_is_left_to_people() -> None:
    scene = Scene()
    content = iter(("before", "after"))

    async def review(_: Decision) -> Reviewed:
        return Reviewed(reviewer="r", conclusion=Conclusion.ALLOW)

    gate = Gate(
        evaluate=evaluate,
        desk=scene.desk,
        channel=scene.channel,
        recorder=scene.recorder,
        clock=scene.time,
        site=SITE,
        witness=lambda _: next(content),
        review=review,
    )
    async with gate:
        final = await gate.decide(PUSH, asked_by="exec")

    assert (final.verdict, final.resolved_by) == (Verdict.DENY, "nobody")


async def test_a_reviewer_lets_nothing_out_of_the_sandbox() -> None:
    scene = Scene()
    asked: list[Decision] = []

    async def review(one: Decision) -> Reviewed:
        asked.append(one)
        return Reviewed(reviewer="r", conclusion=Conclusion.ALLOW)

    def outside(action: Action) -> Decision:
        return msgspec.structs.replace(evaluate(action), placement=Placement.OUTSIDE)

    gate = Gate(
        evaluate=evaluate,
        desk=scene.desk,
        channel=scene.channel,
        recorder=scene.recorder,
        clock=scene.time,
        site=SITE,
        review=review,
    )
    async with gate:
        within = await gate.decide(PUSH, asked_by="exec")
        beyond = await gate.decide(PUSH, asked_by="exec", within=outside)

    assert (within.verdict, within.resolved_by) == (Verdict.ALLOW, "reviewer")
    assert (beyond.verdict, beyond.resolved_by) == (Verdict.DENY, "nobody")
    assert len(asked) == 1
