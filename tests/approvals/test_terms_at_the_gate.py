"""The gate with more than one person: sets of people, the ladder, the breaker, a broken glass, changed files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from tests.approvals.made import SITE, Memory, Says, Time, answer, command, counting, decision

from ringfence.approvals.breaker import Limits
from ringfence.approvals.channels.channel import Outcome, Unanswered
from ringfence.approvals.channels.deny import Nobody
from ringfence.approvals.desk import Desk
from ringfence.approvals.gate import Gate
from ringfence.approvals.glass import Glass
from ringfence.approvals.objects import Request, Scope, Vote
from ringfence.approvals.permission import Permission, Quorum
from ringfence.approvals.stores.sqlite import SqliteStore
from ringfence.approvals.transitions import State
from ringfence.approvals.voting import OWNER, Step, Threshold
from ringfence.model.action import Action
from ringfence.model.decision import Decision, Risk, Verdict
from ringfence.model.event import ApprovalTransition, BreakerChanged, BreakGlassChanged, GrantChanged, VoteTaken

PUSH = command("git", "push")
TWO = Permission(owner="person:ada", quorums=(Quorum(threshold=Threshold(who=("sue", "sam"), approve=2)),))
NOT_ALONE = Permission(owner="person:ada", self_approval=False)


def evaluate(action: Action) -> Decision:
    return decision(action)


class Scene:
    """A gate whose questions several people may answer."""

    def __init__(
        self,
        permission: Permission,
        say: Callable[[Request], Outcome] | None = None,
        *,
        limits: Limits | None = None,
        witness: Callable[[Decision], str] = lambda _: "",
        judge: Callable[[Action], Decision] = evaluate,
    ) -> None:
        self.time = Time()
        self.store = SqliteStore(":memory:")
        self.desk = Desk(self.store, self.time.time_ns, counting())
        self.glass = Glass(self.store, self.time.time_ns, counting("glass"))
        self.recorder = Memory()
        self.told: list[str] = []
        self.channel = Says(say) if say else Nobody()
        self.turns = 0
        self.permission = permission
        self.gate = Gate(
            evaluate=judge,
            desk=self.desk,
            channel=self.channel,
            recorder=self.recorder,
            clock=self.time,
            site=msgspec.structs.replace(SITE, permission=permission),
            glass=self.glass,
            limits=limits,
            turn=lambda: self.turns,
            witness=witness,
            tell=self.told.append,
        )

    async def pending(self) -> Request:
        """The open request, once there is one."""
        while not (found := [one for one in self.desk.requests() if one.state is State.PENDING]):
            await asyncio.sleep(0)
        return found[0]

    def vote(self, request: Request, who: str, *, approve: bool = True, scope: Scope = Scope.ONCE) -> str:
        """Answer from elsewhere; why it does not count."""
        cast = self.desk.cast(
            Vote(
                id=f"{who}-{request.id}-{approve}",
                request=request.id,
                approver=f"person:{who}",
                approve=approve,
                seen=request.shown,
                scope=scope,
                channel="command",
            )
        )
        assert cast is not None
        return cast.problem

    def of(self, kind: type) -> list[object]:
        return [body for body in self.recorder.bodies if isinstance(body, kind)]


def never(request: Request) -> Outcome:
    return Unanswered(reason="the terminal went away")


async def decided(scene: Scene, during: Callable[[Request], object]) -> Decision:
    """What is decided about a push, where something happens while it waits."""
    async with scene.gate as gate, asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(gate.decide(PUSH, asked_by="exec"))
        request = await scene.pending()
        for _ in range(20):
            await asyncio.sleep(0)
        during(request)
    return waiting.result()


async def test_invariant_3_the_owners_yes_is_refused_and_the_question_waits_for_two_others() -> None:
    scene = Scene(TWO, answer)

    def others(request: Request) -> None:
        assert "`ada` may not approve this; `sue`, `sam` may" in scene.told[0]
        assert scene.vote(request, "sue") == ""
        assert scene.desk.request(request.id) == request
        assert scene.vote(request, "sam") == ""

    final = await decided(scene, others)

    assert (final.verdict, final.message) == (Verdict.ALLOW, "allowed by person:sue, person:sam")
    refused, *counted = scene.of(VoteTaken)
    assert [(one.vote.approver, bool(one.refused)) for one in (refused, *counted)] == [  # type: ignore[attr-defined]
        ("person:ada", True),
        ("person:sue", False),
        ("person:sam", False),
    ]


async def test_invariant_3_one_yes_of_two_is_no_deny_and_no_allow() -> None:
    scene = Scene(TWO, never)

    def one(request: Request) -> None:
        scene.vote(request, "sue")
        scene.vote(request, "tom", approve=False)
        assert scene.desk.request(request.id) == request
        scene.vote(request, "sam", approve=False)

    final = await decided(scene, one)

    assert (final.verdict, final.resolved_by) == (Verdict.DENY, "person")
    assert "sam denied it" in final.message


async def test_a_session_that_nobody_may_approve_alone_waits_for_somebody_else() -> None:
    scene = Scene(NOT_ALONE, answer)

    final = await decided(scene, lambda request: scene.vote(request, "bob"))

    assert final.message == "allowed by person:bob"


async def test_a_remembered_answer_of_one_is_not_enough_once_the_policy_wants_two() -> None:
    scene = Scene(TWO, never)
    alone = scene.desk.open(decision(PUSH), session="s", workspace="/w", channel="t", prompt=("?",), seconds=60)[0]
    scene.vote(alone, "sue", scope=Scope.REPO)

    def both(request: Request) -> None:
        assert [grant.approver for grant in scene.desk.grants()] == ["person:sue"]
        scene.vote(request, "sue")
        scene.vote(request, "sam")

    assert (await decided(scene, both)).resolved_by == "person"


LADDER = Permission(owner="person:ada", steps=(Step(who=(OWNER,)), Step(who=("tom",), after_seconds=30)))


async def test_the_ladder_asks_the_next_after_their_time_and_says_so() -> None:
    scene = Scene(LADDER, never)

    def climb(request: Request) -> None:
        # The terminal went away, so that the next are asked without waiting for their time.
        assert scene.desk.step_of(scene.desk.requests()[0]) == 1
        assert scene.vote(request, "tom") == ""

    final = await decided(scene, climb)

    assert final.message == "allowed by person:tom"
    assert any("now asked as well: `tom`" in text for text in scene.told)
    climbed = [one for one in scene.of(ApprovalTransition) if one.after == "pending"]  # type: ignore[attr-defined]
    assert [one.reason for one in climbed] == ["now asked as well: `tom`"]  # type: ignore[attr-defined]


async def test_who_is_not_asked_yet_does_not_count_yet() -> None:
    quiet = asyncio.Event()
    scene = Scene(LADDER, answer)

    async def wait(request: Request) -> Outcome:
        await quiet.wait()
        return answer(request)

    scene.channel.ask = wait  # type: ignore[method-assign,assignment]

    def early(request: Request) -> None:
        assert "`tom` is not asked yet: whoever runs the session is" in scene.vote(request, "tom")
        scene.time.pass_seconds(30)
        assert scene.vote(request, "tom") == ""

    assert (await decided(scene, early)).message == "allowed by person:tom"


async def test_invariant_8_after_three_denials_nothing_is_asked_until_the_person_speaks() -> None:
    scene = Scene(Permission(), lambda request: answer(request, approve=False))
    async with scene.gate as gate:
        finals = [await gate.decide(command("git", "push", str(number)), asked_by="hook") for number in range(5)]
        scene.turns += 1
        spoken = await gate.decide(command("git", "push", "again"), asked_by="hook")

    assert [final.resolved_by for final in finals] == ["person"] * 3 + ["breaker"] * 2
    assert "3 questions in a row were denied" in finals[3].message
    assert spoken.resolved_by == "person"
    assert [one.state for one in scene.of(BreakerChanged)] == ["open", "closed"]  # type: ignore[attr-defined]


async def test_invariant_8_what_a_rule_denies_and_what_nobody_answers_do_not_count() -> None:
    scene = Scene(Permission(), never, limits=Limits(in_a_row=1))
    async with scene.gate as gate:
        finals = [await gate.decide(command("git", "push", str(number)), asked_by="hook") for number in range(3)]

    assert [final.resolved_by for final in finals] == ["nobody"] * 3


GLASS = Permission(owner="person:ada", self_approval=False, break_glass=(("ada",),))


def smashed(scene: Scene, workspace: str = "/w") -> str:
    return scene.glass.smash(
        who="person:ada",
        reason="the site is down",
        ticket="",
        workspace=workspace,
        seconds=600,
        permission=scene.permission,
    ).id


async def test_a_broken_glass_allows_marks_and_tells() -> None:
    scene = Scene(GLASS)
    glass = smashed(scene)
    async with scene.gate as gate:
        final = await gate.decide(PUSH, asked_by="exec")

    (grant,) = scene.desk.grants()
    assert (final.verdict, final.resolved_by) == (Verdict.ALLOW, "break-glass")
    assert (grant.break_glass, grant.scope, grant.uses, grant.approver) == (glass, Scope.ONCE, 1, "person:ada")
    assert [one.break_glass for one in scene.of(GrantChanged)] == [glass, glass]  # type: ignore[attr-defined]
    assert [one.change for one in scene.of(BreakGlassChanged)] == ["used"]  # type: ignore[attr-defined]
    assert "ada broke the glass" in scene.told[0]


async def test_a_glass_that_is_broken_while_a_question_waits_answers_it() -> None:
    scene = Scene(GLASS, never)

    final = await decided(scene, lambda _: smashed(scene))

    assert final.resolved_by == "break-glass"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda scene: scene.time.pass_seconds(601),
        lambda scene: scene.time.pass_seconds(-3600),
        lambda scene: scene.glass.end("glass-001"),
    ],
    ids=["its time is over", "the clock was set back", "it was ended"],
)
async def test_a_broken_glass_that_is_over_allows_nothing(spoil: Callable[[Scene], object]) -> None:
    scene = Scene(GLASS)
    smashed(scene)
    spoil(scene)
    async with scene.gate as gate:
        final = await gate.decide(PUSH, asked_by="exec")

    assert (final.verdict, final.resolved_by) == (Verdict.DENY, "nobody")


@pytest.mark.parametrize("permission", [NOT_ALONE, msgspec.structs.replace(GLASS, break_glass=(("ada",), ("bob",)))])
async def test_a_glass_broken_by_somebody_whom_this_policy_does_not_let_is_no_broken_glass(
    permission: Permission,
) -> None:
    scene = Scene(permission)
    scene.permission = GLASS
    smashed(scene)
    async with scene.gate as gate:
        final = await gate.decide(PUSH, asked_by="exec")

    assert final.verdict is Verdict.DENY


async def test_a_broken_glass_holds_in_its_own_workspace_and_not_for_what_is_denied() -> None:
    elsewhere = Scene(GLASS)
    smashed(elsewhere, "/other")
    denied = Scene(GLASS, judge=lambda action: decision(action, Verdict.DENY))
    smashed(denied)

    finals = []
    for scene in (elsewhere, denied):
        async with scene.gate as gate:
            finals.append(await gate.decide(PUSH, asked_by="exec"))

    assert [final.verdict for final in finals] == [Verdict.DENY, Verdict.DENY]


async def test_invariant_2_a_file_that_changes_while_somebody_reads_is_asked_about_again() -> None:
    files = ["before"]
    asked: list[Request] = []

    def swap(request: Request) -> Outcome:
        asked.append(request)
        if len(asked) == 1:
            files[0] = "after"
        return answer(request)

    scene = Scene(Permission(), swap, witness=lambda _: files[0])
    async with scene.gate as gate:
        final = await gate.decide(PUSH, asked_by="exec")

    assert final.verdict is Verdict.ALLOW
    assert [request.witness for request in asked] == ["before", "after"]
    assert [request.state for request in scene.desk.requests()] == [State.CONSUMED, State.INVALIDATED]
    assert [grant.revoked_ns is not None for grant in scene.desk.grants()] == [False, True]


async def test_invariant_10_a_yes_after_a_denial_by_a_reviewer_is_honoured() -> None:
    permission = Permission(owner="person:ada", reviewer_up_to=Risk.CRITICAL)
    by = ["reviewer:model", "person:ada"]

    def say(request: Request) -> Outcome:
        who = by.pop(0)
        given = answer(request, approve=who == "person:ada")
        return msgspec.structs.replace(given, approver=who)

    scene = Scene(permission, say)
    async with scene.gate as gate:
        first, second = [await gate.decide(PUSH, asked_by="hook") for _ in range(2)]

    assert [first.verdict, second.verdict] == [Verdict.DENY, Verdict.ALLOW]


async def test_invariant_13_votes_and_transitions_carry_who_how_and_what_was_shown() -> None:
    scene = Scene(TWO, never)

    def two(request: Request) -> None:
        scene.vote(request, "sue")
        scene.vote(request, "sam")

    await decided(scene, two)

    (request,) = scene.desk.requests()
    moves = [one for one in scene.of(ApprovalTransition) if isinstance(one, ApprovalTransition)]
    assert [(one.before, one.after, one.actor, one.channel, one.authentication) for one in moves] == [
        ("pending", "pending", "person:sue", "command", "account"),
        ("pending", "approved", "person:sue, person:sam", "command", "account"),
        ("approved", "consumed", "session", "test", ""),
    ]
    assert {(one.shown, one.action, one.policy) for one in moves} == {(request.shown, request.digest, request.policy)}
