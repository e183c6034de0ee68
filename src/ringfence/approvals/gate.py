"""The gate: every action passes here, and leaves with a final decision that is on record.

Evaluate, and where the policy asks: look for a grant, then ask. It fails closed in one place: whatever goes wrong, in
the policy, the desk, the channel or the ledger, is a deny that says so. It knows no kind of action, no way of asking.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

from ringfence.approvals.answers import allowed, denied, kept, unrecorded
from ringfence.approvals.breaker import Limits
from ringfence.approvals.channels.channel import Channel, OwnPrompt
from ringfence.approvals.delegation import Delegation
from ringfence.approvals.desk import Desk
from ringfence.approvals.fuse import Fuse
from ringfence.approvals.glass import Glass
from ringfence.approvals.named_hosts import NamedHosts
from ringfence.approvals.objects import BreakGlass, Grant, Request
from ringfence.approvals.question import Question, Settled
from ringfence.approvals.records import granted, transition
from ringfence.approvals.reviewing.opinion import Conclusion, Reviewed
from ringfence.approvals.site import Site
from ringfence.approvals.stores.store import ApprovalsBroken
from ringfence.approvals.transitions import State, Trigger
from ringfence.model.action import Action, action_digest
from ringfence.model.decision import Decision, Placement, Reason, Verdict
from ringfence.model.event import DecisionMade, NoticeGiven, Receipt
from ringfence.model.ports import Clock, Recorder
from ringfence.model.situations import LedgerBroken

__all__ = ["Gate", "Site"]

SWEEP_SECONDS = 30
"""How often deadlines that have passed are written down, besides whenever somebody looks."""


class Gate:
    """Decides actions for one session. Use it as an asynchronous context: leaving it withdraws every open question."""

    def __init__(
        self,
        *,
        evaluate: Callable[[Action], Decision],
        desk: Desk,
        channel: Channel,
        recorder: Recorder,
        clock: Clock,
        site: Site,
        glass: Glass | None = None,
        limits: Limits | None = None,
        turn: Callable[[], int] = lambda: 0,
        witness: Callable[[Decision], str] = lambda _: "",
        tell: Callable[[str], None] = lambda _: None,
        keep: Callable[[Decision], Awaitable[str]] | None = None,
        review: Callable[[Decision], Awaitable[Reviewed]] | None = None,
        delegation: Delegation | None = None,
    ) -> None:
        """`turn`: a number that changes when the person speaks to the agent. `witness`: the digest of the files that
        an action would run. `tell`: says something to the person at the session's terminal. `keep`: takes a snapshot
        that brings back what an action loses, and gives the command for that; nothing where it cannot. `review`: asks
        a reviewer, and has put on record what came of it. `delegation`: keeps the questions that are left to the
        agent's own prompt, where any may be."""
        self.delegation = delegation
        self._evaluate = evaluate
        self._desk = desk
        self._glass = glass
        self._fuse = Fuse(limits or Limits(), clock, recorder, turn)
        self._witness = witness
        self._tell = tell
        self._keep = keep
        self._review = review
        self._channel = channel
        self._recorder = recorder
        self._clock = clock
        self._site = site
        self._tasks = asyncio.TaskGroup()
        self._open = False
        self._questions: dict[tuple[str, str, tuple[Reason, ...]], Question] = {}
        self._named = NamedHosts()
        self._sweeping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Gate:
        await self._tasks.__aenter__()
        self._open = True
        self._sweep()
        self._sweeping = self._tasks.create_task(self._keep_sweeping())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        for question in tuple(self._questions.values()):
            question.withdraw("the session is ending")
        if self.delegation is not None:
            self.delegation.close()
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self._tasks.__aexit__(kind, value, trace)

    def _sweep(self) -> None:
        """Put on record what ended while nobody looked: every deadline that passed, of sessions that are gone too."""
        try:
            swept = self._desk.sweep()
        except ApprovalsBroken:
            # A store that cannot be swept is told by the first question, which it denies.
            return
        for moved in swept:
            why = "nobody answered in time" if moved.after is State.EXPIRED else "it was not used in time"
            self._moved(moved.request, moved.after, why, before=moved.request.state)

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._sweep()

    async def decide(
        self,
        action: Action,
        *,
        asked_by: str,
        call: str | None = None,
        within: Callable[[Action], Decision] | None = None,
        own: OwnPrompt | None = None,
    ) -> Decision:
        """The final decision, recorded before it is returned. A cancelled caller gets none, and that is a deny.

        `within` judges in place of the session's own policy: that of the plan which the action would have, or what
        was found where an action was looked into. `own`: the agent's own prompt, to which the question may be left; a
        decision that still asks then says that it is.
        """
        decision = self._judge(action, within)
        try:
            final = await self._resolve(decision, within, own)
            await self._recorder.record(DecisionMade(decision=final, asked_by=asked_by, call=call))
        except LedgerBroken as broken:
            return unrecorded(decision, broken)
        except asyncio.CancelledError:
            final = denied(decision, by="cancelled", why="whoever asked went away before the answer")
            self._recorder.record_soon(DecisionMade(decision=final, asked_by=asked_by, call=call), lambda _: None)
            raise
        return final

    def decide_soon(
        self,
        action: Action,
        done: Callable[[Decision], None],
        *,
        asked_by: str = "gateway",
        call: str | None = None,
        within: Callable[[Action], Decision] | None = None,
    ) -> Callable[[], None]:
        """Like `decide`, with a callback; without a task for what is not asked: the ledger's receipt calls `done`.

        What it returns withdraws the question, for when nobody waits for the answer any more.
        """
        decision = self._judge(action, within)
        if decision.verdict is Verdict.ASK and self._open:
            asking = self._tasks.create_task(self._decide_later(decision, done, asked_by, call, within))

            def withdraw() -> None:
                asking.cancel()

            return withdraw
        if decision.verdict is Verdict.ASK:
            decision = denied(decision, by="nobody", why="the session is ending")

        def acknowledged(outcome: Receipt | LedgerBroken) -> None:
            done(unrecorded(decision, outcome) if isinstance(outcome, LedgerBroken) else decision)

        self._recorder.record_soon(DecisionMade(decision=decision, asked_by=asked_by, call=call), acknowledged)
        return _withdrawn_already

    async def _decide_later(
        self,
        decision: Decision,
        done: Callable[[Decision], None],
        asked_by: str,
        call: str | None,
        within: Callable[[Action], Decision] | None,
    ) -> None:
        final = denied(decision, by="cancelled", why="the session is ending")
        try:
            final = await self.decide(decision.action, asked_by=asked_by, call=call, within=within)
        finally:
            # Whatever ends this task, whoever holds a connection open gets an answer.
            done(final)

    def grants(self) -> tuple[Grant, ...]:
        """All grants there are, also those of other sessions."""
        return self._desk.grants()

    def opened(self, grant: Grant) -> frozenset[str]:
        """The connections that a grant is about or has allowed in this session, as matchers."""
        return frozenset((grant.matcher, *self._named.opened(grant.id)))

    def _judge(self, action: Action, within: Callable[[Action], Decision] | None = None) -> Decision:
        try:
            return (within or self._evaluate)(action)
        except Exception as failure:  # noqa: BLE001 - fail closed: a policy that cannot be evaluated allows nothing
            unjudged = Decision(verdict=Verdict.DENY, action=action, reasons=(), policy=self._site.policy)
            return denied(unjudged, by="error", why=f"the policy could not be evaluated: {failure}")

    async def _resolve(
        self,
        decision: Decision,
        within: Callable[[Action], Decision] | None = None,
        own: OwnPrompt | None = None,
    ) -> Decision:
        try:
            while decision.verdict is Verdict.ASK:
                final = await self._ask(decision, within, own)
                if final is not None:
                    return final
                decision = self._judge(decision.action, within)
        except LedgerBroken:
            raise
        except Exception as failure:  # noqa: BLE001 - fail closed: what cannot be asked is not allowed
            return denied(decision, by="error", why=f"it could not be asked: {failure}")
        return decision

    async def _ask(
        self, decision: Decision, within: Callable[[Action], Decision] | None, own: OwnPrompt | None
    ) -> Decision | None:
        """The final decision, or None where an approval cannot be used any more and the question starts again."""
        way_back = await self._keep(decision) if decision.undoable and self._keep is not None else ""
        if way_back:
            return kept(decision, way_back=way_back)
        grant = self._desk.use_remembered(
            decision,
            session=self._site.session,
            workspace=self._site.workspace,
            permission=self._site.permission,
        )
        if grant is not None:
            self._recorder.record_soon(granted(grant, "used"))
            self._named.note(decision, grant, self._clock.time_ns())
            return allowed(decision, by=f"grant:{grant.id}", who=grant.approver)
        named = self._named.answer(decision, self._clock.time_ns())
        if named is not None and not self._desk.revoked(named.id):
            return allowed(decision, by=f"grant:{named.id}", who=named.approver)
        reviewed = await self._reviewed(decision, within)
        if reviewed is not None:
            return reviewed
        if self._broken_glass() is None:
            if self._channel.refusal or not self._open:
                return denied(decision, by="nobody", why=self._channel.refusal or "the session is ending")
            if why := self._fuse.blown():
                return denied(decision, by="breaker", why=why)
            if (left := await self._left_to_agent(decision, own)) is not None:
                return left
        question = self._question(decision)
        settled = await question.wait(self._site.wait_seconds or None)
        if settled is None:
            return denied(decision, by="queued", why="it is queued: it waits for somebody's answer")
        self._forget(question)
        self._fuse.note(settled)
        if settled.grant is None:
            return denied(decision, by=settled.by, why=settled.why)
        return await self._use(settled, decision, within)

    async def _left_to_agent(self, decision: Decision, own: OwnPrompt | None) -> Decision | None:
        """The decision that still asks, by the agent's own prompt; None where it is asked here, on record with why."""
        if self.delegation is None or own is None:
            return None
        why = self.delegation.refusal(decision, own)
        if not why:
            left = await self.delegation.hand_over(decision, own)
            if left is not None:
                self._fuse.unanswered()
            return left
        text = f"asked here and not by the agent's own prompt: {why}"
        self._recorder.record_soon(NoticeGiven(topic="approval", text=text))
        return None

    async def _reviewed(self, decision: Decision, within: Callable[[Action], Decision] | None) -> Decision | None:
        """What a reviewer's answer makes of a question; None where somebody else decides.

        INVARIANT: a reviewer never answers what the policy leaves to named people, never overrides a rule, and never
        lets anything out of the sandbox.
        """
        inside = decision.placement is Placement.INSIDE and not decision.override
        if self._review is None or not inside or not self._site.permission.anybody_for(decision):
            return None
        shown = self._witness(decision)
        reviewed = await self._review(decision)
        match reviewed.conclusion:
            # SECURITY: a script that the agent changes while it is reviewed is another script; so is another policy.
            case Conclusion.ALLOW if (
                self._judge(decision.action, within) != decision or self._witness(decision) != shown
            ):
                return None
            case Conclusion.ALLOW:
                return allowed(decision, by="reviewer", who=f"the reviewer ({reviewed.reviewer})")
            case Conclusion.DENY:
                return denied(decision, by="reviewer", why=reviewed.told)
            case _:
                return None

    def _broken_glass(self) -> BreakGlass | None:
        permission = self._site.permission
        if self._glass is None or permission.break_glass is None:
            return None
        return self._glass.active(self._site.workspace, permission)

    def _question(self, decision: Decision) -> Question:
        """The open question for this action under this policy, with all that is asked; whoever asks the same joins it.
        Under the plan of a command, other rules ask."""
        key = (action_digest(decision.action), decision.policy, decision.reasons)
        question = self._questions.get(key)
        if question is None:
            question = self._questions[key] = Question(
                decision,
                desk=self._desk,
                channel=self._channel,
                recorder=self._recorder,
                clock=self._clock,
                site=self._site,
                witness=self._witness(decision),
                tell=self._tell,
                broken_glass=self._broken_glass,
            )
            started = question
            question.start(self._tasks).add_done_callback(lambda _: None if started.stays else self._forget(started))
        return question

    def _forget(self, question: Question) -> None:
        """Ask anew the next time."""
        self._questions = {key: one for key, one in self._questions.items() if one is not question}

    async def _use(
        self, settled: Settled, decision: Decision, within: Callable[[Action], Decision] | None
    ) -> Decision | None:
        """Use an approval, if it still is one for exactly this."""
        request = settled.request
        assert request is not None
        now = self._judge(decision.action, within)
        # INVARIANT: what was shown is what runs, under the policy that asked.
        # SECURITY: a script that the agent changes while somebody reads the question is another script.
        same_files = self._witness(now) == request.witness
        same = (now.policy, action_digest(now.action)) == (request.policy, request.digest)
        if now.verdict is not Verdict.ASK or not same or not same_files:
            self._desk.move(request.id, Trigger.CHANGE)
            self._desk.withdraw(request.id)
            changed = "the policy" if same_files else "a file that would run"
            self._moved(request, State.INVALIDATED, f"{changed} changed meanwhile")
            return None
        grant = self._desk.use(request.id)
        if grant is None:
            return None
        self._recorder.record_soon(granted(grant, "used"))
        if grant.uses == 1:
            self._moved(request, State.CONSUMED, "")
        self._named.note(decision, grant, self._clock.time_ns())
        return allowed(decision, by=settled.by, who=grant.approver)

    def _moved(self, request: Request, after: State, reason: str, *, before: State = State.APPROVED) -> None:
        actor = "timeout" if after in {State.EXPIRED, State.LAPSED} else "session"
        now, channel = self._clock.time_ns(), self._channel.name
        self._recorder.record_soon(
            transition(request, after, before=before, now_ns=now, actor=actor, channel=channel, reason=reason)
        )


def _withdrawn_already() -> None:
    """There is no question that could be withdrawn."""
