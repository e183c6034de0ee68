"""What keys mean on the screen of approvals, and when they count.

A deny is one key. An approval takes a capital letter, or Enter on a choice that was named; it is never what Enter does
at first. No key answers before its question was on the screen, and the keyboard silent, for a moment.
"""

from __future__ import annotations

import msgspec

from ringfence.approvals.objects import Request, Scope
from ringfence.approvals.permission import wider

GUARD_SECONDS = 0.4
"""How long a question must be on the screen, and the keyboard silent, before a key counts."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One answer that can be given."""

    key: str
    text: str
    short: str
    approve: bool = False
    scope: Scope = Scope.ONCE
    with_reason: bool = False
    """Whether a reason is asked for first."""


_ALL = (
    Choice(key="d", text="deny", short="deny"),
    Choice(key="D", text="deny, with a reason", short="with reason", with_reason=True),
    Choice(key="O", text="approve once", short="once", approve=True),
    Choice(key="S", text="approve for this session", short="session", approve=True, scope=Scope.SESSION),
    Choice(key="R", text="approve for this repository", short="repository", approve=True, scope=Scope.REPO),
)


def choices(request: Request) -> tuple[Choice, ...]:
    """The answers that the policy permits. A yes that overrides a rule takes a reason."""
    return tuple(
        msgspec.structs.replace(choice, with_reason=choice.with_reason or (choice.approve and request.override))
        for choice in _ALL
        if not wider(choice.scope, request.widest)
    )


class Guard:
    """Tells an answer from what was typed before its question could be read."""

    def __init__(self, seconds: float = GUARD_SECONDS) -> None:
        self._seconds = seconds
        self._since: float | None = None

    def hide(self) -> None:
        """No question is on the screen: no key counts."""
        self._since = None

    def show(self, moment: float) -> None:
        """A question has appeared."""
        self._since = moment

    def counts(self, moment: float) -> bool:
        """Whether a key that was pressed at a moment counts.

        SECURITY: a key that does not starts the time anew; whoever types on has not read the question.
        """
        if self._since is None:
            return False
        if moment - self._since >= self._seconds:
            return True
        self._since = max(self._since, moment)
        return False
