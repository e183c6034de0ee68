"""What a step finds in a request is a question like any other: asked once, remembered as the answer says, withdrawn
with the client, and never answered by a yes to something else."""

from __future__ import annotations

import asyncio

import msgspec
from tests.approvals.made import Says, answer
from tests.approvals.test_gate import Scene
from tests.egress.inspecting import inspecting, leave, server, tunnel
from tests.egress.test_inspected import OK
from tests.egress.test_inspected import answer as heard_of
from tests.egress.test_inspected_steps import Served

from ringfence.approvals.channels.queue import Queue
from ringfence.approvals.objects import Scope
from ringfence.approvals.transitions import State
from ringfence.egress.http_head import RequestHead
from ringfence.egress.inspection import Held, Request, Steps
from ringfence.egress.refusal import built_in
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Verdict
from ringfence.model.event import DecisionMade
from ringfence.session.network import confirming

POST = b"POST /p HTTP/1.1\r\nHost: a.test:%d\r\nContent-Length: 5\r\n\r\n12345"
ACTION = ConnectAction(host="a.test", port=443, method="POST", path="/p")


def found(action: ConnectAction, rule: str = "content.secret") -> Decision:
    """What a step asks."""
    denial = built_in(action, rule, "it holds what looks like a key")
    reasons = tuple(msgspec.structs.replace(one, verdict=Verdict.ASK) for one in denial.reasons)
    return msgspec.structs.replace(denial, verdict=Verdict.ASK, reasons=reasons, resolved_by="policy")


class Asks(Steps):
    """Asks about every request."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def request(self, head: RequestHead) -> RequestHead | Held:
        return Held(decision=found(self._request.action), head=head)


async def put(scene: Scene, *decisions: Decision) -> list[Decision]:
    """The answers to questions that steps ask at the same time."""
    answers: list[Decision] = []
    async with scene.gate as gate, asyncio.timeout(5):
        confirm = confirming(gate, "p" * 64)
        for one in decisions:
            confirm(one, answers.append)
        while len(answers) < len(decisions):
            await asyncio.sleep(0.001)
    return answers


async def test_a_finding_is_asked_about_once_for_all_who_wait() -> None:
    says = Says(lambda request: answer(request, approve=True, scope=Scope.SESSION))
    scene = Scene(says)

    answers = await put(scene, found(ACTION), found(ACTION))

    assert [(one.verdict, one.policy) for one in answers] == [(Verdict.ALLOW, "p" * 64)] * 2
    assert len(says.asked) == 1
    recorded = [body.decision for body in scene.recorder.bodies if isinstance(body, DecisionMade)]
    assert recorded == answers


async def test_a_yes_to_the_destination_is_no_yes_to_a_finding() -> None:
    content = ("built-in/content.secret",)
    says = Says(lambda request: answer(request, approve=request.asking != content, scope=Scope.SESSION))
    scene = Scene(says)
    async with scene.gate as gate, asyncio.timeout(5):
        connection = await gate.decide(ACTION, asked_by="gateway")
        answers: list[Decision] = []
        confirming(gate, "p" * 64)(found(ACTION), answers.append)
        while not answers:
            await asyncio.sleep(0.001)

    assert (connection.verdict, answers[0].verdict) == (Verdict.ALLOW, Verdict.DENY)
    assert [request.asking == content for request in says.asked] == [False, True]


async def test_a_question_that_no_rule_asks_is_denied() -> None:
    scene = Scene(Says(lambda request: answer(request, approve=True)))
    nameless = msgspec.structs.replace(found(ACTION), reasons=built_in(ACTION, "content.secret", "it").reasons)

    answers = await put(scene, nameless)

    assert [one.verdict for one in answers] == [Verdict.DENY]
    assert scene.states() == []


async def test_a_request_goes_on_after_the_yes_of_the_session() -> None:
    scene = Scene(Says(lambda request: answer(request, approve=True)))
    served = Served()
    async with (
        scene.gate as gate,
        server(served) as port,
        inspecting(amendments=(Asks,), confirm=confirming(gate, "p" * 64)) as gateway,
        asyncio.timeout(5),
    ):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(POST % port)
        heard = await heard_of(reader)
        await leave(writer)

    assert heard == OK
    assert bytes(served.heard).endswith(b"12345")


async def test_a_client_that_goes_withdraws_the_question_of_a_step() -> None:
    scene = Scene(Queue(lambda _: None))
    served = Served()
    async with (
        scene.gate as gate,
        server(served) as port,
        inspecting(amendments=(Asks,), confirm=confirming(gate, "p" * 64)) as gateway,
        asyncio.timeout(5),
    ):
        _, writer = await tunnel(gateway.port, port)
        writer.write(POST % port)
        while not scene.states():
            await asyncio.sleep(0.005)
        await leave(writer)
        while scene.states() == [State.PENDING]:
            await asyncio.sleep(0.005)

    assert scene.states() == [State.CANCELLED]
    assert bytes(served.heard) == b""
