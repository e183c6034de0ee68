"""One open question and everybody who waits for it: put once, answered once, and on record at every step.

It ends once the votes are enough, from the channel or from elsewhere, with the deadline, or because nobody waits any
more. Whatever else happens ends it as not approved.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import msgspec

from ringfence.approvals import voting
from ringfence.approvals.channels.channel import Answer, Channel, Unanswered
from ringfence.approvals.desk import Desk
from ringfence.approvals.objects import NANOSECONDS, BreakGlass, Grant, Request, Vote
from ringfence.approvals.prompt import prompt
from ringfence.approvals.records import granted, transition
from ringfence.approvals.since import LOOKED_AT, since
from ringfence.approvals.site import Site
from ringfence.approvals.transitions import Illegal, State, Trigger
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision
from ringfence.model.display import visible
from ringfence.model.event import ApprovalRequested, ApprovalTransition, BreakGlassChanged, VoteTaken
from ringfence.model.ports import Clock, Recorder
from ringfence.model.vote import PERSON
from ringfence.model.wording import action_text

__all__ = ["Question", "Settled", "granted"]

LOOKS = 20
"""Every so many looks the request itself is read, even where nobody else has written."""


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
        self,
        decision: Decision,
        *,
        desk: Desk,
        channel: Channel,
        recorder: Recorder,
        clock: Clock,
        site: Site,
        witness: str = "",
        tell: Callable[[str], None] = lambda _: None,
        broken_glass: Callable[[], BreakGlass | None] = lambda: None,
    ):
        self._decision = decision
        self._desk = desk
        self._channel = channel
        self._recorder = recorder
        self._clock = clock
        self._site = site
        self._witness = witness
        self._tell = tell
        self._broken_glass = broken_glass
        self._terms = site.permission.terms_for(decision)
        self._on_record: set[str] = set()
        """Votes, and the end, that are on record or on their way there: each goes there once."""
        self._step = 0
        self._waiting = 0
        self._stays = False
        self._why_withdrawn = "nobody waits for the answer any more"
        self._task: asyncio.Task[None] | None = None
        self._settled: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()

    def start(self, tasks: asyncio.TaskGroup) -> asyncio.Task[None]:
        """Put the question."""
        self._task = tasks.create_task(self._run())
        self._task.add_done_callback(self._ensure_settled)
        return self._task

    @property
    def stays(self) -> bool:
        """Whether somebody was told that it is queued: then its answer is kept for whoever asks again."""
        return self._stays

    async def wait(self, seconds: float | None = None) -> Settled | None:
        """How it ended; None where that takes longer than `seconds`: it stays open then, for whoever asks again.

        The question is withdrawn when the last one who waits is cancelled.
        """
        self._waiting += 1
        try:
            done, _ = await asyncio.wait([self._settled], timeout=seconds)
            self._stays = self._stays or not done
            return self._settled.result() if done else None
        finally:
            self._waiting -= 1
            if not self._waiting and not self._stays:
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
        approved = self._desk.approved(self._site.workspace, LOOKED_AT)
        changed = since(self._decision.action, self._witness, approved, self._desk.is_by_people, self._clock.time_ns())
        request, fresh = self._desk.open(
            self._decision,
            session=self._site.session,
            workspace=self._site.workspace,
            channel=self._channel.name,
            prompt=prompt(self._decision, since=changed),
            seconds=self._site.timeout_seconds,
            widest=self._site.permission.widest,
            terms=self._terms,
            witness=self._witness,
            host=self._site.host,
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
        # Before anybody is asked: the question may have been answered meanwhile, or nobody need be asked.
        if (settled := self._given(request)) is not None:
            return settled
        patience = (request.expires_ns - self._clock.time_ns()) / NANOSECONDS
        try:
            async with asyncio.timeout(max(0.0, patience)):
                return await self._first(request)
        except TimeoutError:
            return self._given(request) or self._end(
                request, Trigger.EXPIRE, "timeout", "timeout", "nobody answered in time"
            )

    async def _first(self, request: Request) -> Settled:
        """How it ends first: by the channel, or by what others have answered."""
        first: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()

        async def run(source: Awaitable[Settled | None]) -> None:
            try:
                settled = await source
            except Exception as failure:  # noqa: BLE001 - a way of asking that fails is nobody to ask
                settled = self._end(request, Trigger.CANCEL, "session", "nobody", f"asking failed: {failure}")
            if settled is not None and not first.done():
                first.set_result(settled)

        async with asyncio.TaskGroup() as racers:
            tasks = [racers.create_task(run(self._by_channel(request))), racers.create_task(run(self._watch(request)))]
            settled = await first
            for task in tasks:
                task.cancel()
        return settled

    async def _by_channel(self, request: Request) -> Settled | None:
        """What the channel's answer makes of it; None where others have to answer as well."""
        try:
            outcome = await self._channel.ask(request)
        except Exception as failure:  # noqa: BLE001 - a way of asking that fails is nobody to ask
            outcome = Unanswered(reason=f"asking failed: {failure}")
        if isinstance(outcome, Unanswered):
            return self._unanswered(request, outcome)
        cast = self._desk.cast(self._vote(request, outcome), uses=self._uses(request))
        if cast is None:
            return self._end(request, Trigger.CHANGE, "session", "nobody", "the request is gone from the list")
        if cast.problem:
            refused = VoteTaken(vote=cast.vote or self._vote(request, outcome), refused=cast.problem)
            self._recorder.record_soon(refused)
            if self._terms.others_may and cast.request.state is State.PENDING:
                self._tell(f"ringfence: the answer does not count: {cast.problem}; {self._where(request)}")
                return None
            why = f"the answer does not count: {cast.problem}"
            return self._given(request) or self._end(request, Trigger.CHANGE, "session", "nobody", why)
        if cast.waits:
            self._tell(f"ringfence: the answer counts, and others have to approve as well; {self._where(request)}")
        # What the votes make of it is read where everybody reads it.
        return self._given(request)

    def _unanswered(self, request: Request, outcome: Unanswered) -> Settled | None:
        # INVARIANT: that somebody cannot be asked says nothing about the action; those who can be asked still are.
        if self._desk.escalate(request.id) is not None or self._terms.others_may:
            self._tell(f"ringfence: {outcome.reason}; {self._where(request)}")
            return None
        return self._end(request, Trigger.CANCEL, self._channel.name, "nobody", outcome.reason)

    async def _watch(self, request: Request) -> Settled:
        seen: int | None = None
        for looks in itertools.count():
            wrote = self._desk.others_wrote()
            # Now and then whatever happens: time alone moves the ladder, and we ourselves write as well.
            if wrote is None or wrote != seen or looks % LOOKS == 0:
                settled = self._given(request)
                if settled is not None:
                    return settled
            seen = wrote
            await asyncio.sleep(self._desk.look_seconds)
        raise AssertionError("it is looked for ever")

    def _given(self, request: Request) -> Settled | None:
        """How it ended by the votes that were cast, whoever cast them; each goes on record once.

        Nothing here waits for the record: the decision does, and it is recorded after all of this.
        """
        now = self._desk.request(request.id)
        if now is None:
            return Settled(by="nobody", why="the request is gone from the list", request=request)
        everything = self._desk.votes(request.id)
        votes = self._desk.counted(everything)
        for vote in everything:
            if self._is_first(vote.id):
                self._recorder.record_soon(VoteTaken(vote=vote, refused=self._desk.problem(vote)))
                if vote in votes and (now.state is State.PENDING or vote is not votes[-1]):
                    self._note(now, State.PENDING, vote)
        if now.state is State.PENDING and votes:
            # Whoever cast the last one of them may not know the keys of the others.
            settled = self._desk.settle(now.id, uses=self._uses(now))
            now = now if settled is None else settled.request
        match now.state:
            case State.PENDING:
                self._climb(now)
                return self._through_glass(now)
            case State.APPROVED:
                return self._approved(now, votes)
            case State.DENIED:
                return self._denied(now, votes)
            case _:
                return None

    def _climb(self, request: Request) -> None:
        """Put on record that the next people of the ladder are asked."""
        reached = self._desk.step_of(request)
        for number in range(self._step + 1, reached + 1):
            asked = voting.listed(request.terms.steps[number].who)
            self._recorder.record_soon(
                self._transition(request, State.PENDING, "timeout", f"now asked as well: {asked}")
            )
            self._tell(f"ringfence: nobody has answered yet; now asked as well: {asked}")
        self._step = max(self._step, reached)

    def _through_glass(self, request: Request) -> Settled | None:
        """Go ahead, because somebody who may has broken the glass; None where nobody has."""
        glass = self._broken_glass()
        grant = None if glass is None else self._desk.through_glass(request.id, glass)
        if glass is None or grant is None or not self._is_first(State.APPROVED):
            return None
        now = self._clock.time_ns()
        self._recorder.record_soon(
            transition(request, State.APPROVED, now_ns=now, actor=glass.who, channel="break-glass", reason=glass.reason)
        )
        self._recorder.record_soon(granted(grant, "created"))
        self._recorder.record_soon(
            BreakGlassChanged(
                glass=glass.id, change="used", actor=glass.who, reason=glass.reason, workspace=request.workspace
            )
        )
        who = visible(glass.who.removeprefix(PERSON))
        self._tell(f"ringfence: allowed, because {who} broke the glass ({glass.id}): {request.prompt[0]}")
        return Settled(by="break-glass", why=glass.who, request=request, grant=grant)

    def _approved(self, request: Request, votes: tuple[Vote, ...]) -> Settled:
        grant = self._desk.grant_of(request.id)
        counted = voting.standing(self._terms, request.risk, votes, self._site.permission.is_member)
        if grant is None or counted is not voting.Standing.APPROVED:
            # SECURITY: an answer that was given elsewhere has made its grant already; it must not be used later either.
            self._desk.withdraw(request.id)
            refused = map(self._refusal, self._desk.votes(request.id))
            why = next(filter(None, refused), "it is not by those who have to approve")
            return self._end(request, Trigger.CHANGE, "session", "nobody", f"the answer does not count: {why}")
        last = next(vote for vote in reversed(votes) if vote.approve)
        if self._is_first(State.APPROVED):
            self._note(request, State.APPROVED, last, actor=grant.approver)
            self._recorder.record_soon(granted(grant, "created"))
        return Settled(by="person", why=grant.approver, request=request, grant=grant)

    def _denied(self, request: Request, votes: tuple[Vote, ...]) -> Settled:
        last = next((vote for vote in reversed(votes) if not vote.approve), None)
        if last is None:
            return Settled(by="nobody", why="the request is denied, and nobody's vote says why", request=request)
        if self._is_first(State.DENIED):
            self._note(request, State.DENIED, last)
        who = last.approver.removeprefix(PERSON)
        why = f"{who} denied it" + (f": {last.reason}" if last.reason else "")
        return Settled(by="person", why=why, request=request)

    def _refusal(self, vote: Vote) -> str:
        if not vote.approve:
            return ""
        return self._desk.problem(vote) or voting.refusal(self._terms, vote, self._site.permission.is_member)

    def _vote(self, request: Request, answer: Answer) -> Vote:
        return Vote(
            id=answer.vote,
            request=request.id,
            approver=answer.approver,
            approve=answer.approve,
            seen=answer.seen,
            scope=answer.scope,
            reason=answer.reason,
            channel=self._channel.name,
            authentication=answer.authentication,
            evidence=answer.evidence,
        )

    def _uses(self, request: Request) -> int:
        # Connections to one host come in flocks: all that wait for this answer may use it. A command runs once.
        return max(1, self._waiting) if isinstance(request.action, ConnectAction) else 1

    def _where(self, request: Request) -> str:
        asked = self._terms.steps[self._desk.step_of(request)].who if self._terms.steps else ()
        who = voting.listed(asked) if asked else "; ".join(voting.listed(one.who) for one in self._terms.thresholds)
        return f"{who} can answer: ringfence approvals show {request.id}"

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

    def _is_first(self, what: str) -> bool:
        if what in self._on_record:
            return False
        self._on_record.add(what)
        return True

    def _note(self, request: Request, after: State, vote: Vote, *, actor: str = "") -> None:
        self._recorder.record_soon(
            transition(
                request,
                after,
                now_ns=self._clock.time_ns(),
                actor=actor or vote.approver,
                channel=vote.channel or self._channel.name,
                reason=vote.reason,
                vote=vote,
            )
        )

    def _transition(self, request: Request, after: State, actor: str, reason: str) -> ApprovalTransition:
        return transition(
            request, after, now_ns=self._clock.time_ns(), actor=actor, channel=self._channel.name, reason=reason
        )
