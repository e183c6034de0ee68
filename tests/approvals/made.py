"""Actions, decisions and a desk to test with: everything that a gate is given, as small as it can be."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import msgspec

from ringfence.approvals.channels.channel import Answer, Outcome
from ringfence.approvals.desk import Desk
from ringfence.approvals.objects import Request, Scope, Vote
from ringfence.approvals.site import Site
from ringfence.approvals.stores.sqlite import SqliteStore
from ringfence.model.action import Action, CommandAction, ConnectAction
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.model.event import Body, Receipt
from ringfence.model.situations import LedgerBroken

POLICY = "sha256:policy"
SITE = Site(session="session-1", workspace="/w", policy=POLICY, timeout_seconds=60)


class Time:
    """A clock that moves only when it is moved."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000_000_000_000

    def monotonic(self) -> float:
        return self.now_ns / 1e9

    def time_ns(self) -> int:
        return self.now_ns

    def pass_seconds(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)


def counting(prefix: str = "id") -> Callable[[], str]:
    """Ids in order."""
    numbers = count(1)
    return lambda: f"{prefix}-{next(numbers):03}"


def command(*argv: str, cwd: str = "/w") -> CommandAction:
    return CommandAction(argv=argv, cwd=cwd)


def connection(host: str, port: int = 443) -> ConnectAction:
    return ConnectAction(host=host, port=port)


def reason(verdict: Verdict, rule: str = "rule") -> Reason:
    return Reason(rule=rule, layer="user", source="policy.toml:1", verdict=verdict, text="because")


def decision(action: Action, verdict: Verdict = Verdict.ASK, *rules: str, policy: str = POLICY) -> Decision:
    reasons = tuple(reason(verdict, rule) for rule in rules or ("rule",))
    return Decision(verdict=verdict, action=action, reasons=reasons, policy=policy)


def desk_at(path: str, time: Time, prefix: str = "id") -> Desk:
    return Desk(SqliteStore(path), time.time_ns, counting(prefix))


def opened(
    desk: Desk, wanted: Decision, *, session: str = "session-1", workspace: str = "/w", seconds: int = 60
) -> Request:
    request, _ = desk.open(
        wanted, session=session, workspace=workspace, channel="test", prompt=("may it?",), seconds=seconds
    )
    return request


def vote(request: Request, vote_id: str = "vote-1", *, approve: bool = True, scope: Scope = Scope.ONCE) -> Vote:
    return Vote(id=vote_id, request=request.id, approver="person:ada", approve=approve, seen=request.shown, scope=scope)


def answer(request: Request, *, approve: bool = True, scope: Scope = Scope.ONCE) -> Answer:
    return Answer(vote=f"vote-on-{request.id}", approver="person:ada", approve=approve, seen=request.shown, scope=scope)


class Memory:
    """A recorder that keeps what it is given, and breaks when it is told to."""

    def __init__(self) -> None:
        self.bodies: list[Body] = []
        self.broken: LedgerBroken | None = None

    async def record(self, body: Body) -> Receipt:
        if self.broken is not None:
            raise self.broken
        self.bodies.append(body)
        return Receipt(sequence=len(self.bodies) - 1, time_ns=0)

    def record_soon(self, body: Body, done: Callable[[Receipt | LedgerBroken], None] | None = None) -> None:
        outcome: Receipt | LedgerBroken
        if self.broken is not None:
            outcome = self.broken
        else:
            self.bodies.append(body)
            outcome = Receipt(sequence=len(self.bodies) - 1, time_ns=0)
        if done is not None:
            done(outcome)

    def names(self) -> list[str]:
        """What happened, in order: the event, and what tells it apart."""
        names = []
        for body in self.bodies:
            plain = msgspec.to_builtins(body)
            detail = plain.get("after") or plain.get("change") or plain.get("decision", {}).get("verdict", "")
            names.append(f"{plain['event']} {detail}".strip())
        return names


class Says:
    """A way of asking that always gives the same answer."""

    name = "test"
    refusal = ""

    def __init__(self, say: Callable[[Request], Outcome]) -> None:
        self._say = say
        self.asked: list[Request] = []

    async def ask(self, request: Request) -> Outcome:
        self.asked.append(request)
        return self._say(request)
