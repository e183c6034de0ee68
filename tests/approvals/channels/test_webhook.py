"""What webhooks are sent, and which of their answers are votes."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import msgspec
import pytest
from tests.approvals.made import Time, command, decision, desk_at

from ringfence.approvals.channels import webhook
from ringfence.approvals.channels.webhook import Answered
from ringfence.approvals.objects import Request
from ringfence.approvals.prompt import prompt
from ringfence.model.decision import Risk
from ringfence.model.vote import Authentication, Vote


def request(risk: Risk = Risk.LOW, *argv: str) -> Request:
    wanted = msgspec.structs.replace(decision(command(*(argv or ("git", "push")))), risk=risk)
    return desk_at(":memory:", Time()).open(
        wanted, session="s", workspace="/w", channel="queue", prompt=prompt(wanted), seconds=60
    )[0]


def choices(message: bytes) -> list[str]:
    rows = [block["elements"] for block in json.loads(message)["blocks"] if block["type"] == "actions"]
    return [button["action_id"] for row in rows for button in row]


def test_a_generic_webhook_gets_the_lines_and_their_digest() -> None:
    asked = request()

    told = json.loads(webhook.generic(asked, "https://answers.example/{id}", brings=True))

    assert told == {
        "schema": 1,
        "event": "approval.requested",
        "request": asked.id,
        "prompt": list(asked.prompt),
        "seen": asked.shown,
        "risk": "low",
        "expires_ms": asked.expires_ns // 1_000_000,
        "link": f"https://answers.example/{asked.id}",
        "may_approve": True,
    }


@pytest.mark.parametrize("risk", [Risk.HIGH])
def test_high_risk_has_a_link_and_no_button_that_approves(risk: Risk) -> None:
    link = "https://answers.example/{id}"

    assert choices(webhook.slack(request(Risk.LOW), link, brings=True)) == ["deny", "approve", "open"]
    assert choices(webhook.slack(request(risk), link, brings=True)) == ["deny", "open"]
    assert json.loads(webhook.generic(request(risk), link, brings=True))["may_approve"] is False


def test_what_is_not_shown_whole_has_no_button_that_approves() -> None:
    message = webhook.slack(request(Risk.LOW, "echo", "x" * 4000), "", brings=True)

    assert choices(message) == ["deny"]
    assert "NOT ALL OF IT IS SHOWN" in message.decode()


def test_who_brings_no_answers_has_no_buttons() -> None:
    assert choices(webhook.slack(request(), "", brings=False)) == []


def test_a_pressed_button_is_the_answer_that_it_says() -> None:
    asked = request()
    blocks = json.loads(webhook.slack(asked, "", brings=True))["blocks"]
    value = blocks[1]["elements"][1]["value"]
    payload = {"type": "block_actions", "user": {"id": "U1"}, "actions": [{"value": value}], "more": 1}

    answered = webhook.read_slack(urlencode({"payload": json.dumps(payload)}).encode())

    assert answered == Answered(request=asked.id, answer="approve", user="U1", seen=asked.shown)
    assert webhook.vote_of(answered, "chat", {"U1": "ada"}, "mark") == Vote(
        id=webhook.vote_of(answered, "chat", {"U1": "ada"}, "mark").id,  # type: ignore[union-attr]
        request=asked.id,
        approver="person:ada",
        approve=True,
        seen=asked.shown,
        channel="webhook:chat",
        authentication=Authentication.SIGNED,
    )


def test_the_same_message_is_the_same_vote_and_another_one_is_another() -> None:
    answered = Answered(request="r", answer="deny", user="a", seen="s")
    ids = [webhook.vote_of(answered, "chat", {"a": "ada"}, mark) for mark in ("one", "one", "two")]

    assert ids[0] == ids[1]
    assert ids[0] != ids[2]


def test_an_answer_of_somebody_who_is_not_named_is_none() -> None:
    answered = Answered(request="r", answer="approve", user="mallory", seen="s")

    assert webhook.vote_of(answered, "chat", {"a": "ada"}, "mark") == (
        "it is by somebody whom this webhook does not name in `users`"
    )


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"payload", b"payload=%7B%7D", b"payload=1&payload=2", b"\xff=1", b"a=1&b=2&c=3&d=4&e=5", b"[" * 9999],
)
def test_what_is_no_answer_says_so(body: bytes) -> None:
    assert str(webhook.read_slack(body)).startswith("it is not an answer")
    assert str(webhook.read_generic(body)).startswith("it is not an answer")
