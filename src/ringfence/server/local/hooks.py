"""Takes the answers that webhooks send: signed, fresh, each once, and only of people whom the policy names.

Whatever else comes is ignored; where it names a request, that is put on record. A yes to high risk is none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from starlette.requests import Request as Asked
from starlette.responses import JSONResponse, Response

from ringfence.approvals.channels import webhook
from ringfence.approvals.channels.signatures import NONCE, Seen
from ringfence.approvals.channels.webhook import Answered
from ringfence.egress.credentials.secret import Secret
from ringfence.model import ids
from ringfence.model.display import shortened, visible
from ringfence.model.vote import Vote
from ringfence.policy.effective import WebhookKind, WebhookRule
from ringfence.server.local.inbox import Inbox

_BODY_BYTES = 65536
_RECORDED_A_MINUTE = 20
"""How many messages that do not hold are put on record: whoever sends thousands must not fill the ledger."""


class Hooks:
    """The webhooks of the policy."""

    def __init__(self, inbox: Inbox, rules: tuple[WebhookRule, ...], secret_of: Callable[[str], Secret | None]) -> None:
        self._inbox = inbox
        self._rules = {rule.name: rule for rule in rules}
        self._secret_of = secret_of
        self._seen = {rule.name: Seen() for rule in rules}
        self._recorded: list[float] = []

    async def take(self, asked: Asked) -> Response:
        """Take one message."""
        rule = self._rules.get(asked.path_params["name"])
        body = bytearray()
        async for piece in asked.stream():
            body += piece
            if len(body) > _BODY_BYTES:
                return _ignored("it is too long", 413)
        if rule is None:
            return _ignored("no webhook has this name", 404)
        secret = await asyncio.to_thread(self._secret_of, rule.secret)
        if secret is None:
            return _ignored("its key is not stored here", 503)
        is_slack = rule.kind is WebhookKind.SLACK
        headers, now = dict(asked.headers), int(time.time())
        problem = self._seen[rule.name].problem(secret.reveal().encode(), headers, bytes(body), now=now, slack=is_slack)
        answered = webhook.read_slack(bytes(body)) if is_slack else webhook.read_generic(bytes(body))
        if isinstance(answered, str):
            return _ignored(problem or shortened(visible(answered), 200), 401 if problem else 400)
        if problem:
            await self._refused(rule, answered, problem)
            return _ignored(problem, 401)
        mark = headers.get("x-slack-signature" if is_slack else NONCE, "")
        return await self._answer(rule, answered, mark)

    async def _answer(self, rule: WebhookRule, answered: Answered, mark: str) -> Response:
        request = self._inbox.desk.request(answered.request)
        if request is None:
            return _ignored("there is no such request", 404)
        vote = webhook.vote_of(answered, rule.name, dict(rule.users), mark)
        if isinstance(vote, Vote) and vote.approve and not webhook.may_approve(request):
            vote = "a yes to high risk, or to an override, is given on the page or with `ringfence approvals`"
        if isinstance(vote, str):
            await self._refused(rule, answered, vote)
            return _ignored(vote, 403)
        cast = await self._inbox.cast(vote)
        if cast is None or cast.problem:
            return _ignored(cast.problem if cast is not None else "there is no such request", 409)
        return JSONResponse({"state": cast.request.state.value, "counted": cast.counted})

    async def _refused(self, rule: WebhookRule, answered: Answered, why: str) -> None:
        """Put on record what is ignored, where it is about a request of ours."""
        request = self._inbox.desk.request(answered.request)
        now = time.monotonic()
        self._recorded = [one for one in self._recorded if now - one < 60]
        if request is None or len(self._recorded) >= _RECORDED_A_MINUTE:
            return
        self._recorded.append(now)
        vote = Vote(
            id=ids.new_id(),
            request=request.id,
            approver=shortened(f"webhook:{rule.name}:{visible(answered.user)}", 200),
            approve=answered.answer == "approve",
            seen=shortened(visible(answered.seen), 100),
            reason=shortened(visible(answered.reason), 500),
            channel=f"webhook:{rule.name}",
        )
        await self._inbox.refused(request, vote, why)


def _ignored(why: str, status: int) -> Response:
    return JSONResponse({"problem": f"ignored: {why}"}, status_code=status)
