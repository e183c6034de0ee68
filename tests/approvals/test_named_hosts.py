"""A host that an approved command names is not asked about a second time, and nothing else comes with it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from tests.approvals.made import SITE, Memory, Says, Time, answer, command, connection, decision, desk_at
from tests.policy.making import EMPTY, document, policy

from ringfence.approvals.desk import Desk
from ringfence.approvals.gate import Gate
from ringfence.approvals.named_hosts import MAX_HOSTS, NamedHosts
from ringfence.approvals.objects import Grant, Scope
from ringfence.approvals.prompt import prompt
from ringfence.model.action import Action, CommandAction, ConnectAction, Effect, EffectKind
from ringfence.model.decision import Decision, Placement, Verdict
from ringfence.policy.evaluate import Context, Evaluator

FETCH = command("curl", "https://a.example/")


def evaluate(action: Action) -> Decision:
    """The command names `a.example:443`; the rule `strict` asks about `b.example` only when it connects."""
    asked = decision(action)
    if isinstance(action, CommandAction):
        effects = (Effect(kind=EffectKind.CONNECT, object="a.example:443"),)
        return msgspec.structs.replace(asked, effects=effects)
    return decision(action, Verdict.ASK, "rule", "strict") if action == connection("a.example", 8443) else asked


class Scene:
    """A gate with somebody who says yes."""

    def __init__(self, judge: Callable[[Action], Decision] = evaluate) -> None:
        self.time = Time()
        self.recorder = Memory()
        self.desk: Desk = desk_at(":memory:", self.time)
        self.asked = Says(lambda request: answer(request, approve=True, scope=Scope.ONCE))
        self.judge = judge
        self.gate = self.new_gate()

    def new_gate(self) -> Gate:
        return Gate(
            evaluate=self.judge,
            desk=self.desk,
            channel=self.asked,
            recorder=self.recorder,
            clock=self.time,
            site=SITE,
        )

    async def decide(self, action: Action) -> Decision:
        return await self.gate.decide(action, asked_by="test")

    @property
    def questions(self) -> list[Action]:
        return [request.action for request in self.asked.asked]


async def test_the_connection_of_an_approved_command_needs_no_second_answer() -> None:
    scene = Scene()
    async with scene.gate:
        await scene.decide(FETCH)
        final = await scene.decide(connection("a.example"))

    grant = scene.desk.grants()[0]
    assert scene.questions == [FETCH]
    assert (final.verdict, final.resolved_by) == (Verdict.ALLOW, f"grant:{grant.id}")


@pytest.mark.parametrize("other", [connection("b.example"), connection("a.example", 8443)])
async def test_another_host_or_port_is_asked_about(other: ConnectAction) -> None:
    scene = Scene()
    async with scene.gate:
        await scene.decide(FETCH)
        await scene.decide(other)

    assert scene.questions == [FETCH, other]


async def test_the_answer_ends_after_a_few_minutes() -> None:
    scene = Scene()
    async with scene.gate:
        await scene.decide(FETCH)
        scene.time.pass_seconds(301)
        await scene.decide(connection("a.example"))

    assert scene.questions == [FETCH, connection("a.example")]


async def test_a_yes_to_one_request_answers_no_other_request_of_its_host() -> None:
    rules = "[[network.rule]]\nhosts = ['a.example']\nmethods = ['POST']\nverdict = 'ask'\n"
    scene = Scene(Evaluator(policy(document(rules), base=EMPTY), Context(home="/home/u", workspace="/w")).evaluate)
    harmless, harmful = (
        ConnectAction(host="a.example", port=443, method="POST", path=path) for path in ("/comment", "/delete")
    )
    async with scene.gate:
        await scene.decide(harmless)
        await scene.decide(harmful)
        await scene.decide(harmless)

    assert scene.questions == [harmless, harmful, harmless]


@pytest.mark.parametrize("scope", [Scope.SESSION, Scope.REPO])
async def test_an_answer_to_one_rule_is_none_to_another_one_about_the_same_host(scope: Scope) -> None:
    rules = "[[network.rule]]\nhosts = ['a.example']\nmethods = ['POST']\npaths = ['/comment']\nverdict = 'ask'\n"
    rules += "[[network.rule]]\nhosts = ['a.example']\nmethods = ['DELETE']\nverdict = 'ask'\n"
    scene = Scene(Evaluator(policy(document(rules), base=EMPTY), Context(home="/home/u", workspace="/w")).evaluate)
    scene.asked = Says(lambda request: answer(request, approve=True, scope=scope))
    scene.gate = scene.new_gate()
    comment, delete = (
        ConnectAction(host="a.example", port=443, method=method, path=path)
        for method, path in (("POST", "/comment"), ("DELETE", "/repo"))
    )
    async with scene.gate:
        await scene.decide(comment)
        await scene.decide(comment)
        await scene.decide(delete)

    assert scene.questions == [comment, delete]


async def test_a_revoked_approval_opens_nothing() -> None:
    scene = Scene()
    async with scene.gate:
        await scene.decide(FETCH)
        assert scene.desk.revoke(scene.desk.grants()[0].id)
        await scene.decide(connection("a.example"))

    assert scene.questions == [FETCH, connection("a.example")]


def grant() -> Grant:
    return Grant(
        id="g",
        request="r",
        matcher="exact:x",
        scope=Scope.ONCE,
        session="s",
        workspace="/w",
        placement=Placement.INSIDE,
        policy="p",
        asking=(),
        created_ns=0,
        expires_ns=10**18,
        approver="person:ada",
    )


def test_a_rule_that_did_not_ask_about_the_command_was_not_answered() -> None:
    hosts = NamedHosts()
    hosts.note(evaluate(FETCH), grant(), 0)

    assert hosts.answer(decision(connection("a.example"), Verdict.ASK, "rule", "paths"), 1) is None
    assert hosts.answer(decision(connection("a.example"), Verdict.ASK, "rule"), 1) == grant()


def test_another_policy_asks_again() -> None:
    hosts = NamedHosts()
    hosts.note(evaluate(FETCH), grant(), 0)

    assert hosts.answer(decision(connection("a.example"), policy="sha256:other"), 1) is None


def test_what_is_kept_is_bounded() -> None:
    hosts = NamedHosts()
    names = [Effect(kind=EffectKind.CONNECT, object=f"h{at}.example:443") for at in range(MAX_HOSTS + 1)]
    hosts.note(msgspec.structs.replace(decision(FETCH), effects=tuple(names)), grant(), 0)

    assert hosts.answer(decision(connection("h0.example")), 1) is None
    assert hosts.answer(decision(connection(f"h{MAX_HOSTS}.example")), 1) == grant()


def test_the_question_says_which_hosts_a_yes_opens() -> None:
    assert "  opens    a.example:443 for 5 minutes" in prompt(evaluate(FETCH))


def test_a_yes_to_a_command_overrides_no_denial_of_its_host() -> None:
    hosts = NamedHosts()
    hosts.note(evaluate(FETCH), grant(), 0)
    softly_denied = msgspec.structs.replace(decision(connection("a.example"), Verdict.ASK, "rule"), override=True)

    assert hosts.answer(softly_denied, 1) is None
