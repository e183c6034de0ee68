"""The desk: opens requests, takes votes, makes grants and lets them be used, each in one transaction of the store.

Nothing here asks anybody and nothing waits. Deadlines count when they are read, so a crash cannot keep a request open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from ringfence.approvals import amendments, matchers, voting
from ringfence.approvals.objects import (
    CLOCK_SLACK_NS,
    NANOSECONDS,
    ONCE_SECONDS,
    REPO_DAYS,
    BreakGlass,
    Grant,
    Request,
    Scope,
    Vote,
)
from ringfence.approvals.permission import Permission, narrowest, wider
from ringfence.approvals.signing import Check, Signer, signed
from ringfence.approvals.stores.store import ApprovalsBroken, Store, broken
from ringfence.approvals.transitions import Illegal, State, Trigger, at, step
from ringfence.approvals.voting import IsMember, Standing, Terms
from ringfence.model.canonical import digest
from ringfence.model.decision import Decision
from ringfence.model.vote import link, same_answer, text_digest

_SESSION_SECONDS = 7 * 24 * 3600
_LASTING = {Scope.ONCE: ONCE_SECONDS, Scope.SESSION: _SESSION_SECONDS, Scope.REPO: REPO_DAYS * 24 * 3600}


class Cast(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a vote."""

    request: Request
    """The request as it stands now."""
    counted: bool
    """Whether this vote decided it; a vote that came late, or that was cast before, changes nothing."""
    grant: Grant | None = None
    problem: str = ""
    """Why the vote was not taken."""
    vote: Vote | None = None
    """The vote as it was taken down, linked and signed; None where it was not, or was before."""

    @property
    def waits(self) -> bool:
        """Whether the vote was taken, and others are needed as well."""
        return not self.problem and not self.counted and self.request.state is State.PENDING


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A change of state that nobody's answer made."""

    request: Request
    """The request before."""
    after: State


