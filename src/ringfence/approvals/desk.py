"""The desk: opens requests, takes votes, makes grants and lets them be used, each in one transaction of the store.

Nothing here asks anybody and nothing waits. Deadlines count when they are read, so a crash cannot keep a request open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from ringfence.approvals import matchers
from ringfence.approvals.objects import NANOSECONDS, ONCE_SECONDS, REPO_DAYS, Grant, Request, Scope, Vote
from ringfence.approvals.permission import Permission, wider
from ringfence.approvals.stores.store import ApprovalsBroken, Store
from ringfence.approvals.transitions import Illegal, State, Trigger, at, step
from ringfence.model.canonical import digest
from ringfence.model.decision import Decision

_SESSION_SECONDS = 7 * 24 * 3600


class Cast(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a vote."""

    request: Request
    """The request as it stands now."""
    counted: bool
    """Whether this vote decided it; a vote that came late, or that was cast before, changes nothing."""
    grant: Grant | None = None
    problem: str = ""
    """Why the vote was not taken."""


class Desk:
    """The requests and grants of one user."""

    def __init__(self, store: Store, now_ns: Callable[[], int], new_id: Callable[[], str]) -> None:
        self._store = store
        self._now_ns = now_ns
        self._new_id = new_id

    def open(
        self,
        decision: Decision,
        *,
        session: str,
        workspace: str,
        channel: str,
        prompt: Sequence[str],
        seconds: int,
        widest: Scope = Scope.REPO,
    ) -> tuple[Request, bool]:
        """The request for this question, and whether it is new: the same question joins the one that is open."""
        now = self._now_ns()
        action = decision.action
        fresh = Request(
            id=self._new_id(),
            session=session,
            workspace=workspace,
            action=action,
            digest=matchers.once(action).removeprefix("exact:"),
            policy=decision.policy,
            placement=decision.placement,
            asking=matchers.asking(decision),
            matcher=matchers.remembered(action),
            channel=channel,
            prompt=tuple(prompt),
            shown=digest(list(prompt)),
            created_ns=now,
            expires_ns=now + seconds * NANOSECONDS,
            widest=Scope.ONCE if decision.override else widest,
            override=decision.override,
        )
        with self._transaction():
            standing = self._store.pending(fresh.dedupe)
            if standing is not None:
                state = self._refreshed(standing).state
                if state is State.PENDING:
                    return standing, False
                self._store.set_state(standing.id, state)
            self._store.add_request(fresh)
        return fresh, True

    def request(self, request_id: str) -> Request | None:
        """A request as it stands now."""
        with self._errors():
            found = self._store.request(request_id)
            return None if found is None else self._refreshed(found)

    def requests(self, prefix: str = "") -> tuple[Request, ...]:
        """All requests as they stand now, newest first."""
        with self._errors():
            return tuple(self._refreshed(request) for request in self._store.requests(prefix))

    def votes(self, request_id: str) -> tuple[Vote, ...]:
        """The votes on a request."""
        with self._errors():
            return tuple(self._store.votes(request_id))

    def cast(self, vote: Vote, *, uses: int = 1) -> Cast | None:
        """Take a vote; None for a request that does not exist. An approval for `once` covers `uses` uses."""
        with self._transaction():
            found = self._store.request(vote.request)
            if found is None:
                return None
            request = self._refreshed(found)
            if self._store.vote(vote.id) is not None:
                return Cast(request=request, counted=False, grant=self._store.grant_of(request.id))
            # INVARIANT: what was shown is what is approved; a vote on anything else is not a vote on this.
            if vote.seen != request.shown:
                return Cast(request=request, counted=False, problem="what was seen is not what is asked")
            problem = _beyond(request, vote)
            if problem:
                return Cast(request=request, counted=False, problem=problem)
            self._store.add_vote(vote)
            after = step(request.state, Trigger.APPROVE if vote.approve else Trigger.DENY)
            if isinstance(after, Illegal):
                return Cast(request=request, counted=False, problem=str(after))
            self._store.set_state(request.id, after)
            request = msgspec.structs.replace(request, state=after)
            grant = self._grant(request, vote, uses) if vote.approve else None
            if grant is not None:
                self._store.add_grant(grant)
            return Cast(request=request, counted=True, grant=grant)

    def move(self, request_id: str, trigger: Trigger) -> State | Illegal | None:
        """Let something else than a vote happen to a request; None for a request that does not exist."""
        with self._transaction():
            found = self._store.request(request_id)
            if found is None:
                return None
            state = self._refreshed(found).state
            after = step(state, trigger)
            self._store.set_state(request_id, state if isinstance(after, Illegal) else after)
            return after

    def use(self, request_id: str) -> Grant | None:
        """Take one use of the grant that a request made; None where there is none left."""
        with self._transaction():
            found, grant = self._store.request(request_id), self._store.grant_of(request_id)
            if found is None or grant is None or not self._store.consume(grant.id, self._now_ns()):
                return None
            after = step(found.state, Trigger.CONSUME)
            if not isinstance(after, Illegal):
                self._store.set_state(request_id, after)
            elif found.state is not State.CONSUMED:
                raise ApprovalsBroken(f"{after}: its grant cannot be used")
            return msgspec.structs.replace(grant, uses=grant.uses + 1)

    def use_remembered(
        self, decision: Decision, *, session: str, workspace: str, permission: Permission | None = None
    ) -> Grant | None:
        """Take one use of a remembered grant that answers everything this decision asks, as far as the policy permits
        it. An override is never remembered."""
        if decision.override:
            return None
        permitted = permission or Permission()
        with self._errors():
            # Looked up first without a lock: most actions have no grant, and must not wait for a writer.
            fitting = [
                grant
                for grant in self._store.grants(matchers.remembered(decision.action))
                if _answers(grant, decision, session, workspace) and permitted.covers(grant, self._now_ns())
            ]
        for grant in fitting:
            with self._transaction():
                if self._store.consume(grant.id, self._now_ns()):
                    return msgspec.structs.replace(grant, uses=grant.uses + 1)
        return None

    def grants(self, prefix: str = "") -> tuple[Grant, ...]:
        """All grants, newest first."""
        with self._errors():
            return tuple(self._store.grants(prefix=prefix))

    def revoked(self, grant_id: str) -> bool:
        """Whether a grant was taken back, or is gone."""
        found = self.grants(grant_id)
        return not found or found[0].revoked_ns is not None

    def revoke(self, grant_id: str) -> bool:
        """Revoke a grant; false where it was revoked already. A request that was not used yet is revoked with it."""
        with self._transaction():
            if not self._store.revoke(grant_id, self._now_ns()):
                return False
            for grant in self._store.grants(prefix=grant_id):
                request = self._store.request(grant.request)
                # What lapsed meanwhile stays lapsed.
                after = step(self._refreshed(request).state, Trigger.REVOKE) if request is not None else None
                if isinstance(after, State):
                    self._store.set_state(grant.request, after)
            return True

    def withdraw(self, request_id: str) -> None:
        """Take back the grant that a request made, if it made one."""
        with self._transaction():
            grant = self._store.grant_of(request_id)
            if grant is not None:
                self._store.revoke(grant.id, self._now_ns())

    def _grant(self, request: Request, vote: Vote, uses: int) -> Grant:
        once = vote.scope is Scope.ONCE
        lasting = {Scope.ONCE: ONCE_SECONDS, Scope.SESSION: _SESSION_SECONDS, Scope.REPO: REPO_DAYS * 24 * 3600}
        seconds = lasting[vote.scope] if vote.seconds is None else min(vote.seconds, lasting[Scope.REPO])
        now = self._now_ns()
        return Grant(
            id=self._new_id(),
            request=request.id,
            matcher=f"exact:{request.digest}" if once else request.matcher,
            scope=vote.scope,
            session=request.session,
            workspace=request.workspace,
            placement=request.placement,
            policy=request.policy,
            asking=request.asking,
            created_ns=now,
            expires_ns=now + seconds * NANOSECONDS,
            approver=vote.approver,
            max_uses=uses if once else None,
        )

    def _refreshed(self, request: Request) -> Request:
        """The request with its deadline applied: it counts when it is read, not when somebody sweeps."""
        expires = request.expires_ns
        if request.state is State.APPROVED:
            grant = self._store.grant_of(request.id)
            expires = grant.expires_ns if grant is not None else expires
        return msgspec.structs.replace(request, state=at(request.state, expires, self._now_ns()))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors(), self._store.transaction():
            yield

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, msgspec.MsgspecError, ValueError) as failure:
            raise ApprovalsBroken(
                f"the approvals cannot be read or written: {failure}", remedy="move the file of approvals aside"
            ) from failure


def _beyond(request: Request, vote: Vote) -> str:
    """Why a yes is more than the policy permits, or less than it demands."""
    if not vote.approve:
        return ""
    if wider(vote.scope, request.widest):
        return f"the policy permits an answer for `{request.widest}` at most"
    if request.override and not vote.reason.strip():
        return "it overrides a rule that denies, so it needs a reason: `--reason`"
    return ""


def _answers(grant: Grant, decision: Decision, session: str, workspace: str) -> bool:
    """Whether a remembered grant covers a decision: same place and placement, and no rule asks that did not then."""
    match grant.scope:
        case Scope.ONCE:
            return False
        case Scope.SESSION:
            here = grant.session == session and grant.policy == decision.policy
        case Scope.REPO:
            here = grant.workspace == workspace
    asking = matchers.asking(decision)
    return here and bool(asking) and set(asking) <= set(grant.asking) and grant.placement is decision.placement
