"""What the policy lets an answer do: who gives it, how far it reaches, and when it needs a reason."""

from __future__ import annotations

import msgspec
import pytest
from tests.approvals.made import SITE, Memory, Says, Time, answer, command, decision, desk_at, opened, vote

from ringfence.approvals.gate import Gate
from ringfence.approvals.objects import Request, Scope
from ringfence.approvals.permission import Permission, Quorum
from ringfence.approvals.prompt import prompt
from ringfence.approvals.voting import Threshold
from ringfence.model.action import Action
from ringfence.model.decision import Decision, Verdict

PUSH = command("git", "push")
OVERRIDE = msgspec.structs.replace(decision(PUSH, Verdict.DENY), verdict=Verdict.ASK, override=True)


def is_member(name: str, group: str) -> bool:
    return (name, group) in {("ada", "ops")}


@pytest.mark.parametrize(
    ("lists", "refused"),
    [
        ((), False),
        ((("ada",),), False),
        ((("@ops",),), False),
        ((("@ops", "bob"), ("ada",)), False),
        ((("bob",),), True),
        ((("ada",), ("@security",)), True),
    ],
)
def test_whoever_answers_has_to_be_on_every_list(lists: tuple[tuple[str, ...], ...], refused: bool) -> None:
    permission = Permission(approvers=lists, is_member=is_member)

    assert bool(permission.refusal("person:ada", override=False)) is refused


def test_an_override_needs_those_who_may_override_too() -> None:
    permission = Permission(approvers=(("ada",),), overriders=(("@security",),), is_member=is_member)

    assert permission.refusal("person:ada", override=False) == ""
    assert permission.refusal("person:ada", override=True) == (
        "`ada` may not override under this policy; `@security` may"
    )


def gate(channel: Says, permission: Permission, recorder: Memory, judged: Decision) -> Gate:
    time = Time()

    def evaluate(action: Action) -> Decision:
        return msgspec.structs.replace(judged, action=action)

    return Gate(
        evaluate=evaluate,
        desk=desk_at(":memory:", time),
        channel=channel,
        recorder=recorder,
        clock=time,
        site=msgspec.structs.replace(SITE, permission=permission),
    )


async def test_the_yes_of_somebody_who_may_not_give_it_is_a_deny() -> None:
    channel = Says(lambda request: answer(request, scope=Scope.ONCE))

    async with gate(channel, Permission(approvers=(("bob",),)), Memory(), decision(PUSH)) as open_gate:
        final = await open_gate.decide(PUSH, asked_by="exec")

    assert final.verdict is Verdict.DENY
    assert "`ada` may not approve under this policy; `bob` may" in final.message


@pytest.mark.parametrize("rule", ["push", "network.ask:10.0.0.0/8", "mcp:forge/merge"])
def test_a_remembered_answer_is_not_used_where_its_rule_takes_more_people_by_now(rule: str) -> None:
    desk = desk_at(":memory:", Time())
    asked = decision(PUSH, Verdict.ASK, rule)
    desk.cast(vote(opened(desk, asked), scope=Scope.SESSION))
    two = Permission(quorums=(Quorum(threshold=Threshold(approve=2), rules=(rule,)),))

    assert desk.use_remembered(asked, session="session-1", workspace="/w", permission=two) is None
    assert desk.use_remembered(asked, session="session-1", workspace="/w", permission=Permission()) is not None


async def test_a_remembered_answer_wider_than_the_policy_permits_is_not_used() -> None:
    time = Time()
    desk = desk_at(":memory:", time)
    desk.cast(vote(opened(desk, decision(PUSH)), scope=Scope.REPO))
    here = {"session": "session-1", "workspace": "/w"}

    assert desk.use_remembered(decision(PUSH), **here, permission=Permission(widest=Scope.SESSION)) is None
    assert desk.use_remembered(decision(PUSH), **here, permission=Permission(approvers=(("bob",),))) is None
    assert desk.use_remembered(decision(PUSH), **here, permission=Permission(days=2)) is not None
    time.pass_seconds(3 * 24 * 3600)
    assert desk.use_remembered(decision(PUSH), **here, permission=Permission(days=2)) is None
    assert desk.use_remembered(decision(PUSH), **here) is not None


def test_an_answer_wider_than_the_policy_permits_does_not_count() -> None:
    desk = desk_at(":memory:", Time())
    request, _ = desk.open(
        decision(PUSH), session="s", workspace="/w", channel="c", prompt=("?",), seconds=60, widest=Scope.ONCE
    )

    cast = desk.cast(vote(request, scope=Scope.SESSION))

    assert cast is not None
    assert (cast.counted, cast.problem) == (False, "the policy permits an answer for `once` at most")


@pytest.mark.parametrize(
    ("scope", "reason", "problem"),
    [
        (Scope.ONCE, "an emergency", ""),
        (Scope.ONCE, "  ", "it overrides a rule that denies, so it needs a reason: `--reason`"),
        (Scope.SESSION, "an emergency", "the policy permits an answer for `once` at most"),
    ],
)
def test_an_override_holds_once_and_needs_a_reason(scope: Scope, reason: str, problem: str) -> None:
    desk = desk_at(":memory:", Time())
    request = opened(desk, OVERRIDE)

    cast = desk.cast(msgspec.structs.replace(vote(request, scope=scope), reason=reason))

    assert cast is not None
    assert (cast.counted, cast.problem) == (not problem, problem)


async def test_an_override_is_asked_for_again_each_time() -> None:
    def say(request: Request) -> object:
        return msgspec.structs.replace(answer(request), reason="an emergency")

    channel = Says(say)  # type: ignore[arg-type]
    async with gate(channel, Permission(), Memory(), OVERRIDE) as open_gate:
        verdicts = [(await open_gate.decide(PUSH, asked_by="exec")).verdict for _ in range(2)]

    assert (verdicts, len(channel.asked)) == ([Verdict.ALLOW, Verdict.ALLOW], 2)


def test_a_person_sees_that_a_yes_would_override() -> None:
    lines = "\n".join(prompt(OVERRIDE))

    assert "override a yes overrides a rule that denies: it holds once, and needs a reason" in lines
    assert "because  because (rule rule" in lines
    assert "would remember" not in lines
