"""Whatever happens, in whatever order, killed at whatever step: nothing is used without a yes in time, or twice."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.approvals import promises
from tests.approvals.conftest import opened_at
from tests.approvals.crashing import crash
from tests.approvals.made import Time, command, counting, decision
from tests.approvals.postgresql import MEMORY, Server

from ringfence.approvals.desk import Desk
from ringfence.approvals.objects import BreakGlass, Request, Scope, Vote
from ringfence.approvals.transitions import TERMINAL, State, Trigger
from ringfence.approvals.voting import Step, Terms, Threshold
from ringfence.model.vote import Authentication

PEOPLE = ("ada", "bob", "cy")
TERMS = {
    "anybody": Terms(),
    "two": Terms(thresholds=(Threshold(approve=2),)),
    "two sets": Terms(thresholds=(Threshold(who=("ada", "bob")), Threshold(who=("bob", "cy"), deny=2))),
    "not the owner": Terms(owner="person:ada", owner_may=False),
    "a ladder": Terms(steps=(Step(who=("ada",)), Step(who=("bob", "cy"), after_seconds=30))),
}
GLASS = BreakGlass(id="g", who="person:ada", reason="r", workspace="/w", created_ns=0, expires_ns=1 << 62)


class Approvals(RuleBasedStateMachine):
    """Drives a desk beside a model that only knows what people have been told."""

    requests = Bundle("requests")
    address: Callable[[], str]

    def __init__(self) -> None:
        super().__init__()
        self.place = self.address()
        self.time = Time()
        self.store = opened_at(self.place)
        self.desk = Desk(self.store, self.time.time_ns, counting())
        self.told_used: dict[str, int] = {}
        self.final: dict[str, State] = {}
        self.votes = 0

    def teardown(self) -> None:
        self.store.close()

    @initialize(target=requests)
    def begin(self) -> Request:
        return self._opened(self.desk, "first", "anybody", 60)

    @rule(target=requests, word=st.sampled_from(["first", "second"]), terms=st.sampled_from(sorted(TERMS)))
    def ask(self, word: str, terms: str) -> Request:
        return self._opened(self.desk, word, terms, 60)

    @rule(
        request=requests,
        who=st.sampled_from(PEOPLE),
        approve=st.booleans(),
        scope=st.sampled_from([Scope.ONCE, Scope.SESSION]),
        again=st.booleans(),
    )
    def cast(self, request: Request, who: str, approve: bool, scope: Scope, again: bool) -> None:
        now = self.desk.request(request.id)
        vote = self._vote(request, who, approve=approve, scope=scope)
        cast = self.desk.cast(vote)
        assert cast is not None and now is not None
        if cast.counted:
            assert now.state is State.PENDING
        assert (cast.grant is not None) == (cast.counted and cast.request.state is State.APPROVED)
        if again:
            repeated = self.desk.cast(vote)
            assert repeated is not None and not repeated.counted

    @rule(request=requests, trigger=st.sampled_from([Trigger.EXPIRE, Trigger.CANCEL, Trigger.CHANGE]))
    def move(self, request: Request, trigger: Trigger) -> None:
        self.desk.move(request.id, trigger)

    @rule(request=requests)
    def use(self, request: Request) -> None:
        now = self.desk.request(request.id)
        assert now is not None
        # Whoever asks for an action that has changed is told so, and does not use what was approved.
        if now.state is not State.INVALIDATED and self.desk.use(request.id) is not None:
            self.told_used[request.id] = self.told_used.get(request.id, 0) + 1

    @rule(request=requests)
    def leave_to_the_agent(self, request: Request) -> None:
        self.desk.move(request.id, Trigger.DELEGATE)

    @rule(request=requests, ran=st.booleans())
    def the_agent_reports(self, request: Request, ran: bool) -> None:
        now = self.desk.request(request.id)
        taken = self.desk.report(self._report(request, ran=ran), Trigger.REPORT if ran else Trigger.ABANDON)
        assert now is not None
        assert (taken is not None) == (now.state is State.DELEGATED)

    @rule(request=requests)
    def climb(self, request: Request) -> None:
        self.desk.escalate(request.id)

    @rule(request=requests)
    def break_glass(self, request: Request) -> None:
        self.desk.through_glass(request.id, GLASS)

    @rule(seconds=st.integers(-40, 100))
    def clock_moves(self, seconds: int) -> None:
        self.time.pass_seconds(seconds)

    @rule()
    def sweep(self) -> None:
        self.desk.sweep()

    @rule()
    def revoke_everything(self) -> None:
        for grant in self.desk.grants():
            self.desk.revoke(grant.id)

    @rule(
        request=requests,
        what=st.sampled_from(
            ["ask", "yes", "no", "use", "climb", "glass", "cancel", "sweep", "revoke", "delegate", "report"]
        ),
        at=st.integers(0, 14),
    )
    def is_killed(self, request: Request, what: str, at: int) -> None:
        # Here, and not where it is killed: no two votes have one name.
        vote = self._vote(request, "ada", approve=what == "yes", scope=Scope.ONCE)
        report = self._report(request, ran=True)
        acts: dict[str, Callable[[Desk], object]] = {
            "ask": lambda desk: self._opened(desk, "first", "two", 60),
            "yes": lambda desk: desk.cast(vote),
            "no": lambda desk: desk.cast(vote),
            "use": lambda desk: desk.use(request.id),
            "climb": lambda desk: desk.escalate(request.id),
            "glass": lambda desk: desk.through_glass(request.id, GLASS),
            "cancel": lambda desk: desk.move(request.id, Trigger.CANCEL),
            "sweep": lambda desk: desk.sweep(),
            "delegate": lambda desk: desk.move(request.id, Trigger.DELEGATE),
            "report": lambda desk: desk.report(report, Trigger.REPORT),
            "revoke": lambda desk: [desk.revoke(grant.id) for grant in desk.grants()],
        }
        if what == "use" and self._state(request) is State.INVALIDATED:
            return
        crash(self.place, self.time, at, acts[what])

    @invariant()
    def every_promise_is_kept(self) -> None:
        promises.check(self.store)

    @invariant()
    def nobody_was_told_to_go_ahead_more_often_than_once(self) -> None:
        for name, number in self.told_used.items():
            grant = self.store.grant_of(name)
            assert grant is not None
            assert number <= grant.uses <= (grant.max_uses or 1_000)

    @invariant()
    def a_final_state_that_was_written_stays(self) -> None:
        for request in self.store.requests():
            assert self.final.get(request.id, request.state) is request.state
            if request.state in TERMINAL:
                self.final[request.id] = request.state

    def _opened(self, desk: Desk, word: str, terms: str, seconds: int) -> Request:
        request, _ = desk.open(
            decision(command(word)),
            session="session-1",
            workspace="/w",
            channel="test",
            prompt=("may it?",),
            seconds=seconds,
            terms=TERMS[terms],
        )
        return request

    def _vote(self, request: Request, who: str, *, approve: bool, scope: Scope) -> Vote:
        self.votes += 1
        return Vote(
            id=f"vote-{self.votes}",
            request=request.id,
            approver=f"person:{who}",
            approve=approve,
            seen=request.shown,
            scope=scope,
        )

    def _report(self, request: Request, *, ran: bool) -> Vote:
        one = self._vote(request, "x", approve=ran, scope=Scope.ONCE)
        return msgspec.structs.replace(
            one, approver="agent:claude", channel="delegated", authentication=Authentication.AGENT_REPORTED
        )

    def _state(self, request: Request) -> State | None:
        found = self.desk.request(request.id)
        return found and found.state


def run(address: Callable[[], str], examples: int) -> None:
    kind = type("Driven", (Approvals,), {"address": staticmethod(address)})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        kind,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.slow
def test_invariant_5_whatever_happens_to_the_users_file_every_promise_is_kept() -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        numbers = counting()
        run(lambda: os.path.join(folder, f"{numbers()}.db"), 15)


@pytest.mark.slow
def test_invariant_5_whatever_happens_in_postgresql_every_promise_is_kept(postgresql: Server) -> None:
    run(postgresql.database, 6)
