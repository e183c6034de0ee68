"""One inspected request on its way: read as far as somebody wants to see it, judged, shown to the steps of its
amendments, sent anew to its server, and answered.

It decides nothing, and knows the client's protocol only by its end: policy answers, the steps may hold, and whoever
owns the client's connection tells it what became of the request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from ringfence.egress import refusal
from ringfence.egress.authorization import Authorization, Cancel
from ringfence.egress.core import Core
from ringfence.egress.ends import ENOUGH, ClientEnd, ServerEnd, ServerFailed
from ringfence.egress.exchange import Exchange, Side, bodyless
from ringfence.egress.facts import facts
from ringfence.egress.form_steps import FormSteps
from ringfence.egress.held import Share
from ringfence.egress.http1_ends import NO_ANSWER, Http1Server
from ringfence.egress.http_fields import Said, said, said_once
from ringfence.egress.http_head import RequestHead
from ringfence.egress.http_response import ResponseHead
from ringfence.egress.inspection import Held, Inspection, Request, Steps
from ringfence.egress.judging import Answer, calls_in
from ringfence.egress.posing import Posing, may_pose_in_form, posing, posing_in_form
from ringfence.egress.preparing import Preparation, Prepared, prepare, steps_of
from ringfence.egress.refusal import Refusal
from ringfence.egress.request_body import MOST_BODY
from ringfence.egress.request_owner import Link, Owner, State, Told
from ringfence.egress.upstreams import Connecting, Upstream, Upstreams
from ringfence.model.action import ConnectAction, McpAction
from ringfence.model.decision import Decision, Verdict
from ringfence.model.host import Destination
from ringfence.policy.judges.connect import FactsWanted
from ringfence.policy.mcp_identity import address_of
from ringfence.policy.operations import SAFE

logger = logging.getLogger(__name__)

_NOTHING = FactsWanted()
_CONTINUE = ResponseHead(status=100, phrase=b"Continue", fields=())


class Course:
    """One request. It is a stage of its own only for the time that its server's connection takes."""

    __slots__ = (
        "_action",
        "_alone",
        "_asking",
        "_authorization",
        "_calls_wanted",
        "_client",
        "_collecting",
        "_connecting",
        "_core",
        "_destination",
        "_error",
        "_exchange",
        "_first",
        "_form",
        "_head",
        "_inspection",
        "_link",
        "_origin",
        "_owner",
        "_prepared",
        "_said",
        "_secure",
        "_server",
        "_share",
        "_steps",
        "_upstream",
        "_upstreams",
        "_wanted",
        "address",
        "destination",
        "named",
        "state",
    )

    def __init__(
        self,
        core: Core,
        inspection: Inspection,
        upstreams: Upstreams,
        owner: Owner,
        client: ClientEnd,
        destination: Destination,
        *,
        origin: str,
        secure: bool,
        link: Link | None = None,
    ) -> None:
        self.destination: Destination | None = destination
        self.named = self._destination = destination
        """How the server is called. A service at the sandbox's own loopback may answer to that name only."""
        self._core = core
        self._inspection = inspection
        self._upstreams = upstreams
        self._owner = owner
        self._client = client
        self._origin = origin
        self._secure = secure
        self._link = link
        self.state = State.WHOLE
        self.address = ""
        """The address that was dialled for it."""
        self._head: RequestHead | None = None
        self._said: Said | None = None
        """What its header says."""
        self._first: bytes | bytearray = b""
        """What was read of the body before the request goes out."""
        self._share: Share | None = None
        self._collecting: tuple[int, Callable[[], None]] | None = None
        self._wanted = _NOTHING
        self._calls_wanted = False
        self._form = False
        """Whether its body may be a form that names another method, and some rule is about methods."""
        self._error = ""
        self._steps: tuple[Steps, ...] = ()
        self._action: ConnectAction | None = None
        self._authorization: Authorization | None = None
        self._prepared: Prepared | None = None
        self._asking: Answer[Authorization] | Answer[Decision] | None = None
        self._connecting: Connecting | None = None
        self._upstream: Upstream | None = None
        self._exchange: Exchange | None = None
        self._server: ServerEnd | None = None
        self._alone: Http1Server | None = None

    @property
    def action(self) -> ConnectAction:
        """What was allowed."""
        assert self._action is not None
        return self._action

    @property
    def authorization(self) -> Authorization:
        """How it was allowed."""
        assert self._authorization is not None and self._authorization.decision.verdict is Verdict.ALLOW
        return self._authorization

    @property
    def secure(self) -> bool:
        """Whether it goes over TLS."""
        return self._secure

    def start(self, head: RequestHead, header: Said) -> None:
        """The head is read, and says `header`; does anybody want to see its body before it is judged?"""
        fields = head.fields
        # SECURITY: what satisfies a rule has to be sent too, so what is taken off goes before anybody judges the head.
        if header.for_server is not fields:
            head = msgspec.structs.replace(head, fields=header.for_server)
        if self._inspection.route is not None:
            head = self._routed(head)
        if head.fields is not fields:
            header = said(head.fields)
        self._head, self._said = head, header
        own = head.destination if self._origin.startswith("host_port:") else None
        self.named = own or self._destination
        if header.twice:
            return self.refuse(refusal.malformed(f"its header says `{header.twice}` more than once"))
        if header.words or (head.query and head.method == "POST"):
            found = posing(head, header.words, self._destination)
            if found is not None:
                return self._posing(found)
        wanted = self._wanted = self._inspection.wants(self._destination.host.name, self._destination.port)
        self._calls_wanted = wanted.calls and self._inspection.judge is not None and head.method not in SAFE
        self._form = wanted.methods and may_pose_in_form(head)
        if (wanted.body or self._calls_wanted or self._form) and not self._client.finished:
            return self._collect_first(MOST_BODY, self._judge)
        return self._judge()

    # a request that began the short way

    def take_over(
        self,
        head: RequestHead,
        header: Said,
        action: ConnectAction,
        authorization: Authorization | None,
        upstream: Upstream | None,
    ) -> None:
        """Go on with a request without a body, of which nobody wants to know more: `unjudged`, `authorized`, `amended`
        or `sent` says from where. `upstream` is the connection that it was sent over, if it was."""
        self._upstream = upstream
        self._head, self._said = head, header
        self._action, self._authorization = action, authorization
        self.state = State.ANSWER

    def unjudged(self) -> None:
        """Whoever is asked if it may go failed."""
        self._denied(self._unjudged(), False)

    def sent(self, *, broken: bool = False, came: bytes | None = None, failed: ServerFailed | None = None) -> None:
        """It was sent over a connection that was kept. `broken`: that takes nothing any more, `came`: so much was read,
        `failed`: it failed then."""
        upstream = self._upstream
        assert self._head is not None and self._said is not None and upstream is not None
        self.state = State.MOVES
        self._prepared = Prepared(self._head, b"")
        self.address = upstream.address
        upstream.then = self._server_ready
        server = self._alone = self._server = Http1Server(upstream, self.named, upgrade=False)
        server.took(self._head, self._said, came, broken=broken)
        if failed is None and came == b"":
            failed = ServerFailed(NO_ANSWER)
        if failed is not None:
            return self.server_failed(failed)
        if broken:
            return self._exchanging().start(b"")
        return self._server_ready()

    def _posing(self, found: Posing) -> None:
        """Its server may take it for another request than the one that is judged."""
        return self.refuse(self._core.refuse(self._poses(found)))

    def _poses(self, found: Posing) -> Decision:
        return refusal.built_in(self._described(), found.rule, found.text)

    def _routed(self, head: RequestHead) -> RequestHead:
        """The head for the server that the request is led to; from here on, that is the one it is about."""
        route = self._inspection.route
        routed = None if route is None else route(head, self._destination)
        if routed is None:
            return head
        self.destination = self._destination = routed.destination
        self._secure = routed.secure
        return routed.head

    def move(self) -> None:
        """Something came, or there is room for something."""
        if self.state is State.WHOLE:
            self._collect()
        elif self._exchange is not None:
            self._exchange.move()

    def end(self, error: str) -> None:
        """It is over, whatever it is doing: nobody is asked any more, and the steps are told."""
        if self.state is State.OVER:
            return
        self.state = State.OVER
        if self._share is not None:
            self._share.hold(0)
        if self._asking is not None:
            self._asking.stop()
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.stop()
            self.address = connecting.address
            self._core.relax(self)
        self._release()
        # SECURITY: what is not counted any more must not wait for the garbage collector either.
        self._collecting, self._prepared, self._first = None, None, b""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.over = True
        server, self._server = self._server, None
        if server is not None:
            server.leave()
        if self._link is not None:
            self._link.left(self)
        steps, self._steps = self._steps, ()
        for step in steps:
            try:
                step.ended(error)
            except Exception:
                logger.exception("a step failed at the end of its request")

    def close(self, error: str) -> None:
        """A fault on the way to the server."""
        self._fail(error, reset=True)

    # may it go?

    def _described(self) -> ConnectAction:
        head, to = self._head, self._destination
        assert head is not None and self._said is not None
        websocket = b"websocket" in self._said.upgrades
        if not self._wanted.anything and not websocket:
            return ConnectAction(host=to.host.name, port=to.port, method=head.method, path=head.path)
        content = bytes(self._first) if self._wanted.body else None
        known = facts(self._wanted, head, content, complete=self._client.finished, websocket=websocket)
        return ConnectAction(host=to.host.name, port=to.port, method=head.method, path=head.path, facts=known)

    def _judge(self) -> None:
        self.state = State.ANSWER
        if self._form and self._head is not None:
            found = posing_in_form(self._head, bytes(self._first), complete=self._client.finished)
            if found is not None:
                return self._posing(found)
        head, to = self._head, self._destination
        assert head is not None and self._said is not None
        if self._wanted.anything or self._said.upgrades:
            action = self._described()
        else:
            action = ConnectAction(host=to.host.name, port=to.port, method=head.method, path=head.path)
        self._action = action
        answer: Answer[Authorization] = Answer()
        try:
            cancel = self._core.authorize(action, self._origin, answer)
        except Exception:
            logger.exception("the authorisation of %s failed", action.host)
            return self._denied(self._unjudged(), False)
        if answer.given is not None:
            return self.authorized(answer.given)
        self._asking = answer
        return answer.wait(cancel, self._owner.guarded, self.authorized)

    def _ask(self, ask: Callable[[Callable[[Decision], None]], Cancel], then: Callable[[Decision], None]) -> None:
        """Ask somebody, and go on with the answer, which may come now or later."""
        answer: Answer[Decision] = Answer()
        try:
            cancel = ask(answer)
        except Exception:
            logger.exception("a question could not be put")
            return self._denied(self._unjudged(), False)
        if answer.given is not None:
            return then(answer.given)
        self._asking = answer
        return answer.wait(cancel, self._owner.guarded, then)

    def _unjudged(self) -> Decision:
        text = "the request could not be judged, because of an internal error"
        return refusal.built_in(self.action, "gateway.error", text)

    def authorized(self, authorization: Authorization) -> None:
        """Whoever is asked said whether it may go."""
        # SECURITY: nothing goes to a server before this, or its twin in `ShortWay`, has seen an allow.
        if authorization.decision.verdict is not Verdict.ALLOW:
            return self._denied(authorization.decision, True)
        self._authorization = authorization
        if not self._calls_wanted:
            return self._allowed()
        assert self._head is not None
        action = self.action
        address = address_of(action.host, action.port, action.path or "/", secure=self._secure)
        calls = calls_in(action, self._head, bytes(self._first), complete=self._client.finished, address=address)
        if isinstance(calls, Decision):
            return self._denied(calls, False)
        return self._judge_calls(calls)

    def _judge_calls(self, calls: tuple[McpAction, ...]) -> None:
        """The request is allowed; so has to be every call of a tool in it."""
        judge = self._inspection.judge
        if not calls or judge is None:
            return self._allowed()

        def judged(decision: Decision) -> None:
            if decision.verdict is not Verdict.ALLOW:
                return self._denied(decision, True)
            return self._judge_calls(calls[1:])

        return self._ask(lambda done: judge(calls[0], done), judged)

    def _allowed(self) -> None:
        head, amendments = self._head, self._inspection.amendments
        assert head is not None
        if not amendments:
            return self.amended(())
        request = Request(
            destination=self._destination,
            secure=self._secure,
            head=head,
            action=self.action,
            decision=self.authorization.decision,
        )
        return self.amended(steps_of(amendments, request))

    def amended(self, steps: tuple[Steps, ...] | None) -> None:
        """It is allowed, and these steps look into it; None where somebody could not say so."""
        head = self._head
        assert head is not None
        if steps is None:
            return self._denied(self.fault(), False)
        self._steps = steps
        if self._form and not self._client.finished:
            self._steps = (*steps, FormSteps(head, self._poses))
        if not self._steps:
            self._prepared = Prepared(head, bytes(self._first) if self._client.finished else None)
            return self._connect()
        most = max(one.whole for one in self._steps)
        if most and not self._client.finished:
            return self._collect_first(most, self._prepare)
        return self._prepare()

    def _denied(self, decision: Decision, recorded: bool) -> None:
        self.refuse(refusal.denied(decision) if recorded else self._core.refuse(decision))

    # the beginning of its body

    def _collect_first(self, most: int, then: Callable[[], None]) -> None:
        """Hold the body until it is complete, or longer than anybody wants it."""
        assert self._head is not None
        if self._said is not None and self._said.expects:
            self._client.interim(_CONTINUE)
            self._client.flush()
            fields = tuple(field for field in self._head.fields if field[0] != b"expect")
            self._head = msgspec.structs.replace(self._head, fields=fields)
        self._first = self._first or bytearray()
        self._collecting = (most, then)
        self.state = State.WHOLE
        return self._collect()

    def _collect(self) -> None:
        assert self._collecting is not None
        most, then = self._collecting
        while not self._client.finished and len(self._first) < most:
            payload = self._client.take()
            if payload is None:
                return None
            if not self.hold_bytes(len(self._first) + len(payload)):
                return None
            self._first += payload
        return then()

    def hold_bytes(self, size: int) -> bool:
        """Hold so many bytes of what the client says; where there is no room for them, the request is refused."""
        self._share = share = self._share or self._core.held.share()
        may = self.state is not State.OVER and share.hold(size)
        if not may and self.state is not State.OVER:
            self.refuse(refusal.no_room(self._core.held.most))
        return may

    def keep(self, size: int) -> bool:
        """Hold so many bytes of the answer, beside what is held of the request."""
        return self.hold_bytes(len(self._first) + size)

    def _prepare(self) -> None:
        assert self._head is not None
        whole = bytes(self._first) if self._client.finished else None
        self.state = State.ANSWER
        try:
            for step in self._steps:
                if step.whole:
                    step.body(bytes(self._first), complete=whole is not None)
        except Exception:
            logger.exception("a step failed")
            return self._denied(self.fault(), False)
        return self._go_through(prepare(self._steps, self._head, whole, self.fault), None)

    def _go_through(self, preparation: Preparation, answer: Held | None) -> None:
        try:
            held = next(preparation) if answer is None else preparation.send(answer)
        except StopIteration as stop:
            self._prepared = stop.value
            return self._connect()
        return self.hold(held, lambda one: self._go_through(preparation, one))

    # answers from people

    def held(self, side: Side, held: Held) -> None:
        """A step holds something on its way."""
        exchange = self._exchange
        assert exchange is not None
        self.hold(held, lambda answer: exchange.resume(side, answer))

    def hold(self, held: Held, go_on: Callable[[Held], None]) -> None:
        """Let somebody decide about what a step holds, where that is for somebody to decide."""
        confirm = self._inspection.confirm
        if held.decision.verdict is not Verdict.ASK or confirm is None:
            return self.refuse(refusal.worded(self._core.refuse(held.decision), held.answer))
        return self._ask(
            lambda done: confirm(held.decision, done), lambda decision: self._answered(decision, held, go_on)
        )

    def _answered(self, decision: Decision, held: Held, go_on: Callable[[Held], None]) -> None:
        if decision.verdict is not Verdict.ALLOW:
            return self._denied(decision, True)
        try:
            if held.by is not None:
                held.by.confirmed(held)
        except Exception:
            logger.exception("a step failed")
            return self._denied(self.fault(), False)
        return go_on(held)

    # the server

    def _connect(self, *, fresh: bool = False) -> None:
        self.state = State.ANSWER
        if self._link is not None and self._link.carry(self):
            return None
        if not fresh:
            to, private = self._destination, self.authorization.private
            upstream = self._upstreams.take((to.host.name, to.port, self._secure, private))
            if upstream is not None:
                return self._use(upstream)
        self._connecting = self._upstreams.connect(
            self,
            self,
            action=self.action,
            destination=self._destination,
            authorization=self.authorization,
            secure=self._secure,
        )
        return self._connecting.start()

    def upstream_ready(self, upstream: Upstream) -> None:
        """There is a connection for the request alone."""
        # What came of the body already is read at once, and may be malformed.
        self._owner.guarded(lambda: self._use(upstream))

    def _use(self, upstream: Upstream) -> None:
        assert self._said is not None
        self._connecting = None
        self._upstream, self.address = upstream, upstream.address
        upstream.then = self._server_ready
        upstream.used += 1
        upgrade = b"websocket" in self._said.upgrades
        alone = self._alone = Http1Server(upstream, self.named, upgrade=upgrade)
        return self._begin(alone)

    def carried(self, server: ServerEnd, address: str) -> None:
        """There is a place for the request on a connection that carries others as well."""
        self.address = address
        self._begin(server)

    def go_on(self) -> None:
        """Find the way to the server again: nothing of the request was sent."""
        self._connect()

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.state is State.OVER

    def guarded(self, step: Callable[[], None]) -> None:
        """Do a step, unless the request is over; what goes wrong in it ends the request."""
        if self.state is not State.OVER:
            self._owner.guarded(step)

    def _begin(self, server: ServerEnd) -> None:
        prepared, header = self._prepared, self._said
        assert prepared is not None and header is not None
        self.state = State.MOVES
        self._server = server
        head, body = prepared.head, prepared.body
        bare = body == b"" and not header.sized and not head.chunked
        length = -1 if bare else self._length(prepared)
        quiet = server.begin(head, header if head is self._head else said_once(head.fields), length=length, body=body)
        if body is None:
            return self._exchanging().start(bytes(self._first))
        if not quiet or self._steps:
            return self._exchanging().start(b"")
        return None  # all is said, and the answer comes with an event of its own

    def _exchanging(self) -> Exchange:
        """What moves a request and its answer in pieces, both ways, through the steps."""
        exchange, prepared, server = self._exchange, self._prepared, self._server
        if exchange is None:
            assert prepared is not None and server is not None and self._said is not None
            upgrade = b"websocket" in self._said.upgrades and server is self._alone
            exchange = self._exchange = Exchange(
                self, self._client, server, prepared.head, self._steps, upgrade=upgrade, fault=self.fault
            )
        return exchange

    def _length(self, prepared: Prepared) -> int | None:
        """The length of the body as it goes out: None where that is not known, -1 where there is none."""
        assert self._head is not None and self._said is not None
        if prepared.body:
            return len(prepared.body)
        if prepared.body is not None:
            return 0 if self._head.chunked or self._said.sized else -1
        if self._head.chunked or any(step.resizes for step in self._steps):
            return None
        return self._head.length

    def _server_ready(self) -> None:
        upstream, server, client = self._upstream, self._alone, self._client
        if upstream is None or server is None or self._server is None:
            return None
        try:
            if upstream.leg.waiting:
                server.resume()
            if self._exchange is not None or client.waiting > ENOUGH:
                return self._exchanging().move()
            # The most usual answer comes whole, when all of the request is written, and nobody looks into it.
            prepared, is_sent = self._prepared, not upstream.leg.waiting
            assert prepared is not None
            pass_on = client.pass_on if is_sent and prepared.head.method != "HEAD" else None
            try:
                head = server.receive(passes_on=pass_on is not None)
            except ServerFailed as failure:
                return self.server_failed(failure)
            if head is None:
                return None
            if pass_on is not None and not isinstance(head, ResponseHead):
                pass_on(head)
                return self.answered_all(reusable=server.reusable, keep=True)
            assert isinstance(head, ResponseHead)
            body = server.whole() if head.status >= 200 and is_sent else None
            if body is None:
                return self._exchanging().go_on(head)
            client.answer(head, body, bodyless=not body and bodyless(head, prepared.head))
            return self.answered_all(reusable=server.reusable, keep=client.keeps)
        except Exception as fault:  # noqa: BLE001  whatever it is, it is dealt with there
            return self._owner.broke(fault)

    def upstream_unreachable(self, reason: str, status: int) -> None:
        """The request is allowed, and its server is not there."""
        self._error = reason
        self.refuse(refusal.unreachable(self._destination, reason, status=status))

    def upstream_forbidden(self, decision: Decision) -> None:
        """None of the server's addresses may be dialled."""
        self._denied(decision, False)

    # the end

    def again(self) -> None:
        """Go on after the others had their turn."""
        self._owner.again()

    def answered_all(self, *, reusable: bool, keep: bool) -> None:
        """The exchange is complete."""
        upstream = self._upstream
        if reusable and upstream is not None:
            self._upstream = None
            self._upstreams.give(upstream)
        else:
            self._release()
        self._exchange = None
        if self._steps or self._link is not None or self._share is not None:
            self.end("")
        else:
            self.state, self._server = State.OVER, None  # nobody has to be told
        self._owner.answered(keep=keep)

    def switched(self, rest: bytes) -> None:
        """From here on they speak WebSocket."""
        upstream = self._upstream
        assert upstream is not None
        self.state, self._exchange = State.SWITCHED, None
        self._owner.switched(upstream, self._steps, rest)

    def server_failed(self, failure: ServerFailed) -> None:
        """The server does not answer as it should."""
        upstream, server, exchange = self._upstream, self._server, self._exchanging()
        assert server is not None
        again = upstream is not None and upstream.used > 1 and not server.said
        self._release()
        if again and exchange.replayable and self._prepared is not None and self._prepared.body is not None:
            # A kept connection died without a word. To ask again does no harm: nothing but reads, without a body.
            self._exchange = self._server = None
            return self._connect(fresh=True)
        if again:
            # Whether the server has acted on it, only the client can find out.
            return self._fail("the server closed its connection before it answered", reset=False)
        if exchange.begun or failure.code is not None:
            return self._fail(f"the server's answer failed: {failure}", reset=True, code=failure.code)
        self._error = str(failure)
        return self.refuse(refusal.unreachable(self._destination, str(failure)))

    def refuse(self, reason: Refusal) -> None:
        """End it with a word to the client, as far as that is still possible."""
        exchange = self._exchange
        told = Told(
            reason=reason,
            error=f"denied: {reason.rule}" if reason.rule else self._error or "the request is refused",
            begun=exchange is not None and exchange.begun,
            sent=self._server is not None,
        )
        if self.state is not State.SWITCHED:
            self.end(told.error if told.begun else reason.text.partition("\n")[0])
        self._owner.refused(told)

    def malformed(self, what: str) -> None:
        """What came of a body can be read in more than one way."""
        if self._exchange is not None and self._exchange.begun:
            return self._fail(what, reset=True)
        return self.refuse(refusal.malformed(what))

    def _fail(self, error: str, *, reset: bool, code: int | None = None) -> None:
        self.end(error)
        self._owner.failed(error, reset=reset, code=code)

    def _release(self) -> None:
        """Close the server's connection."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.then = None  # else the two hold each other
            self._core.engine.discard(upstream.leg.sock)

    def fault(self) -> Decision:
        """The denial that a fault of ours comes to."""
        text = "the request could not be looked into, because of an internal error"
        return refusal.built_in(self._described(), "gateway.error", text)
