"""What has to be true of a store of approvals at every moment, whatever was killed before."""

from __future__ import annotations

from collections import Counter

from ringfence.approvals import voting
from ringfence.approvals.objects import Request
from ringfence.approvals.stores.store import Store
from ringfence.approvals.transitions import State
from ringfence.approvals.voting import Standing
from ringfence.model.vote import Authentication, link

_BY_YES = {State.APPROVED, State.CONSUMED, State.LAPSED, State.REVOKED}


def check(store: Store) -> None:
    """All of it."""
    requests = store.requests()
    open_ones = Counter(request.dedupe for request in requests if request.state is State.PENDING)
    assert all(number == 1 for number in open_ones.values()), "one question is open twice"
    for request in requests:
        _votes(store, request)
        _grant(store, request)


def _votes(store: Store, request: Request) -> None:
    votes = store.votes(request.id)
    expected = request.binding
    for vote in votes:
        assert vote.previous == expected, "the votes are not linked"
        expected = link(vote)
    assert len({vote.id for vote in votes}) == len(votes), "one vote is there twice"
    grant = store.grant_of(request.id)
    if grant is not None and grant.break_glass:
        return
    if any(vote.authentication is Authentication.AGENT_REPORTED for vote in votes):
        _reported(store, request)
        return
    in_time = [vote for vote in votes if vote.at_ms * 1_000_000 < request.expires_ns]
    says = voting.standing(request.terms, request.risk, in_time, lambda _name, _group: True)
    if request.state in _BY_YES:
        assert says is not Standing.OPEN, "it is approved without the votes for it"
    if request.state is State.DENIED:
        assert says is Standing.DENIED, "it is denied without a vote for it"
    if request.state is State.PENDING:
        assert says is Standing.OPEN, "the votes have decided it, and it is open"


def _reported(store: Store, request: Request) -> None:
    """What an agent says of its own prompt ends what was left to it, and nothing else, and permits nothing."""
    reports = [vote for vote in store.votes(request.id) if vote.authentication is Authentication.AGENT_REPORTED]
    assert len(reports) == 1, "an agent has reported twice"
    ended = State.CONSUMED if reports[0].approve else State.DENIED
    assert request.state is ended, "the report is not how it ended"
    assert store.grant_of(request.id) is None, "an agent's word has made a grant"


def _grant(store: Store, request: Request) -> None:
    grant = store.grant_of(request.id)
    if request.state in {State.PENDING, State.DENIED, State.EXPIRED, State.CANCELLED}:
        assert grant is None, f"a request that is {request.state} has a grant"
    reported = any(vote.authentication is Authentication.AGENT_REPORTED for vote in store.votes(request.id))
    if request.state in _BY_YES and not reported:
        assert grant is not None, f"a request that is {request.state} has no grant"
    if grant is None:
        return
    assert grant.max_uses is None or grant.uses <= grant.max_uses, "a grant was used more often than it says"
    if request.state is State.APPROVED and grant.max_uses is not None:
        assert grant.uses == 0, "what was used is not marked as used"
    if request.state is State.CONSUMED:
        assert grant.uses > 0, "what is marked as used was not used"
