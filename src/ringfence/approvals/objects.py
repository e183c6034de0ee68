"""Requests, votes and grants: what is kept of a question and of its answer."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ringfence.approvals.transitions import State
from ringfence.model.action import Action
from ringfence.model.decision import Placement

NANOSECONDS = 1_000_000_000
REPO_DAYS = 30
"""How long an answer is remembered for a repository, unless it says so itself."""
ONCE_SECONDS = 300
"""How long an approval waits to be used."""


class Scope(StrEnum):
    """How far an approval reaches."""

    ONCE = "once"
    SESSION = "session"
    REPO = "repo"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A question that has been put."""

    id: str
    session: str
    workspace: str
    action: Action
    digest: str
    """The digest of the action: what is approved is exactly this."""
    policy: str
    """The digest of the policy that asked."""
    placement: Placement
    asking: tuple[str, ...]
    """The rules that asked. A remembered answer holds for these, not for a rule that is added later."""
    matcher: str
    """What an answer for longer than once would cover."""
    channel: str
    prompt: tuple[str, ...]
    """The lines that a person sees, whichever way they are asked."""
    shown: str
    """The digest of `prompt`."""
    created_ns: int
    expires_ns: int
    widest: Scope = Scope.REPO
    """The widest scope that the policy permits an approval."""
    override: bool = False
    """Whether a yes overrides a deny: then it holds once, and needs a reason."""
    state: State = State.PENDING

    @property
    def dedupe(self) -> str:
        """What makes two open questions the same one."""
        return f"{self.session}|{self.digest}|{self.policy}"


class Vote(msgspec.Struct, frozen=True, kw_only=True):
    """One person's answer. The same id again is the same vote."""

    id: str
    request: str
    approver: str
    """`person:NAME`."""
    approve: bool
    seen: str
    """The digest of what the person saw."""
    scope: Scope = Scope.ONCE
    reason: str = ""
    seconds: int | None = None
    """How long it is remembered, where the person said so."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """A permission that an approval made."""

    id: str
    request: str
    matcher: str
    scope: Scope
    session: str
    workspace: str
    placement: Placement
    policy: str
    asking: tuple[str, ...]
    created_ns: int
    expires_ns: int
    approver: str
    max_uses: int | None = None
    """None for as often as it takes."""
    uses: int = 0
    revoked_ns: int | None = None

    @property
    def uses_left(self) -> int | None:
        """How often it can still be used; None for as often as it takes."""
        return None if self.max_uses is None else self.max_uses - self.uses

    def state(self, now_ns: int) -> str:
        """`active`, `used`, `expired` or `revoked`."""
        if self.revoked_ns is not None:
            return "revoked"
        if self.uses_left == 0:
            return "used"
        return "expired" if now_ns >= self.expires_ns else "active"
