"""One open question and everybody who waits for it: put once, answered once, and on record at every step.

It ends with an answer from the channel or from elsewhere, with the deadline, or because nobody waits any more. Whatever
else happens ends it as not approved.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import msgspec

from ringfence.approvals.channels.channel import Answer, Channel, Outcome, Unanswered
from ringfence.approvals.desk import Cast, Desk
from ringfence.approvals.objects import NANOSECONDS, Grant, Request, Vote
from ringfence.approvals.prompt import prompt
from ringfence.approvals.site import Site
from ringfence.approvals.transitions import Illegal, State, Trigger
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision
from ringfence.model.event import ApprovalRequested, ApprovalTransition, GrantChanged
from ringfence.model.ports import Clock, Recorder
from ringfence.model.wording import action_text

LOOK_SECONDS = 0.1
"""How often the desk is looked at for an answer that was given elsewhere."""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """How a question ended."""

    by: str
    """`person`, `timeout`, `nobody`."""
    why: str
    """In words for people."""
    request: Request | None = None
    grant: Grant | None = None
    """What an approval made; without it, the answer is no."""


class Question:
    """A question that is being put."""

    def __init__(
        self, decision: Decision, *, desk: Desk, channel: Channel, recorder: Recorder, clock: Clock, site: Site
    ):
        self._decision = decision
        self._desk = desk
        self._channel = channel
        self._recorder = recorder
        self._clock = clock
        self._site = site
        self._waiting = 0
        self._why_withdrawn = "nobody waits for the answer any more"
        self._task: asyncio.Task[None] | None = None
        self._settled: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()

    def start(self, tasks: asyncio.TaskGroup) -> asyncio.Task[None]:
        """Put the question."""
        self._task = tasks.create_task(self._run())
        self._task.add_done_callback(self._ensure_settled)
        return self._task

    async def wait(self) -> Settled:
        """How it ended. The question is withdrawn when the last one who waits is cancelled."""
        self._waiting += 1
        try:
            return await asyncio.shield(self._settled)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self.withdraw(self._why_withdrawn)

    def withdraw(self, why: str) -> None:
        """Take the question back, unless it has ended."""
        self._why_withdrawn = why
        if self._task is not None and not self._settled.done():
            self._task.cancel()

    def _ensure_settled(self, _: asyncio.Task[None]) -> None:
        # A task that is cancelled before its first step never reaches its own handlers.
        if not self._settled.done():
            self._settled.set_result(Settled(by="nobody", why=self._why_withdrawn))

    async def _run(self) -> None:
        request: Request | None = None
        try:
            request = await self._open()
            settled = await self._answer(request)
        except asyncio.CancelledError:
            settled = self._end(request, Trigger.CANCEL, "session", "nobody", self._why_withdrawn)
        except Exception as failure:  # noqa: BLE001 - fail closed: what cannot be asked is not approved
            settled = self._end(request, Trigger.CANCEL, "session", "nobody", f"it could not be asked: {failure}")
        self._settled.set_result(settled)

    async def _open(self) -> Request:
        request, fresh = self._desk.open(
            self._decision,
            session=self._site.session,
            workspace=self._site.workspace,
            channel=self._channel.name,
            prompt=prompt(self._decision),
            seconds=self._site.timeout_seconds,
            widest=self._site.permission.widest,
        )
        if fresh:
            await self._recorder.record(
                ApprovalRequested(
                    request=request.id,
                    action=request.digest,
                    policy=request.policy,
                    channel=self._channel.name,
                    shown=request.shown,
                    expires_ms=(request.expires_ns - self._clock.time_ns()) // 1_000_000,
                    what=action_text(request.action),
                )
            )
        return request

    async def _answer(self, request: Request) -> Settled:
        patience = (request.expires_ns - self._clock.time_ns()) / NANOSECONDS
        outcome: Outcome | None
        try:
            async with asyncio.timeout(max(0.0, patience)):
                outcome = await self._first(request)
        except TimeoutError:
            outcome = self._given_elsewhere(request)
        if outcome is None:
            return self._end(request, Trigger.EXPIRE, "timeout", "timeout", "nobody answered in time")
        if isinstance(outcome, Unanswered):
            return self._end(request, Trigger.CANCEL, self._channel.name, "nobody", outcome.reason)
        return await self._count(request, outcome)

    async def _first(self, request: Request) -> Outcome:
        """The first answer, from the channel or from elsewhere."""
        first: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        async def run(source: Awaitable[Outcome]) -> None:
            try:
                outcome = await source
            except Exception as failure:  # noqa: BLE001 - a way of asking that fails is nobody to ask
                outcome = Unanswered(reason=f"asking failed: {failure}")
            if not first.done():
                first.set_result(outcome)

        async with asyncio.TaskGroup() as racers:
            tasks = [
                racers.create_task(run(self._channel.ask(request))),
                racers.create_task(run(self._elsewhere(request))),
            ]
            outcome = await first
            for task in tasks:
                task.cancel()
        return outcome

    async def _elsewhere(self, request: Request) -> Outcome:
        while True:
            outcome = self._given_elsewhere(request)
            if outcome is not None:
                return outcome
            await asyncio.sleep(LOOK_SECONDS)

    def _given_elsewhere(self, request: Request) -> Outcome | None:
        now = self._desk.request(request.id)
        if now is None:
            return Unanswered(reason="the request is gone from the list")
        if now.state not in {State.APPROVED, State.DENIED}:
            return None
        for vote in self._desk.votes(request.id):
            if vote.approve is (now.state is State.APPROVED):
                return Answer(
                    vote=vote.id, approver=vote.approver, approve=vote.approve, seen=vote.seen, reason=vote.reason
                )
        return Unanswered(reason=f"the request is {now.state.value}, and nobody's vote says why")

    async def _count(self, request: Request, answer: Answer) -> Settled:
        refusal = self._site.permission.refusal(answer.approver, override=request.override) if answer.approve else ""
        if refusal:
            # SECURITY: an answer that was given elsewhere has made its grant already; it must not be used later either.
            self._desk.withdraw(request.id)
            return self._end(request, Trigger.CHANGE, "session", "nobody", f"the answer does not count: {refusal}")
        vote = Vote(
            id=answer.vote,
            request=request.id,
            approver=answer.approver,
            approve=answer.approve,
            seen=answer.seen,
            scope=answer.scope,
            reason=answer.reason,
        )
        # Connections to one host come in flocks: all that wait for this answer may use it. A command runs once.
        uses = max(1, self._waiting) if isinstance(request.action, ConnectAction) else 1
        cast = self._desk.cast(vote, uses=uses)
        if cast is None or cast.problem:
            why = cast.problem if cast is not None else "the request is gone from the list"
            return self._end(request, Trigger.CHANGE, "session", "nobody", f"the answer does not count: {why}")
        return await self._record(cast, answer)

    async def _record(self, cast: Cast, answer: Answer) -> Settled:
        request, after = cast.request, cast.request.state
        await self._recorder.record(self._transition(request, after, answer.approver, answer.reason))
        if not answer.approve or cast.grant is None:
            why = f"{answer.approver.removeprefix('person:')} denied it" + (
                f": {answer.reason}" if answer.reason else ""
            )
            return Settled(by="person", why=why, request=request)
        await self._recorder.record(granted(cast.grant, "created"))
        return Settled(by="person", why=answer.approver, request=request, grant=cast.grant)

    def _end(self, request: Request | None, trigger: Trigger, actor: str, by: str, why: str) -> Settled:
        """End it without an answer. Nothing is awaited here, because we may just have been cancelled."""
        if request is not None:
            try:
                after = self._desk.move(request.id, trigger)
            except Exception as failure:  # noqa: BLE001 - it ends as a deny all the same
                return Settled(by=by, why=f"{why}; and the request could not be closed: {failure}", request=request)
            # An illegal move says where the request stands instead: `expired` where the deadline passed first.
            state = after.state if isinstance(after, Illegal) else after or State.CANCELLED
            self._recorder.record_soon(self._transition(request, state, actor, why), lambda _: None)
        return Settled(by=by, why=why, request=request)

    def _transition(self, request: Request, after: State, actor: str, reason: str) -> ApprovalTransition:
        return ApprovalTransition(
            request=request.id,
            before=State.PENDING.value,
            after=after.value,
            actor=actor,
            channel=self._channel.name,
            reason=reason,
            latency_ms=max(0, self._clock.time_ns() - request.created_ns) // 1_000_000,
        )


def granted(grant: Grant, change: str) -> GrantChanged:
    """The event that says what happened to a grant."""
    return GrantChanged(
        grant=grant.id, change=change, scope=grant.scope.value, matcher=grant.matcher, uses_left=grant.uses_left
    )
