"""The requests and votes of one user, as the page sees and casts them; what nobody waits for is put on record here."""

from __future__ import annotations

import time

from ringfence.approvals.desk import Cast, Desk
from ringfence.approvals.objects import Request
from ringfence.approvals.records import transition
from ringfence.approvals.transitions import State, Trigger
from ringfence.model.canonical import digest
from ringfence.model.event import Body, VoteTaken
from ringfence.model.vote import Vote
from ringfence.session.sources import Places, user
from ringfence.telemetry.ledger import Ledger
from ringfence.telemetry.presence import folder_beside, is_recorded

CHANNEL = "web"


class Inbox:
    """What is open, what was, and what becomes of an answer."""

    def __init__(self, desk: Desk, where: Places) -> None:
        self._desk = desk
        self._places = where

    @property
    def desk(self) -> Desk:
        """The desk behind."""
        return self._desk

    async def sweep(self) -> None:
        """Write down, and put on record, what ended while nobody looked."""
        for moved in self._desk.sweep():
            await self._ended(moved.request, moved.after, actor="timeout", reason="its time is over")
        for request in self._desk.unfinished():
            # One whose session was killed has nobody left who could use an answer.
            elsewhere = request.host not in {"", user().host}
            if request.state is not State.PENDING or elsewhere or self._is_recorded(request.session):
                continue
            if isinstance(self._desk.move(request.id, Trigger.CANCEL), State):
                await self._ended(request, State.CANCELLED, actor="session", reason="its session is gone")

    def version(self) -> str:
        """Changes whenever something on the page may have."""
        unfinished = self._desk.unfinished()
        return digest([[one.id, one.state.value, str(len(self._desk.votes(one.id)))] for one in unfinished])

    async def cast(self, vote: Vote) -> Cast | None:
        """Take a vote. What counts is put on record by the session that waits for it; what is refused, here."""
        cast = self._desk.cast(vote)
        if cast is not None and cast.problem:
            await self._record(cast.request.session, VoteTaken(vote=cast.vote or vote, refused=cast.problem))
        return cast

    async def refused(self, request: Request, vote: Vote, why: str) -> None:
        """Put an answer on record that never reached the desk, such as one with a passkey that does not hold."""
        await self._record(request.session, VoteTaken(vote=vote, refused=why))

    async def _ended(self, request: Request, after: State, *, actor: str, reason: str) -> None:
        body = transition(
            request, after, before=request.state, now_ns=time.time_ns(), actor=actor, channel=CHANNEL, reason=reason
        )
        await self._record(request.session, body)

    def _is_recorded(self, session: str) -> bool:
        return is_recorded(folder_beside(self._places.ledger), session)

    async def _record(self, session: str, body: Body) -> None:
        recorder = await Ledger.start(self._places.ledger, session=session)
        try:
            await recorder.record(body)
        finally:
            await recorder.close(sealed=False)
