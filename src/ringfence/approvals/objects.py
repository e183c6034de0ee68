"""Requests, grants and broken glass: what is kept of a question and of its answer."""

from __future__ import annotations

import msgspec

from ringfence.approvals.transitions import State
from ringfence.approvals.voting import Terms
from ringfence.model import canonical
from ringfence.model.action import Action, Effect
from ringfence.model.decision import Placement, Risk
from ringfence.model.vote import Scope, Vote, binding

__all__ = [
    "BREAK_GLASS_SECONDS",
    "CLOCK_SLACK_NS",
    "NANOSECONDS",
    "ONCE_SECONDS",
    "REPO_DAYS",
    "BreakGlass",
    "Grant",
    "Request",
    "Review",
    "Scope",
    "Vote",
]

NANOSECONDS = 1_000_000_000
REPO_DAYS = 30
"""How long an answer is remembered for a repository, unless it says so itself."""
ONCE_SECONDS = 300
"""How long an approval waits to be used."""
BREAK_GLASS_SECONDS = 3600
"""How long a broken glass lasts at most."""
CLOCK_SLACK_NS = 5 * NANOSECONDS
"""How far a clock may be set back before what was made after that moment no longer counts."""


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
    risk: Risk = Risk.LOW
    terms: Terms = Terms()
    """Whose answers count, and how many."""
    witness: str = ""
    """The digest of the files that would run, where they can be read: they are looked at again before they run."""
    effects: tuple[Effect, ...] = ()
    """What it does, as far as it is known."""
    begins: tuple[str, ...] = ()
    """The words of the command, where an answer can be remembered for the first few of them."""
    why_exact: str = ""
    """Why it cannot."""
    host: str = ""
    """The machine that it was asked on."""
    step: int = 0
    """How far up the ladder it was handed, by whoever could not answer."""
    state: State = State.PENDING

    @property
    def dedupe(self) -> str:
        """What makes two open questions the same one."""
        # SECURITY: of two equal requests, one may carry a secret that the other does not: then another rule asks.
        asked = canonical.digest([self.placement.value, self.override, *self.asking])
        return f"{self.session}|{self.digest}|{self.policy}|{asked}"

    @property
    def binding(self) -> str:
        """What the first vote is linked to."""
        return binding(request=self.id, action=self.digest, policy=self.policy, shown=self.shown)


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
    break_glass: str = ""
    """The broken glass that it was made by."""

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
        return "active" if self.created_ns - CLOCK_SLACK_NS <= now_ns < self.expires_ns else "expired"


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody else found when they looked at what was done behind a broken glass."""

    who: str
    justified: bool
    reason: str
    at_ns: int


class BreakGlass(msgspec.Struct, frozen=True, kw_only=True):
    """One time that somebody went ahead without waiting for approvals. Until it is reviewed, they cannot again."""

    id: str
    who: str
    """`person:NAME`."""
    reason: str
    workspace: str
    """Where it holds."""
    created_ns: int
    expires_ns: int
    ticket: str = ""
    ended_ns: int | None = None
    """When it was ended ahead of time."""
    review: Review | None = None

    def state(self, now_ns: int) -> str:
        """`active`, `unreviewed` once it is over, or `reviewed`."""
        if self.review is not None:
            return "reviewed"
        over = self.ended_ns is not None or not self.created_ns - CLOCK_SLACK_NS <= now_ns < self.expires_ns
        return "unreviewed" if over else "active"