class Desk:
    """The requests and grants of one user."""

    def __init__(
        self,
        store: Store,
        now_ns: Callable[[], int],
        new_id: Callable[[], str],
        *,
        signer: Signer | None = None,
        is_member: IsMember = lambda _name, _group: False,
        check: Check = lambda _: "",
    ) -> None:
        """`check`: looks at the signatures of votes before they count; those in the store may be anybody's."""
        self._store = store
        self._now_ns = now_ns
        self._new_id = new_id
        self._signer = signer
        self._is_member = is_member
        self._check = check

    @property
    def look_seconds(self) -> float:
        """How often somebody who waits may look for an answer."""
        return self._store.look_seconds

    def others_wrote(self) -> int | None:
        """A number that is another one once somebody else has written; None where only reading can tell."""
        with self._errors():
            return self._store.others_wrote()

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
        terms: Terms | None = None,
        witness: str = "",
        host: str = "",
    ) -> tuple[Request, bool]:
        """The request for this question, and whether it is new: the same question joins the one that is open."""
        now = self._now_ns()
        action, offered = decision.action, amendments.offer(decision)
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
            risk=decision.risk,
            effects=decision.effects,
            begins=offered.words,
            why_exact=offered.why_not,
            terms=terms or Terms(),
            witness=witness,
            host=host,
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

    def unfinished(self) -> tuple[Request, ...]:
        """Requests that are pending, delegated or approved, oldest first."""
        with self._errors():
            return tuple(self._refreshed(request) for request in self._store.unfinished())

    def waiting(self) -> tuple[Request, ...]:
        """The requests that wait for an answer now, oldest first."""
        with self._errors():
            found = tuple(self._refreshed(request) for request in self._store.unfinished())
        return tuple(request for request in found if request.state is State.PENDING)

    def votes(self, request_id: str) -> tuple[Vote, ...]:
        """The votes on a request."""
        with self._errors():
            return tuple(self._store.votes(request_id))

    def approved(self, workspace: str, most: int) -> tuple[Request, ...]:
        """The newest questions of a workspace that were approved, as it stands in the store, newest first."""
        with self._errors():
            return tuple(one for one in self._store.approved(most) if one.workspace == workspace)

    def is_by_people(self, request: Request) -> bool:
        """Whether somebody has approved a request, by votes that are theirs."""
        return any(vote.approve and vote.is_human for vote in self.counted(self.votes(request.id)))

    def problem(self, vote: Vote) -> str:
        """Why a vote in the store counts for nobody; empty where it counts."""
        return self._check(vote)

    def counted(self, votes: Sequence[Vote]) -> tuple[Vote, ...]:
        """Those of some votes that are by whom they name."""
        # SECURITY: whoever writes to a shared store writes votes; only the keys of people make them theirs.
        return tuple(vote for vote in votes if not self._check(vote))

    def grant_of(self, request_id: str) -> Grant | None:
        """The grant that a request made."""
        with self._errors():
            return self._store.grant_of(request_id)

    def cast(self, vote: Vote, *, uses: int = 1) -> Cast | None:
        """Take a vote; None for a request that does not exist. An approval for `once` covers `uses` uses."""
        with self._transaction():
            found = self._store.request(vote.request)
            if found is None:
                return None
            request = self._refreshed(found)
            if request.state is not found.state:
                # SECURITY: written down, because a clock that is set right again must not make a late vote count.
                self._store.set_state(request.id, request.state)
            known = self._store.vote(vote.id)
            if known is not None:
                problem = "" if same_answer(known, vote) else "this vote was cast before, and said something else"
                return Cast(request=request, counted=False, grant=self._store.grant_of(request.id), problem=problem)
            votes = self.counted(self._store.votes(request.id))
            problem = self._refusal(request, vote, votes)
            if problem:
                return Cast(request=request, counted=False, problem=problem)
            taken = self._take(request, vote)
            late = step(request.state, Trigger.APPROVE if vote.approve else Trigger.DENY)
            if isinstance(late, Illegal):
                return Cast(request=request, counted=False, problem=str(late), vote=taken)
            after = step(request.state, self._trigger(request, (*votes, taken)))
            assert isinstance(after, State), "what is pending takes every outcome of a vote"
            return self._settled(request, after, taken, votes, uses)

    def through_glass(self, request_id: str, glass: BreakGlass) -> Grant | None:
        """Approve a request because the glass is broken, for once; None where it is not open any more."""
        with self._transaction():
            found = self._store.request(request_id)
            request = found and self._refreshed(found)
            after = request and step(request.state, Trigger.BREAK_GLASS)
            if request is None or not isinstance(after, State):
                return None
            self._store.set_state(request.id, after)
            by = Vote(id="", request=request.id, approver=glass.who, approve=True, seen=request.shown)
            grant = self._grant(request, [by], 1, break_glass=glass.id)
            self._store.add_grant(grant)
            return grant

    def settle(self, request_id: str, *, uses: int = 1) -> Cast | None:
        """Let the votes that are there decide, as after a crash; None where they do not."""
        with self._transaction():
            found = self._store.request(request_id)
            votes = self.counted(self._store.votes(request_id))
            request = found and self._refreshed(found)
            if request is None or request.state is not State.PENDING or not votes:
                return None
            after = step(request.state, self._trigger(request, votes))
            if isinstance(after, Illegal) or after is State.PENDING:
                return None
            return self._settled(request, after, votes[-1], votes[:-1], uses)

    def escalate(self, request_id: str) -> Request | None:
        """Hand a request to the next step of its ladder, because who was asked cannot answer; None where there is none.

        The votes that are there stay: who could not be reached has not said no.
        """
        with self._transaction():
            found = self._store.request(request_id)
            request = found and self._refreshed(found)
            if request is None or isinstance(step(request.state, Trigger.ESCALATE), Illegal):
                return None
            following = self.step_of(request) + 1
            if following >= len(request.terms.steps):
                return None
            self._store.set_step(request.id, following)
            return msgspec.structs.replace(request, step=following)

    def step_of(self, request: Request) -> int:
        """The step of the ladder that a request has reached: by time, or because it was handed on."""
        seconds = (self._now_ns() - request.created_ns) / NANOSECONDS
        return max(request.step, voting.step_at(request.terms, seconds))

    def sweep(self) -> tuple[Moved, ...]:
        """Write down every deadline that has passed: a clock that is set back then brings nothing to life again."""
        with self._errors():
            due = [one for one in self._store.unfinished() if self._refreshed(one).state is not one.state]
        return tuple(moved for one in due if (moved := self._swept(one.id)) is not None)

    def _swept(self, request_id: str) -> Moved | None:
        with self._transaction():
            found = self._store.request(request_id)
            if found is None or (after := self._refreshed(found).state) is found.state:
                return None
            self._store.set_state(request_id, after)
            return Moved(request=found, after=after)

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

    def report(self, vote: Vote, trigger: Trigger) -> tuple[Vote, State] | None:
        """Take down what an agent reports of a question that was left to its own prompt, and where that leaves the
        question; None where it is not there any more."""
        with self._transaction():
            found = self._store.request(vote.request)
            request = found and self._refreshed(found)
            after = request and step(request.state, trigger)
            if request is None or not isinstance(after, State) or self._store.vote(vote.id) is not None:
                return None
            taken = self._take(request, vote)
            self._store.set_state(request.id, after)
            return taken, after

    def use(self, request_id: str) -> Grant | None:
        """Take one use of the grant that a request made; None where there is none left."""
        with self._transaction():
            found, grant = self._store.request(request_id), self._store.grant_of(request_id)
            # A clock that goes back and forth makes the grant of what has lapsed look like new.
            if found is None or grant is None or found.state is State.LAPSED:
                return None
            if not self._store.consume(grant.id, self._now_ns()):
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
            known = self._remembered(decision)
            fitting = [
                grant
                for grant in known
                if grant.state(self._now_ns()) == "active"
                and _answers(grant, decision, session, workspace)
                and permitted.covers(
                    grant, self._now_ns(), self.counted(self._store.votes(grant.request)), decision.risk
                )
            ]
        for grant in fitting:
            with self._transaction():
                if self._store.consume(grant.id, self._now_ns()):
                    return msgspec.structs.replace(grant, uses=grant.uses + 1)
        return None

    def _remembered(self, decision: Decision) -> list[Grant]:
        """Grants for exactly this, then those for commands that begin like it and do no more."""
        found = list(self._store.grants(matchers.remembered(decision.action)))
        for key in amendments.keys(decision):
            for grant in self._store.grants(key):
                answered = self._store.request(grant.request)
                if answered is not None and amendments.covers(answered, decision):
                    found.append(grant)
        return found

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

    def _refusal(self, request: Request, vote: Vote, votes: Sequence[Vote]) -> str:
        """Why a vote is not taken."""
        # INVARIANT: what was shown is what is approved; a vote on anything else is not a vote on this.
        if vote.seen != request.shown:
            return "what was seen is not what is asked"
        if request.state is State.DELEGATED:
            return "it is asked by the agent's own prompt, and is answered there"
        if request.state is not State.PENDING:
            return ""
        if vote.approve and any(one.approver == vote.approver for one in votes):
            return "who has voted cannot vote again; a no still counts"
        problem = _beyond(request, vote)
        if problem or not vote.approve:
            return problem
        return voting.refusal(request.terms, vote, self._is_member) or voting.not_asked_yet(
            request.terms, self.step_of(request), vote, self._is_member
        )

    def _take(self, request: Request, vote: Vote) -> Vote:
        """Take a vote down, linked to the one before it and signed."""
        votes = self._store.votes(request.id)
        previous = link(votes[-1]) if votes else request.binding
        at_ms = self._now_ns() // 1_000_000
        linked = msgspec.structs.replace(vote, at_ms=at_ms, previous=previous, text_digest=text_digest(vote))
        taken = signed(linked, self._signer)
        self._store.add_vote(taken)
        return taken

    def _trigger(self, request: Request, votes: Sequence[Vote]) -> Trigger:
        match voting.standing(request.terms, request.risk, votes, self._is_member):
            case Standing.APPROVED:
                return Trigger.APPROVE
            case Standing.DENIED:
                return Trigger.DENY
            case Standing.OPEN:
                return Trigger.VOTE

    def _settled(self, request: Request, after: State, taken: Vote, earlier: Sequence[Vote], uses: int) -> Cast:
        self._store.set_state(request.id, after)
        request = msgspec.structs.replace(request, state=after)
        grant = None
        if after is State.APPROVED:
            grant = self._grant(request, [one for one in (*earlier, taken) if one.approve], uses)
            self._store.add_grant(grant)
        return Cast(request=request, counted=after is not State.PENDING, grant=grant, vote=taken)

    def _grant(self, request: Request, votes: Sequence[Vote], uses: int, *, break_glass: str = "") -> Grant:
        """The grant that some people made together: as wide and as long as the most careful of them wanted."""
        scope = narrowest(vote.scope for vote in votes)
        once = scope is Scope.ONCE
        wanted = [vote.seconds for vote in votes if vote.seconds is not None]
        seconds = min([*wanted, _LASTING[Scope.REPO]]) if wanted else _LASTING[scope]
        now = self._now_ns()
        return Grant(
            id=self._new_id(),
            request=request.id,
            matcher=f"exact:{request.digest}" if once else _matcher(request, votes),
            scope=scope,
            session=request.session,
            workspace=request.workspace,
            placement=request.placement,
            policy=request.policy,
            asking=request.asking,
            created_ns=now,
            expires_ns=now + seconds * NANOSECONDS,
            approver=", ".join(dict.fromkeys(vote.approver for vote in votes)),
            max_uses=uses if once else None,
            break_glass=break_glass,
        )

    def _refreshed(self, request: Request) -> Request:
        """The request with its deadline applied: it counts when it is read, not when somebody sweeps."""
        made, expires, now = request.created_ns, request.expires_ns, self._now_ns()
        if request.state is State.APPROVED:
            grant = self._store.grant_of(request.id)
            made, expires = (grant.created_ns, grant.expires_ns) if grant is not None else (made, expires)
        # SECURITY: a clock that was set back must not give anything more time; before it was made is after its end.
        moment = expires if now < made - CLOCK_SLACK_NS else now
        return msgspec.structs.replace(request, state=at(request.state, expires, moment))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors(), self._store.transaction():
            yield

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, msgspec.MsgspecError, ValueError) as failure:
            raise broken(str(failure), remedy="move the file of approvals aside") from failure


def _beyond(request: Request, vote: Vote) -> str:
    """Why a yes is more than the policy permits, or less than it demands."""
    if not vote.approve:
        return ""
    if wider(vote.scope, request.widest):
        return f"the policy permits an answer for `{request.widest}` at most"
    if vote.words is not None:
        if vote.scope is Scope.ONCE:
            return "an answer for once is for exactly this command; remember it with `--scope`"
        if problem := amendments.refusal(request, vote.words):
            return problem
    if request.override and not vote.reason.strip():
        return "it overrides a rule that denies, so it needs a reason: `--reason`"
    return ""


def _matcher(request: Request, votes: Sequence[Vote]) -> str:
    """What an answer is remembered for: as many words as the most careful of them wanted, or exactly this."""
    words = [vote.words for vote in votes]
    counted = [one for one in words if one is not None]
    return amendments.key(request.begins[: max(counted)]) if len(counted) == len(words) else request.matcher


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
