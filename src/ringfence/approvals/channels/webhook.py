"""What webhooks are sent when a question is put, and what of their answers is an answer.

Pure: messages are made and read here, sent and received elsewhere. High risk is never approved this way: its message
carries a link, and a yes to it is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import parse_qs, quote

import msgspec

from ringfence.approvals.objects import Request
from ringfence.approvals.voting import is_at_least
from ringfence.model.canonical import digest
from ringfence.model.decision import Risk
from ringfence.model.vote import PERSON, Authentication, Vote

_SLACK_TEXT = 2900
"""Characters that one block of Slack's holds, a little less."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a generic webhook is sent."""

    schema: int = 1
    event: str = "approval.requested"
    request: str
    prompt: tuple[str, ...]
    """The lines that people have to be shown."""
    seen: str
    """The digest of these lines: an answer says what was seen."""
    risk: str
    expires_ms: int
    link: str
    may_approve: bool
    """Whether a yes may come back this way; otherwise people follow the link."""


class Answered(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a webhook sends back: always for once."""

    request: str
    answer: Literal["approve", "deny"]
    user: str
    """As the webhook calls whoever answered."""
    seen: str
    reason: str = ""


class _Press(msgspec.Struct, frozen=True, kw_only=True):
    value: str


class _Person(msgspec.Struct, frozen=True, kw_only=True):
    id: str


class _Slack(msgspec.Struct, frozen=True, kw_only=True):
    type: Literal["block_actions"]
    user: _Person
    actions: tuple[_Press, ...]


class _Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    request: str
    answer: Literal["approve", "deny"]
    seen: str


def may_approve(request: Request) -> bool:
    """Whether a yes to this may come from a webhook at all."""
    return not is_at_least(request.risk, Risk.HIGH) and not request.override


def generic(request: Request, link: str, *, brings: bool) -> bytes:
    """The message to a generic webhook. `brings` says whether it may bring answers of anybody."""
    return msgspec.json.encode(
        Told(
            request=request.id,
            prompt=request.prompt,
            seen=digest(list(request.prompt)),
            risk=request.risk.value,
            expires_ms=request.expires_ns // 1_000_000,
            link=_linked(link, request),
            may_approve=brings and may_approve(request),
        )
    )


def slack(request: Request, link: str, *, brings: bool) -> bytes:
    """The message to Slack: plain text, a link, and buttons only where everything is shown and the risk permits it."""
    text = "\n".join(request.prompt)
    whole = len(text) <= _SLACK_TEXT
    shown = text if whole else f"{text[:_SLACK_TEXT]}\n[... NOT ALL OF IT IS SHOWN HERE ...]"
    blocks: list[object] = [{"type": "section", "text": {"type": "plain_text", "text": shown, "emoji": False}}]
    buttons: list[object] = []
    if brings:
        choices = (("deny", "Deny"), ("approve", "Approve once"))
        buttons += [_button(request, *one) for one in choices if one[0] == "deny" or (whole and may_approve(request))]
    if link:
        label = {"type": "plain_text", "text": "Open"}
        buttons.append({"type": "button", "text": label, "url": _linked(link, request), "action_id": "open"})
    if buttons:
        blocks.append({"type": "actions", "elements": buttons})
    return msgspec.json.encode({"text": request.prompt[0], "blocks": blocks})


def read_generic(body: bytes) -> Answered | str:
    """The answer in a message, or why there is none."""
    try:
        return msgspec.json.decode(body, type=Answered)
    except (msgspec.MsgspecError, RecursionError) as wrong:
        return f"it is not an answer: {wrong}"


def read_slack(body: bytes) -> Answered | str:
    """The button that was pressed in Slack, or why there is none."""
    try:
        (payload,) = parse_qs(body.decode(), strict_parsing=True, max_num_fields=4)["payload"]
        press = msgspec.json.decode(payload, type=_Slack)
        (action,) = press.actions
        value = msgspec.json.decode(action.value, type=_Value)
    except (KeyError, ValueError, RecursionError) as wrong:
        return f"it is not an answer: {wrong}"
    return Answered(request=value.request, answer=value.answer, user=press.user.id, seen=value.seen)


def vote_of(answered: Answered, name: str, users: Mapping[str, str], mark: str) -> Vote | str:
    """The vote that an answer is, or why it is none. The same message is the same vote."""
    who = users.get(answered.user)
    if who is None:
        return "it is by somebody whom this webhook does not name in `users`"
    return Vote(
        id=digest(["webhook", name, mark]).removeprefix("sha256:")[:32],
        request=answered.request,
        approver=f"{PERSON}{who}",
        approve=answered.answer == "approve",
        seen=answered.seen,
        reason=answered.reason,
        channel=f"webhook:{name}",
        authentication=Authentication.SIGNED,
    )


def _button(request: Request, answer: str, label: str) -> object:
    value = {"request": request.id, "answer": answer, "seen": digest(list(request.prompt))}
    return {
        "type": "button",
        "action_id": answer,
        "style": "danger" if answer == "deny" else "primary",
        "text": {"type": "plain_text", "text": label},
        "value": msgspec.json.encode(value).decode(),
    }


def _linked(link: str, request: Request) -> str:
    return link.replace("{id}", quote(request.id, safe=""))
