"""The open requests of this user, and what becomes of an answer to one: the same for the command and for the screen.

A vote is for the lines that were shown: it carries their digest, and the desk refuses any other. What does not count is
put on record here, because no session waits for it.
"""

from __future__ import annotations

import time

from ringfence.approvals.asked import asked
from ringfence.approvals.desk import Cast, Desk, Moved
from ringfence.approvals.objects import Request, Scope, Vote
from ringfence.approvals.records import transition
from ringfence.approvals.transitions import State, Trigger
from ringfence.cli.approvals_record import put_on_record
from ringfence.model import ids
from ringfence.model.canonical import digest
from ringfence.model.display import visible
from ringfence.model.event import ApprovalTransition, Body, VoteTaken
from ringfence.model.vote import PERSON
from ringfence.session.sources import Places, user
from ringfence.telemetry.presence import folder_beside, is_recorded


class Inbox:
    """What waits for an answer from another place than its own session."""

    def __init__(self, desk: Desk, where: Places, *, channel: str) -> None:
        self.desk = desk
        self._places = where
        self._channel = channel

    def waiting(self) -> tuple[Request, ...]:
        """The requests that are open, oldest first: a new one never moves the others."""
        self.sweep()
        found = tuple(map(self.current, self.desk.waiting()))
        return tuple(request for request in found if request.state is State.PENDING)

    def sweep(self) -> None:
        """Write down, and put on record, what ended while nobody looked."""
        for moved in self.desk.sweep():
            self.record(moved.request.session, self._ended(moved))

    def current(self, request: Request) -> Request:
        """The request as it stands; one whose session was killed has nobody left who could use an answer."""
        elsewhere = request.host not in {"", user().host}
        if request.state is not State.PENDING or elsewhere or self.is_recorded(request.session):
            return request
        if isinstance(self.desk.move(request.id, Trigger.CANCEL), State):
            now, why = time.time_ns(), "its session is gone"
            self.record(
                request.session,
                transition(request, State.CANCELLED, now_ns=now, actor="session", channel=self._channel, reason=why),
            )
        return self.desk.request(request.id) or request

    def history(self, request: Request, *, most: int = 5) -> tuple[Request, ...]:
        """Earlier requests for exactly this action, newest first."""
        found = (one for one in self.desk.requests() if one.digest == request.digest and one.id != request.id)
        return tuple(one for _, one in zip(range(most), found, strict=False))

    def answer(
        self,
        request: Request,
        *,
        approve: bool,
        scope: Scope = Scope.ONCE,
        reason: str = "",
        seconds: int | None = None,
        words: int | None = None,
    ) -> Cast:
        """Cast a vote on a request whose lines have been shown."""
        vote = Vote(
            id=ids.new_id(),
            request=request.id,
            approver=f"{PERSON}{user().name}",
            approve=approve,
            seen=digest(list(request.prompt)),
            scope=scope,
            reason=reason,
            seconds=seconds,
            words=words,
            channel=self._channel,
        )
        cast = self.desk.cast(vote)
        assert cast is not None, "a request was found, and requests are never removed"
        if cast.problem:
            # What counts is put on record by the session that waits for it; nobody waits for what does not.
            self.record(request.session, VoteTaken(vote=cast.vote or vote, refused=cast.problem))
        return cast

    def asked(self, request: Request) -> str:
        """Who has to answer, in words."""
        return asked(request.terms, self.desk.step_of(request))

    def told(self, cast: Cast) -> str:
        """What became of an answer, in words."""
        request = cast.request
        name = visible(request.id)
        if cast.counted:
            return f"{name} is {request.state}" + (f" ({cast.grant.scope})" if cast.grant else "")
        if cast.waits:
            return f"{name} has your vote, and waits for others: {self.asked(request)}"
        return f"{name} was not answered: {cast.problem}"

    def ended_by(self, request: Request) -> str:
        """How a request ended that is no longer open, and by whom."""
        last = next((one for one in reversed(self.desk.votes(request.id)) if one.approve is approves(request)), None)
        who = f" by {visible(last.approver.removeprefix(PERSON))} ({visible(last.channel)})" if last else ""
        return f"{request.state}{who}"

    def is_recorded(self, session: str) -> bool:
        """Whether somebody writes the record of a session: it is alive."""
        return is_recorded(folder_beside(self._places.ledger), session)

    def record(self, session: str, *bodies: Body) -> None:
        """Put something on the record of a session."""
        put_on_record(self._places.ledger, session, *bodies)

    def _ended(self, moved: Moved) -> ApprovalTransition:
        return transition(
            moved.request,
            moved.after,
            before=moved.request.state,
            now_ns=time.time_ns(),
            actor="timeout",
            channel=self._channel,
            reason="its time is over",
        )


def approves(request: Request) -> bool | None:
    """Whether a request ended by a yes or by a no; None where no vote ended it."""
    if request.state is State.DENIED:
        return False
    return True if request.state in {State.APPROVED, State.CONSUMED, State.LAPSED, State.REVOKED} else None
