"""Questions that are left to the agent's own prompt: which ones may be, and what the agent reports of them afterwards.

Such a question is not answered here: the agent's hook is told to ask, and what follows is the agent's word. So it is
recorded as that, makes no grant, and is never taken where the policy names people, demands more, or fears more.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ringfence.approvals.channels.channel import OwnPrompt
from ringfence.approvals.desk import Desk
from ringfence.approvals.objects import Request, Vote
from ringfence.approvals.prompt import prompt
from ringfence.approvals.records import transition
from ringfence.approvals.since import LOOKED_AT, since
from ringfence.approvals.site import Site
from ringfence.approvals.transitions import Illegal, State, Trigger
from ringfence.approvals.voting import is_at_least
from ringfence.model.action import CommandAction
from ringfence.model.decision import Decision, Placement, Risk
from ringfence.model.event import ApprovalRequested, NoticeGiven, VoteTaken
from ringfence.model.ports import Clock, Recorder
from ringfence.model.vote import AGENT, Authentication
from ringfence.model.wording import action_text

CHANNEL = "delegated"
MOST_LINES = 14
"""Longer questions would push their end off the agent's dialog, which never says so."""
MOST_CHARACTERS = 1200
MOST_AT_ONCE = 16
"""SECURITY: a program inside can begin tool calls that never end."""


class _Open(msgspec.Struct, frozen=True, kw_only=True):
    """A question that the agent is asking."""

    request: Request
    prompt: OwnPrompt
    was_shown: bool = False
    """Whether the agent reported that its prompt comes up."""


