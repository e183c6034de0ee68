"""May this request go? Policy is asked about it, then about each call of a tool in it; whoever has to be asked answers
later.

It decides nothing: it asks, once each, and a fault on the way is a denial. When nobody waits any more, it stops asking.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ringfence.egress import refusal
from ringfence.egress.authorization import Authorization, Cancel
from ringfence.egress.core import Core
from ringfence.egress.http_head import RequestHead
from ringfence.egress.inspection import Judge
from ringfence.egress.request_body import BodyUnread
from ringfence.egress.tool_calls import tool_calls
from ringfence.model.action import ConnectAction, McpAction
from ringfence.model.decision import Decision, Verdict

logger = logging.getLogger(__name__)


class Asking:
    """The question that one request waits for at the moment. Answers that come too late, or twice, reach nobody."""

    __slots__ = ("_cancel", "_guarded", "_over")

    def __init__(self, guarded: Callable[[Callable[[], None]], None]) -> None:
        self._guarded = guarded
        self._cancel: Cancel | None = None
        self._over = False

    def decision(self, ask: Callable[[Callable[[Decision], None]], Cancel], then: Callable[[Decision], None]) -> None:
        """Ask somebody, and go on with the answer, which may come now or later."""
        answers: list[Decision] = []

        def answered(decision: Decision) -> None:
            if not answers and not self._over:
                answers.append(decision)
                self._cancel = None
                self._guarded(lambda: then(decision))

        cancel = ask(answered)
        if not answers:
            self._cancel = cancel

    def authorization(
        self, ask: Callable[[Callable[[Authorization], None]], Cancel], then: Callable[[Authorization], None]
    ) -> None:
        """The same, for the question whether a request may be sent."""
        answers: list[Authorization] = []

        def answered(authorization: Authorization) -> None:
            if not answers and not self._over:
                answers.append(authorization)
                self._cancel = None
                self._guarded(lambda: then(authorization))

        cancel = ask(answered)
        if not answers:
            self._cancel = cancel

    def stop(self) -> None:
        """Nobody waits any more."""
        self._over = True
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()


class Judging:
    """One request before its policy. One of `allowed` and `denied` is called, once."""

    __slots__ = ("_action", "_address", "_allowed", "_asking", "_core", "_denied", "_judge", "_origin")

    def __init__(
        self,
        core: Core,
        asking: Asking,
        action: ConnectAction,
        *,
        origin: str,
        address: str,
        judge: Judge | None,
        allowed: Callable[[Authorization], None],
        denied: Callable[[Decision, bool], None],
    ) -> None:
        """`address` is where the request goes, without query; `denied` is told whether the denial is on record already.
        `judge` decides about calls of tools; None where there are none to look for."""
        self._core = core
        self._asking = asking
        self._action = action
        self._origin = origin
        self._address = address
        self._judge = judge
        self._allowed = allowed
        self._denied = denied

    def start(self, head: RequestHead, content: bytes, *, complete: bool) -> None:
        """Ask. `content` is the beginning of the body, as far as it was read."""
        try:
            self._asking.authorization(
                lambda done: self._core.authorize(self._action, self._origin, done),
                lambda authorization: self._judged(authorization, head, content, complete=complete),
            )
        except Exception:
            logger.exception("the authorisation of %s failed", self._action.host)
            text = "the request could not be judged, because of an internal error"
            self._denied(refusal.built_in(self._action, "gateway.error", text), False)

    def _judged(self, authorization: Authorization, head: RequestHead, content: bytes, *, complete: bool) -> None:
        if authorization.decision.verdict is not Verdict.ALLOW:
            return self._denied(authorization.decision, True)
        if self._judge is None:
            return self._allowed(authorization)
        said = {name: value.lower() for name, value in head.fields}
        coding, media = said.get(b"content-encoding", b""), said.get(b"content-type", b"")
        try:
            calls = tool_calls(
                self._action.host, content, complete=complete, coding=coding, media=media, address=self._address
            )
        except BodyUnread as unread:
            return self._denied(refusal.built_in(self._action, "mcp.unread", str(unread)), False)
        return self._judge_calls(authorization, calls)

    def _judge_calls(self, authorization: Authorization, calls: tuple[McpAction, ...]) -> None:
        """The request is allowed; so has to be every call of a tool in it."""
        judge = self._judge
        if not calls or judge is None:
            return self._allowed(authorization)
        first, *rest = calls
        self._asking.decision(
            lambda done: judge(first, done),
            lambda decision: (
                self._judge_calls(authorization, tuple(rest))
                if decision.verdict is Verdict.ALLOW
                else self._denied(decision, True)
            ),
        )
        return None
