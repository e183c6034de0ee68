"""Whatever happens, in whatever order: a request is used at most once, and never without an approval in time."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule
from tests.approvals.made import Time, command, decision, desk_at, opened, vote

from ringfence.approvals.objects import Request, Scope
from ringfence.approvals.transitions import TERMINAL, State, Trigger


class Approvals(RuleBasedStateMachine):
    """Drives a desk beside a model that only knows what a person was promised."""

    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.time = Time()
        self.desk = desk_at(":memory:", self.time)
        self.approved: dict[str, int] = {}
        self.used: dict[str, int] = {}
        self.final: dict[str, State] = {}
        self.votes = 0

    @initialize(target=requests)
    def begin(self) -> Request:
        return opened(self.desk, decision(command("first")))

    @rule(target=requests, word=st.sampled_from(["first", "second"]), seconds=st.integers(1, 100))
    def ask(self, word: str, seconds: int) -> Request:
        return opened(self.desk, decision(command(word)), seconds=seconds)

    @rule(request=requests, approve=st.booleans(), scope=st.sampled_from([Scope.ONCE, Scope.SESSION]))
    def cast(self, request: Request, approve: bool, scope: Scope) -> None:
        in_time = self.time.now_ns < request.expires_ns
        self.votes += 1
        cast = self.desk.cast(vote(request, f"vote-{self.votes}", approve=approve, scope=scope))
        assert cast is not None
        if cast.counted and approve:
            assert in_time
            assert request.id not in self.approved
            self.approved[request.id] = 1 if scope is Scope.ONCE else 1000
        assert (cast.grant is not None) == (cast.counted and approve)

    @rule(request=requests, trigger=st.sampled_from([Trigger.EXPIRE, Trigger.CANCEL, Trigger.CHANGE]))
    def move(self, request: Request, trigger: Trigger) -> None:
        self.desk.move(request.id, trigger)

    @rule(request=requests)
    def use(self, request: Request) -> None:
        now = self.desk.request(request.id)
        assert now is not None
        if now.state is State.INVALIDATED:
            return
        if self.desk.use(request.id) is not None:
            self.used[request.id] = self.used.get(request.id, 0) + 1

    @rule(seconds=st.integers(1, 200))
    def wait(self, seconds: int) -> None:
        self.time.pass_seconds(seconds)

    @rule()
    def revoke_everything(self) -> None:
        for grant in self.desk.grants():
            self.desk.revoke(grant.id)

    @invariant()
    def nothing_is_used_more_often_than_it_was_approved(self) -> None:
        for name, number in self.used.items():
            assert number <= self.approved.get(name, 0)

    @invariant()
    def a_final_state_stays(self) -> None:
        for request in self.desk.requests():
            assert self.final.get(request.id, request.state) is request.state
            if request.state in TERMINAL:
                self.final[request.id] = request.state


Approvals.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestApprovals = Approvals.TestCase
