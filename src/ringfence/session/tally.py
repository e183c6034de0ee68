"""What a session's summary says: a recorder that counts what passes through it on its way to the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ringfence.approvals.reviewing.transcript import Transcript
from ringfence.model.action import Action, ConnectAction, McpAction
from ringfence.model.decision import Decision, Verdict
from ringfence.model.display import shortened, visible
from ringfence.model.event import (
    ApprovalRequested,
    Body,
    ConnectionClosed,
    ContentFound,
    DecisionMade,
    LimitReached,
    ModelAnswered,
    ModelToolCall,
    Receipt,
    ReviewMade,
    ToolCallRequested,
)
from ringfence.model.ports import Recorder
from ringfence.model.situations import LedgerBroken
from ringfence.session.mcp.stand_in import ASKED_BY as BEFORE_SERVERS
from ringfence.session.transcribing import note

_MAX_DENIALS = 100
_MAX_CALLS = 10_000


class Tally:
    """Counts, and tells `on_denial` about each denial once it is on record."""

    def __init__(self, recorder: Recorder, *, on_denial: Callable[[DecisionMade], None]) -> None:
        self._recorder = recorder
        self._on_denial = on_denial
        self.verdicts: Counter[Verdict] = Counter()
        self.asked = 0
        self.tool_calls = 0
        """What hooks reported."""
        self.server_calls = 0
        """Calls of tools of servers that no hook reported, judged on their way to the server."""
        self.hosts: dict[str, int] = {}
        """Bytes sent and received on connections, by destination that was reached."""
        self._denied_hosts: set[str] = set()
        self._without_server: set[str] = set()
        self.passed_through: set[str] = set()
        """Those of them that a policy leaves uninspected."""
        self.observed = 0
        """Decisions that rules which only observe would have changed."""
        self.denials: list[Decision] = []
        """The first hundred distinct ones."""
        self.transcript: Transcript | None = None
        """What a reviewer is shown, where there is one."""
        self.audits = 0
        """What a reviewer allowed and a person is to look at."""
        self.kept: list[Decision] = []
        """The first hundred that ran after a snapshot instead of a question."""
        self.models: dict[str, list[int]] = {}
        """Requests, tokens in and tokens out, by the model that answered."""
        self.model_cost = 0
        self.model_estimated = False
        """Whether some of the tokens are guessed."""
        self.wire_calls: dict[str, str] = {}
        """The tools that models asked for, by the id of the call."""
        self.hook_calls: set[str] = set()
        """The ids of the calls that the agent's hook reported."""
        self.limits: Counter[tuple[str, int, str]] = Counter()
        """How often each limit was reached: its key, what it allows, what came of it."""
        self.found: Counter[tuple[str, str]] = Counter()
        """What requests carried and was only put on record: its name and the destination."""

    @property
    def unreported(self) -> tuple[str, ...]:
        """The tools of calls that a model asked for and no hook reported."""
        return tuple(tool for call, tool in self.wire_calls.items() if call not in self.hook_calls)

    @property
    def denied_hosts(self) -> tuple[str, ...]:
        """Destinations that were denied and never reached."""
        return tuple(sorted(self._denied_hosts - self.hosts.keys()))

    @property
    def unreached(self) -> tuple[str, ...]:
        """Destinations that were not denied, and that nothing was sent to: no server was there."""
        return tuple(sorted(self._without_server - self.hosts.keys() - self._denied_hosts))

    async def record(self, body: Body) -> Receipt:
        """Record, then count."""
        receipt = await self._recorder.record(body)
        self._count(body)
        return receipt

    def record_soon(self, body: Body, done: Callable[[Receipt | LedgerBroken], None] | None = None) -> None:
        """Record without waiting, and count once it is durable; at once where nobody waits for that."""
        if done is None:
            # INVARIANT: without a callback of its own the ledger ends the session rather than lose an event in silence.
            self._recorder.record_soon(body)
            self._count(body)
            return

        def counted(outcome: Receipt | LedgerBroken) -> None:
            if isinstance(outcome, Receipt):
                self._count(body)
            done(outcome)

        self._recorder.record_soon(body, counted)

    def _count(self, body: Body) -> None:
        if self.transcript is not None:
            note(self.transcript, body)
        match body:
            case ReviewMade(audit=True):
                self.audits += 1
            case DecisionMade(decision=decision):
                self.verdicts[decision.verdict] += 1
                self.server_calls += body.asked_by == BEFORE_SERVERS and _is_call(decision.action)
                self.observed += bool(decision.observed)
                if decision.verdict is Verdict.DENY:
                    self._deny(body)
                elif decision.resolved_by == "snapshot" and len(self.kept) < _MAX_DENIALS:
                    self.kept.append(decision)
            case ApprovalRequested():
                self.asked += 1
            case ToolCallRequested():
                self.tool_calls += 1
                self.hook_calls.add(body.call)
            case ModelAnswered():
                self._add_model(body)
            case ModelToolCall(tool=tool, call=call, kind=kind):
                # A program in free text makes calls of its own, which have ids of their own.
                if call and kind != "custom" and len(self.wire_calls) < _MAX_CALLS:
                    self.wire_calls[call] = tool
            case LimitReached(limit=limit, allowed=allowed, outcome=outcome):
                self.limits[limit, allowed, outcome] += 1
            case ContentFound(outcome="recorded", name=name, host=host, port=port):
                self.found[name, f"{host}:{port}"] += 1
            case ConnectionClosed(host=host, port=port, sent_bytes=sent, received_bytes=received):
                name = f"{host}:{port}"
                if not body.address:
                    self._without_server.add(name)
                    return
                if body.inspection == "passed through":
                    self.passed_through.add(name)
                # What was led elsewhere went there, and not to the host that was asked.
                for each in body.reached or (name,):
                    self.hosts[each] = self.hosts.get(each, 0) + sent + received
            case _:
                pass

    def _add_model(self, body: ModelAnswered) -> None:
        counted = self.models.setdefault(body.answered_by or body.model or "?", [0, 0, 0])
        counted[0] += 1
        counted[1] += body.input_tokens
        counted[2] += body.output_tokens
        self.model_cost += body.cost_millionths
        self.model_estimated |= body.estimated

    def _deny(self, made: DecisionMade) -> None:
        action = made.decision.action
        if isinstance(action, ConnectAction) and len(self._denied_hosts) < _MAX_CALLS:
            self._denied_hosts.add(f"{action.host}:{action.port}")
        known = any(_same(made.decision, earlier) for earlier in self.denials)
        if not known and len(self.denials) < _MAX_DENIALS:
            self.denials.append(made.decision)
            self._on_denial(made)


def unreported_text(tools: tuple[str, ...]) -> str:
    """What there is to say about calls that no hook reported."""
    names = sorted(set(tools))
    some = ", ".join(f"`{shortened(visible(name), 40)}`" for name in names[:5]) + (" and others" if names[5:] else "")
    many = "a call" if len(tools) == 1 else f"{len(tools)} calls"
    return f"the model asked for {many} of tools that no hook reported ({some}): not carried out, or past the hooks"


def _is_call(action: Action) -> bool:
    """Of a tool on a server; that a server shows its tools is none."""
    return isinstance(action, McpAction) and not (action.facts and action.facts.listing)


def _same(one: Decision, other: Decision) -> bool:
    """Whether a person would call it the same denial: the same action, or another request to the same destination, for
    the same reason."""
    if _rule(one) != _rule(other):
        return False
    if isinstance(one.action, ConnectAction) and isinstance(other.action, ConnectAction):
        return (one.action.host, one.action.port) == (other.action.host, other.action.port)
    return one.action == other.action


def _rule(decision: Decision) -> str:
    return "" if decision.because is None else decision.because.rule