class Delegation:
    """The questions of one session that the agent's own prompt is asking."""

    def __init__(
        self,
        *,
        desk: Desk,
        recorder: Recorder,
        clock: Clock,
        site: Site,
        new_id: Callable[[], str],
        witness: Callable[[Decision], str] = lambda _: "",
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._desk = desk
        self._recorder = recorder
        self._clock = clock
        self._site = site
        self._new_id = new_id
        self._witness = witness
        self._tell = tell
        self._open: dict[str, _Open] = {}
        """By the agent's own id of the tool call."""

    def refusal(self, decision: Decision, own: OwnPrompt) -> str:
        """Why a question is not left to the agent; empty where it is."""
        limit = self._site.permission.delegate_up_to
        if limit is None:
            return "the policy leaves none to it (`approvals.delegate`)"
        if own.refusal:
            return own.refusal
        if len(self._open) >= MOST_AT_ONCE:
            return "the agent asks too many at once"
        if not own.call or own.call in self._open:
            return "the agent gives the tool call no name of its own"
        # INVARIANT: high risk is never delegated, whatever the policy says: its answer would be the agent's word.
        if is_at_least(decision.risk, Risk.HIGH) or not is_at_least(limit, decision.risk):
            return f"it is of {decision.risk.value} risk"
        if decision.override or decision.placement is not Placement.INSIDE:
            return "it overrides a rule, or leaves the sandbox"
        if not self._site.permission.anybody_for(decision):
            return "the policy names who has to answer"
        if not isinstance(decision.action, CommandAction):
            return "the agent's prompt shows our words for commands only"
        lines = self._lines(decision)
        if len(lines) > MOST_LINES or sum(map(len, lines)) > MOST_CHARACTERS:
            return "it is too long for the agent's prompt"
        return ""

    async def hand_over(self, decision: Decision, own: OwnPrompt) -> Decision | None:
        """Leave a question to the agent, on record; None where somebody else is asked the same already."""
        lines = self._lines(decision)
        request, fresh = self._desk.open(
            decision,
            session=self._site.session,
            workspace=self._site.workspace,
            channel=CHANNEL,
            prompt=lines,
            seconds=self._site.timeout_seconds,
            terms=self._site.permission.terms_for(decision),
            witness=self._witness(decision),
            host=self._site.host,
        )
        if not fresh or isinstance(self._desk.move(request.id, Trigger.DELEGATE), Illegal):
            return None
        self._open[own.call] = _Open(request=request, prompt=own)
        await self._recorder.record(
            ApprovalRequested(
                request=request.id,
                action=request.digest,
                policy=request.policy,
                channel=CHANNEL,
                shown=request.shown,
                expires_ms=(request.expires_ns - self._clock.time_ns()) // 1_000_000,
                what=action_text(request.action),
            )
        )
        self._moved(request, State.PENDING, State.DELEGATED, "session", "it is left to the agent's own prompt")
        return msgspec.structs.replace(
            decision, resolved_by=CHANNEL, message="\n".join(lines), next_steps=("answer the agent's own prompt",)
        )

    def prompted(self, arguments: str) -> None:
        """The agent says that its prompt comes up. It names no call, so it is the oldest one with these arguments."""
        for call, one in self._open.items():
            if one.prompt.arguments == arguments and not one.was_shown:
                self._open[call] = msgspec.structs.replace(one, was_shown=True)
                return

    def ran(self, call: str, arguments: str) -> None:
        """The agent says that a call went ahead."""
        one = self._open.pop(call, None)
        if one is None:
            return
        if one.prompt.arguments != arguments:
            self._ran_otherwise(one, "the agent ran something else than what was asked")
        elif not one.was_shown:
            self._ran_otherwise(one, "the agent ran it, and did not say that anybody was asked")
        elif not self._report(one, Trigger.REPORT, "the agent reports that it was answered with yes"):
            self._ran_otherwise(one, "the agent ran it after the question had ended")

    def refused(self, calls: tuple[str, ...]) -> None:
        """The agent goes on, and these calls are over without having run."""
        for call in calls:
            one = self._open.pop(call, None)
            if one is not None:
                self._report(one, Trigger.ABANDON, "the agent reports that it was not answered with yes")

    def turn_ended(self) -> None:
        """The agent's turn is over: what has not run by now does not run."""
        self.refused(tuple(self._open))

    def close(self) -> None:
        """The session ends."""
        for one in self._open.values():
            if not isinstance(self._desk.move(one.request.id, Trigger.CANCEL), Illegal):
                self._moved(one.request, State.DELEGATED, State.CANCELLED, "session", "the session is ending")
        self._open.clear()

    def _lines(self, decision: Decision) -> tuple[str, ...]:
        """What the agent is given to show. What was approved before, and how it differs, is told as everywhere."""
        approved = self._desk.approved(self._site.workspace, LOOKED_AT)
        witness, now = self._witness(decision), self._clock.time_ns()
        changed = since(decision.action, witness, approved, self._desk.is_by_people, now)
        return tuple(line for line in prompt(decision, lasts=False, since=changed) if line)

    def _report(self, one: _Open, trigger: Trigger, reason: str) -> bool:
        vote = Vote(
            id=self._new_id(),
            request=one.request.id,
            approver=f"{AGENT}{one.prompt.agent}",
            approve=trigger is Trigger.REPORT,
            seen=one.request.shown,
            reason=reason,
            channel=CHANNEL,
            authentication=Authentication.AGENT_REPORTED,
        )
        taken = self._desk.report(vote, trigger)
        if taken is None:
            return False
        self._recorder.record_soon(VoteTaken(vote=taken[0]))
        self._moved(one.request, State.DELEGATED, taken[1], vote.approver, reason, vote=taken[0])
        return True

    def _ran_otherwise(self, one: _Open, why: str) -> None:
        """It ran, and nobody's answer covers that. Nothing can stop it any more; it is told as what it is."""
        if not isinstance(self._desk.move(one.request.id, Trigger.CHANGE), Illegal):
            self._moved(one.request, State.DELEGATED, State.INVALIDATED, f"{AGENT}{one.prompt.agent}", why)
        text = f"{why}: {action_text(one.request.action)} (request {one.request.id})"
        self._recorder.record_soon(NoticeGiven(topic="approval", text=text))
        self._tell(f"ringfence: {text}")

    def _moved(
        self, request: Request, before: State, after: State, actor: str, reason: str, vote: Vote | None = None
    ) -> None:
        now = self._clock.time_ns()
        self._recorder.record_soon(
            transition(
                request, after, before=before, now_ns=now, actor=actor, channel=CHANNEL, reason=reason, vote=vote
            )
        )
