"""An answer that comes now or later, and the calls of tools in a request.

When nobody waits for an answer any more, nobody is asked any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ringfence.egress import refusal
from ringfence.egress.authorization import Cancel
from ringfence.egress.http_head import RequestHead
from ringfence.egress.request_body import BodyUnread
from ringfence.egress.tool_calls import tool_calls
from ringfence.model.action import ConnectAction, McpAction
from ringfence.model.decision import Decision

Given = TypeVar("Given")


class Answer(Generic[Given]):
    """The answer to a question, for whoever is asked to call. What comes too late, or twice, reaches nobody."""

    __slots__ = ("_cancel", "_guarded", "_over", "_then", "given")

    def __init__(self) -> None:
        self.given: Given | None = None
        """What was answered while the question was still being asked."""
        self._over = False
        self._cancel: Cancel | None = None
        self._then: Callable[[Given], None] | None = None
        self._guarded: Callable[[Callable[[], None]], None] | None = None

    def __call__(self, given: Given) -> None:
        if self._over:
            return
        self._over = True
        then, guarded, self._cancel = self._then, self._guarded, None
        self._then = self._guarded = None  # else this and who asked hold each other
        if then is None or guarded is None:
            self.given = given
        else:
            guarded(lambda: then(given))

    def wait(
        self, cancel: Cancel, guarded: Callable[[Callable[[], None]], None], then: Callable[[Given], None]
    ) -> None:
        """Go on with it when it comes."""
        self._cancel, self._guarded, self._then = cancel, guarded, then

    def stop(self) -> None:
        """Nobody waits any more."""
        self._over = True
        cancel, self._cancel = self._cancel, None
        self._then = self._guarded = None
        if cancel is not None:
            cancel()


def calls_in(
    action: ConnectAction, head: RequestHead, content: bytes, *, complete: bool, address: str
) -> tuple[McpAction, ...] | Decision:
    """The calls of tools in a request; the denial of one that cannot be read. `content` is the beginning of its body,
    `address` is where it goes, without query."""
    fields = {name: value.lower() for name, value in head.fields}
    coding, media = fields.get(b"content-encoding", b""), fields.get(b"content-type", b"")
    try:
        return tool_calls(action.host, content, complete=complete, coding=coding, media=media, address=address)
    except BodyUnread as unread:
        return refusal.built_in(action, "mcp.unread", str(unread))
