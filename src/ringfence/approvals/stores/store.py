"""What the desk needs of a store. One transaction at a time; what happens inside happens completely, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from ringfence.approvals.objects import BreakGlass, Grant, Request, Vote
from ringfence.approvals.transitions import State
from ringfence.model.situations import RingfenceError


class ApprovalsBroken(RingfenceError):
    """The store of approvals cannot be used. Whatever would have been asked is denied."""


def broken(why: str, *, remedy: str) -> ApprovalsBroken:
    """What is raised when a store fails."""
    return ApprovalsBroken(f"the approvals cannot be read or written: {why}", remedy=remedy)


class Store(Protocol):
    """Requests, votes and grants, kept so that they survive us. Whatever goes wrong in one is `ApprovalsBroken`."""

    @property
    def look_seconds(self) -> float:
        """How often somebody who waits may look for an answer."""
        ...

    def others_wrote(self) -> int | None:
        """A number that is another one once somebody else has written; None where only reading can tell."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Nobody else writes until it ends; an exception inside undoes everything."""
        ...

    def request(self, request_id: str) -> Request | None:
        """A request by its id."""
        ...

    def pending(self, dedupe: str) -> Request | None:
        """The open request for the same question."""
        ...

    def requests(self, prefix: str = "") -> Sequence[Request]:
        """Requests whose id begins so, newest first."""
        ...

    def approved(self, most: int) -> Sequence[Request]:
        """The newest requests that were approved, used or not, newest first."""
        ...

    def unfinished(self) -> Sequence[Request]:
        """Requests that are pending, delegated or approved, oldest first."""
        ...

    def add_request(self, request: Request) -> None:
        """Keep a new request."""
        ...

    def set_state(self, request_id: str, state: State) -> None:
        """Change the state of a request."""
        ...

    def set_step(self, request_id: str, step: int) -> None:
        """Hand a request to a step of the ladder."""
        ...

    def vote(self, vote_id: str) -> Vote | None:
        """A vote by its id."""
        ...

    def votes(self, request_id: str) -> Sequence[Vote]:
        """The votes on a request, in the order they were cast."""
        ...

    def add_vote(self, vote: Vote) -> None:
        """Keep a vote."""
        ...

    def add_grant(self, grant: Grant) -> None:
        """Keep a new grant."""
        ...

    def grant_of(self, request_id: str) -> Grant | None:
        """The grant that a request made."""
        ...

    def grants(self, matcher: str | None = None, prefix: str = "") -> Sequence[Grant]:
        """Grants, newest first; by matcher, or by the beginning of their id."""
        ...

    def consume(self, grant_id: str, now_ns: int) -> bool:
        """Take one use, if there is one left and it is neither expired nor revoked: exactly one caller succeeds."""
        ...

    def revoke(self, grant_id: str, now_ns: int) -> bool:
        """Revoke a grant that is not revoked yet."""
        ...

    def put_break_glass(self, glass: BreakGlass) -> None:
        """Keep a broken glass, or what became of one."""
        ...

    def broken_glass(self) -> Sequence[BreakGlass]:
        """Every broken glass, newest first."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...
