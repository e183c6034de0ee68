"""The stage of a client whose requests are looked into, one after the other: read, judged, shown to the steps of their
amendments, re-issued to the server over a connection of ours, and answered.

It decides nothing: policy answers each request, the steps may hold one, and what cannot be read in one way is refused.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from enum import Enum

import msgspec

from ringfence.egress import refusal
from ringfence.egress.authorization import Authorization, Cancel
from ringfence.egress.core import Core
from ringfence.egress.engine import BROKEN, HANGUP, READABLE
from ringfence.egress.exchange import Exchange, Side
from ringfence.egress.facts import MOST_BODY, facts
from ringfence.egress.farewell import Farewell
from ringfence.egress.front import Wanted
from ringfence.egress.http_forward import connection_tokens, reissued
from ringfence.egress.http_framing import FramedBody
from ringfence.egress.http_head import END, HeadInvalid, RequestHead, Target, parse_head
from ringfence.egress.identity import same
from ringfence.egress.inspection import Held, Inspection, Request, Steps
from ringfence.egress.leg import Leg
from ringfence.egress.preparing import Preparation, Prepared, prepare
from ringfence.egress.refusal import Refusal
from ringfence.egress.tool_calls import CallsUnread, tool_calls
from ringfence.egress.upstreams import Connecting, Upstream, Upstreams
from ringfence.egress.websocket import WebSocket
from ringfence.model.action import ConnectAction, McpAction, RequestFacts
from ringfence.model.decision import Decision, Verdict
from ringfence.model.event import ConnectionClosed
from ringfence.model.host import Destination
from ringfence.policy.judges.connect import FactsWanted
from ringfence.policy.operations import SAFE

logger = logging.getLogger(__name__)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class State(Enum):
    """What the client is waiting for, or we for it."""

    HANDSHAKE = "handshake"
    REQUEST = "request"
    WHOLE = "whole"
    JUDGED = "judged"
    HELD = "held"
    SERVER = "server"
    EXCHANGE = "exchange"
    WEBSOCKET = "websocket"
    CLOSING = "closing"
    OVER = "over"


class Inspected:
    """A client and, one at a time, the servers' connections that carry its requests."""

    def __init__(
        self,
        core: Core,
        inspection: Inspection,
        upstreams: Upstreams,
        client: Leg,
        wanted: Wanted,
        *,
        secure: bool,
        edges: int = 0,
    ) -> None:
        self.destination: Destination | None = wanted.destination
        self._destination = wanted.destination
        self._core = core
        self._inspection = inspection
        self._upstreams = upstreams
        self._client = client
        self._origin = wanted.origin
        self._secure = secure
        self._meant: tuple[Destination, bool] | None = None
        """Where the client meant to go, while its request is led elsewhere."""
        self._started = core.clock.monotonic()
        self._unread = b"" if secure else wanted.rest
        self._state = State.HANDSHAKE
        self._hangup = bool(edges & HANGUP)
        self._head: RequestHead | None = None
        self._body = FramedBody(0, chunked=False, strict=True)
        self._first = bytearray()
        """What was read of the body before the request goes out."""
        self._collecting: tuple[int, Callable[[], None]] = (0, self._judge)
        self._wanted = FactsWanted()
        self._calls_wanted = False
        self._action_taken = ConnectAction(host=wanted.destination.host.name, port=wanted.destination.port)
        self._prepared: Prepared | None = None
        self._error = ""
        self._steps: tuple[Steps, ...] = ()
        self._request: Request | None = None
        self._authorization: Authorization | None = None
        self._cancel: Cancel | None = None
        self._connecting: Connecting | None = None
        self._upstream: Upstream | None = None
        self._exchange: Exchange | None = None
        self._websocket: WebSocket | None = None
        self._address = ""
        self._requests = 0
        core.enter(self)
        core.expect(self, core.limits.head_seconds, self._too_late)
        core.engine.handle(client.sock, self._client_ready)
        head = wanted.head
        if head is not None:
            self._state = State.REQUEST
            self._guarded(lambda: self._look_at(head))
        else:
            self._guarded(self._go_on)

    def close(self, error: str) -> None:
        """End it; both sides see that it did not end by itself."""
        self._end(error, reset=True)

    # events

    def _client_ready(self, events: int) -> None:
        if events & READABLE:
            self._client.ready = True
        if events & HANGUP:
            self._hangup = True
        self._guarded(lambda: self._client_event(events))

    def _client_event(self, events: int) -> None:
        waited = self._client.waiting
        if waited:
            self._client.flush()
        if events & BROKEN:
            return self.close("the client went away")
        return self._go_on()

    def _go_on(self) -> None:
        match self._state:
            case State.HANDSHAKE:
                self._shake()
            case State.REQUEST:
                self._read_request()
            case State.WHOLE:
                self._collect()
            case State.JUDGED | State.HELD | State.SERVER:
                self._look_after_client()
            case State.EXCHANGE:
                assert self._exchange is not None
                self._exchange.move()
            case State.WEBSOCKET:
                assert self._websocket is not None
                self._websocket.move()
            case State.CLOSING:
                if not self._client.waiting:
                    self._end(self._error, reset=False)
            case State.OVER:
                pass

    def _look_after_client(self) -> None:
        """While somebody else has to do something: when the client goes, so do we. Over TLS it says so within."""
        while self._client.ready and len(self._unread) <= self._core.limits.head:
            data = self._client.read()
            if not data:
                break
            self._unread += data
        if self._client.ended or self._hangup:
            self.close("the client went away")

    def _server_ready(self, events: int) -> None:
        if self._upstream is not None:
            if events & READABLE:
                self._upstream.leg.ready = True
            self._guarded(self._server_event)

    def _server_event(self) -> None:
        upstream, exchange = self._upstream, self._exchange
        if upstream is None:
            return
        if upstream.leg.waiting:
            try:
                upstream.leg.flush()
            except OSError:
                if exchange is None:
                    raise
                exchange.server_broken()
        if exchange is not None and not exchange.over:
            exchange.move()
        elif self._websocket is not None:
            self._websocket.move()

    def again(self) -> None:
        """Go on after the others had their turn."""
        self._core.engine.again(lambda: self._guarded(self._go_on))

    def _guarded(self, step: Callable[[], None]) -> None:
        if self._state is State.OVER:
            return
        try:
            step()
        except (HeadInvalid, ssl.SSLError, OSError) as error:
            words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self._end(words.lower(), reset=True)
        except Exception:
            logger.exception("a connection is closed because of an error in the gateway")
            self._end("an error in the gateway", reset=True)

    # requests

    def _shake(self) -> None:
        if self._client.handshake():
            self._state = State.REQUEST
            self._read_request()

    def _read_request(self) -> None:
        while True:
            end = self._unread.find(END)
            if end >= 0 or b"\n\n" in self._unread:
                break
            if len(self._unread) > self._core.limits.head:
                return self._refuse(refusal.too_large(self._core.limits.head))
            data = self._client.read() if self._client.ready else None
            if data is None:
                return None
            if not data:
                return self._end("" if not self._unread else "the client went away within a request", reset=False)
            if not self._unread:
                self._core.expect(self, self._core.limits.head_seconds, self._too_late)
            self._unread += data
        if end > self._core.limits.head:
            return self._refuse(refusal.too_large(self._core.limits.head))
        length = end + len(END) if end >= 0 else len(self._unread)
        raw, self._unread = self._unread[:length], self._unread[length:]
        try:
            head = parse_head(raw, default_port=self._destination.port)
        except HeadInvalid as invalid:
            return self._refuse(refusal.malformed(str(invalid)))
        return self._look_at(head)

    def _look_at(self, head: RequestHead) -> None:
        """The head is read; is it one that can be judged, and does anybody want to see its body first?"""
        self._core.relax(self)
        self._requests += 1
        self._head = head
        self._wanted = FactsWanted()
        problem = self._unacceptable(head)
        if problem is not None:
            return self._deny(problem)
        head = self._head = self._routed(head)
        self._body = FramedBody(None if head.chunked else head.length, chunked=head.chunked, strict=True)
        wanted = self._wanted = self._inspection.wants(self._destination.host.name, self._destination.port)
        self._calls_wanted = wanted.calls and self._inspection.judge is not None and head.method not in SAFE
        if (wanted.body or self._calls_wanted) and not self._body.finished:
            return self._collect_first(MOST_BODY, self._judge)
        return self._judge()

    def _routed(self, head: RequestHead) -> RequestHead:
        """The request as it goes to the server that it is led to, for this one request."""
        route = self._inspection.route
        routed = None if route is None else route(head, self._destination)
        if routed is None:
            return head
        self._meant = (self._destination, self._secure)
        self.destination = self._destination = routed.destination
        self._secure = routed.secure
        return routed.head

    def _meant_again(self) -> None:
        """The next request goes where the client said."""
        meant, self._meant = self._meant, None
        if meant is not None:
            self._destination, self._secure = meant
            self.destination = self._destination

    def _unacceptable(self, head: RequestHead) -> Decision | None:
        action = self._action(head)
        if head.method == "CONNECT":
            return refusal.built_in(action, "http.connect", "a tunnel within a connection that is inspected")
        if self._origin == "http" and head.target is Target.ABSOLUTE and head.destination is not None:
            # A client of the proxy may go to another host with every request; each is judged.
            self.destination = self._destination = head.destination
        # SECURITY: the certificate, the name in the TLS hello and this are one host, on every request anew.
        if not same(head.destination, self._destination, self._origin) or (head.target is Target.ABSOLUTE) != (
            self._origin == "http"
        ):
            meant = str(head.destination) if head.destination else "none"
            text = f"the request inside names the host `{meant}`, not the one that was authorised"
            return refusal.built_in(action, "http.host", text)
        wanted = _upgrades(head)
        if wanted - {b"websocket", b"h2c"}:
            word = min(wanted - {b"websocket", b"h2c"}).decode("latin-1")
            text = f"the request asks to switch to `{word}`, which cannot be inspected"
            return refusal.built_in(action, "http.upgrade", text, "ask for the host in `network.pass_through`")
        return None

    def _action(self, head: RequestHead) -> ConnectAction:
        host, port = self._destination.host.name, self._destination.port
        known: RequestFacts | msgspec.UnsetType = msgspec.UNSET
        if self._wanted.anything:
            content = bytes(self._first) if self._wanted.body else None
            websocket = b"websocket" in _upgrades(head)
            known = facts(self._wanted, head, content, complete=self._body.finished, websocket=websocket)
        return ConnectAction(host=host, port=port, method=head.method, path=head.path, facts=known)

    def _judge(self) -> None:
        assert self._head is not None
        self._state = State.JUDGED
        action = self._action(self._head)
        answers: list[Authorization] = []
        number = self._requests

        def answered(authorization: Authorization) -> None:
            if answers or self._requests != number or self._state is not State.JUDGED:
                return
            answers.append(authorization)
            self._cancel = None
            self._guarded(lambda: self._judged(authorization, action))

        try:
            cancel = self._core.authorize(action, self._origin, answered)
        except Exception:
            logger.exception("the authorisation of %s failed", self._destination)
            text = "the request could not be judged, because of an internal error"
            return self._deny(refusal.built_in(action, "gateway.error", text))
        if not answers:
            self._cancel = cancel
        return None

    def _judged(self, authorization: Authorization, action: ConnectAction) -> None:
        decision = authorization.decision
        if decision.verdict is not Verdict.ALLOW:
            return self._refuse(refusal.denied(decision))
        self._authorization = authorization
        self._action_taken = action
        return self._judge_calls(None)

    def _judge_calls(self, calls: tuple[McpAction, ...] | None) -> None:
        """The request is allowed; so has to be every call of a tool in it."""
        if not self._calls_wanted:
            return self._allowed()
        head, judge = self._head, self._inspection.judge
        assert head is not None and judge is not None
        if calls is None:
            said = {name: value.lower() for name, value in head.fields}
            coding, media = said.get(b"content-encoding", b""), said.get(b"content-type", b"")
            host, content = self._destination.host.name, bytes(self._first)
            try:
                calls = tool_calls(host, content, complete=self._body.finished, coding=coding, media=media)
            except CallsUnread as unread:
                return self._deny(refusal.built_in(self._action(head), "mcp.unread", str(unread)))
        if not calls:
            return self._allowed()
        first, *rest = calls
        self._state = State.JUDGED
        self._await(
            lambda done: judge(first, done),
            lambda decision: (
                self._judge_calls(tuple(rest))
                if decision.verdict is Verdict.ALLOW
                else self._refuse(refusal.denied(decision))
            ),
        )
        return None

    def _await(
        self,
        ask: Callable[[Callable[[Decision], None]], Cancel],
        then: Callable[[Decision], None],
    ) -> None:
        """Ask somebody, and go on with the answer, which may come now or later, unless all of this is over by then."""
        number, answers = self._requests, list[Decision]()

        def answered(decision: Decision) -> None:
            if answers or self._requests != number or self._state is State.OVER:
                return
            answers.append(decision)
            self._cancel = None
            self._guarded(lambda: then(decision))

        cancel = ask(answered)
        if not answers:
            self._cancel = cancel

    def _allowed(self) -> None:
        assert self._head is not None and self._authorization is not None
        action, decision = self._action_taken, self._authorization.decision
        self._request = Request(
            destination=self._destination, secure=self._secure, head=self._head, action=action, decision=decision
        )
        try:
            steps = tuple(made for one in self._inspection.amendments if (made := one(self._request)) is not None)
        except Exception:
            logger.exception("an amendment failed")
            return self._deny(self._fault())
        self._steps = steps
        most = max((one.whole for one in steps), default=0)
        if most and not self._body.finished:
            return self._collect_first(most, self._prepare)
        return self._prepare()

    def _collect_first(self, most: int, then: Callable[[], None]) -> None:
        """Hold the body until it is complete, or longer than anybody wants it."""
        assert self._head is not None
        if _expects(self._head):
            self._client.write(CONTINUE)
            fields = tuple(field for field in self._head.fields if field[0] != b"expect")
            self._head = msgspec.structs.replace(self._head, fields=fields)
        self._collecting = (most, then)
        self._state = State.WHOLE
        return self._collect()

    def _collect(self) -> None:
        most, then = self._collecting
        while not self._body.finished and len(self._first) < most:
            data, self._unread = self._unread, b""
            if not data:
                read = self._client.read() if self._client.ready else None
                if read is None:
                    return None
                if not read:
                    return self.close("the client went away within its request")
                data = read
            payload, self._unread = self._body.take(data)
            self._first += payload
        return then()

    def _prepare(self) -> None:
        assert self._head is not None
        whole = bytes(self._first) if self._body.finished else None
        self._state = State.HELD
        try:
            for step in self._steps:
                if step.whole:
                    step.body(bytes(self._first), complete=whole is not None)
        except Exception:
            logger.exception("a step failed")
            return self._deny(self._fault())
        return self._go_through(prepare(self._steps, self._head, whole, self._fault), None)

    def _go_through(self, preparation: Preparation, answer: Held | None) -> None:
        try:
            held = next(preparation) if answer is None else preparation.send(answer)
        except StopIteration as stop:
            self._prepared = stop.value
            return self._connect()
        return self._hold(held, lambda one: self._go_through(preparation, one))

    # answers from people

    def held(self, side: Side, held: Held) -> None:
        """A step holds something on its way."""

        def go_on(answer: Held) -> None:
            if self._websocket is not None:
                self._websocket.resume(side, answer)
            elif self._exchange is not None:
                self._exchange.resume(side, answer)

        self._hold(held, go_on)

    def _hold(self, held: Held, go_on: Callable[[Held], None]) -> None:
        confirm = self._inspection.confirm
        if held.decision.verdict is not Verdict.ASK or confirm is None:
            return self._refuse(refusal.worded(self._core.refuse(held.decision), held.answer))
        self._await(
            lambda done: confirm(held.decision, done),
            lambda decision: (
                go_on(held) if decision.verdict is Verdict.ALLOW else self._refuse(refusal.denied(decision))
            ),
        )
        return None

    # the server

    def _connect(self, *, fresh: bool = False) -> None:
        assert self._authorization is not None and self._request is not None
        self._state = State.SERVER
        upstreams = self._upstreams
        if not fresh:
            key = (self._destination.host.name, self._destination.port, self._secure)
            upstream = upstreams.take(key)
            if upstream is not None:
                return self.upstream_ready(upstream)
        self._connecting = upstreams.connect(
            self,
            self,
            action=self._request.action,
            destination=self._destination,
            authorization=self._authorization,
            secure=self._secure,
        )
        self._connecting.start()
        return None

    def upstream_ready(self, upstream: Upstream) -> None:
        """There is a connection for the request."""
        prepared, client = self._prepared, self._client
        assert prepared is not None and self._head is not None
        self._connecting = None
        self._upstream, self._address = upstream, upstream.address
        self._core.engine.handle(upstream.leg.sock, self._server_ready)
        self._state = State.EXCHANGE
        head = prepared.head
        length = self._length(prepared)
        upgrade = b"websocket" in _upgrades(self._head)
        upstream.used += 1
        upstream.leg.ready = True
        self._exchange = Exchange(
            self,
            client,
            upstream,
            head,
            self._steps,
            body=self._body,
            unread=self._unread,
            chunked=length is None,
            closing=self._head.minor == 0 or b"close" in connection_tokens(self._head.fields),
            upgrade=upgrade,
            fault=self._fault,
        )
        self._unread = b""
        # A service at the sandbox's own loopback may answer to that name only.
        named = head.destination if self._origin.startswith("host_port:") else None
        first = reissued(
            head, named or self._destination, length=length, keep=True, secure=self._secure, upgrade=upgrade
        )
        try:
            upstream.leg.write(first + (prepared.body or b""))
        except OSError:
            self._exchange.server_broken()
        self._exchange.start(b"" if prepared.body is not None else bytes(self._first))

    def _length(self, prepared: Prepared) -> int | None:
        """The length of the body as it goes out: None for chunks, -1 where there is none."""
        assert self._head is not None
        named = self._head.chunked or any(name == b"content-length" for name, _ in self._head.fields)
        if prepared.body is not None:
            return len(prepared.body) if prepared.body or named else -1
        if self._head.chunked or any(step.resizes for step in self._steps):
            return None
        return self._head.length

    def upstream_unreachable(self, reason: str, status: int) -> None:
        """The request is allowed, and its server is not there."""
        self._connecting_ended()
        self._error = reason
        self._refuse(refusal.unreachable(self._destination, reason, status=status))

    def upstream_forbidden(self, decision: Decision) -> None:
        """None of the server's addresses may be dialled."""
        self._connecting_ended()
        self._deny(decision)

    def _connecting_ended(self) -> None:
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            self._address = connecting.address

    def answered_all(self, *, reusable: bool, keep: bool) -> None:
        """The exchange is complete."""
        self._release(reusable=reusable)
        self._over("")
        if not keep:
            return self._leave_orderly("")
        return self._next()

    def server_failed(self, reason: str, *, silent: bool) -> None:
        """The server does not answer as it should."""
        upstream, exchange = self._upstream, self._exchange
        assert upstream is not None and exchange is not None
        again = silent and upstream.used > 1
        self._release(reusable=False)
        if again and exchange.replayable and self._prepared is not None and self._prepared.body is not None:
            # It was closed while it waited for us: nobody has seen the request.
            self._unread, self._exchange = exchange.unread, None
            return self._connect(fresh=True)
        if again:
            # Whether the server has acted on it, only the client can find out.
            return self._end("the server closed its connection before it answered", reset=False)
        if exchange.begun:
            return self._end(f"the server's answer failed: {reason}", reset=True)
        self._error = reason
        return self._refuse(refusal.unreachable(self._destination, reason))

    def switched(self, rest: bytes) -> None:
        """From here on they speak WebSocket."""
        upstream, exchange = self._upstream, self._exchange
        assert upstream is not None and exchange is not None
        self._state = State.WEBSOCKET
        self._websocket = WebSocket(
            self, self._client, upstream.leg, self._steps, unread=exchange.unread, rest=rest, fault=self._fault
        )
        self._exchange = None
        self._websocket.move()

    def websocket_over(self, error: str) -> None:
        """The WebSocket is over."""
        if error:
            return self._end(error, reset=True)
        return self._leave_orderly("")

    # the end of a request, and of everything

    def _next(self) -> None:
        self._meant_again()
        self._head = self._request = self._authorization = self._prepared = None
        self._first = bytearray()
        self._body = FramedBody(0, chunked=False, strict=True)
        self._state = State.REQUEST
        self._core.expect(self, self._core.limits.idle_seconds, self._idle)
        if self._unread or self._client.ready:
            self.again()

    def _release(self, *, reusable: bool) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is None:
            return
        if reusable:
            self._upstreams.give(upstream)
        else:
            self._core.engine.discard(upstream.leg.sock)

    def _over(self, error: str) -> None:
        """The exchange is over for its steps."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.over = True
            self._unread = exchange.unread
        steps, self._steps = self._steps, ()
        for step in steps:
            try:
                step.ended(error)
            except Exception:
                logger.exception("a step failed at the end of its request")

    def _fault(self) -> Decision:
        assert self._head is not None
        text = "the request could not be looked into, because of an internal error"
        return refusal.built_in(self._action(self._head), "gateway.error", text)

    def _deny(self, decision: Decision) -> None:
        """Refuse what no policy has seen."""
        self._refuse(self._core.refuse(decision))

    def _refuse(self, reason: Refusal) -> None:
        """Tell the client, as far as that is still possible."""
        begun = self._exchange is not None and self._exchange.begun
        websocket, head = self._websocket, self._head
        if websocket is not None:
            websocket.refuse(reason.text.partition("\n")[0])
            return self._leave_orderly(f"denied: {reason.rule}")
        if begun:
            return self._end(f"denied: {reason.rule}", reset=True)
        whole = head is not None and self._body.finished and head.method != "HEAD" and self._exchange is None
        keep = whole and head is not None and head.minor == 1 and b"close" not in connection_tokens(head.fields)
        self._stop_connecting()
        self._release(reusable=False)
        self._over(reason.text.partition("\n")[0])
        self._client.write(reason.as_http(keep=keep))
        if keep:
            return self._next()
        return self._leave_orderly(f"denied: {reason.rule}" if reason.rule else self._error or "the request is refused")

    def _too_late(self) -> None:
        if self._state is State.HANDSHAKE:
            return self._end("the TLS handshake takes too long", reset=True)
        return self._refuse(refusal.too_late(self._core.limits.head_seconds))

    def _idle(self) -> None:
        self._leave_orderly("")

    def _stop_connecting(self) -> None:
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            self._address = connecting.address
            connecting.stop()
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()

    def _leave_orderly(self, error: str) -> None:
        """Let the client read what it was told, then close."""
        self._error = error
        if self._client.waiting and not self._client.flush():
            self._release(reusable=False)
            self._over(error)
            self._state = State.CLOSING
            self._core.expect(self, self._core.limits.half_closed_seconds, lambda: self._end(error, reset=True))
            return
        self._end(error, reset=False)

    def _end(self, error: str, *, reset: bool) -> None:
        if self not in self._core.open:
            return
        self._state = State.OVER
        self._core.leave(self)
        self._stop_connecting()
        self._release(reusable=False)
        self._over(error)
        self._meant_again()
        if reset:
            self._core.engine.discard(self._client.sock, reset=True)
        else:
            Farewell(self._core, self._client.finish(), b"")
        self._core.closed(
            ConnectionClosed(
                host=self._destination.host.name,
                port=self._destination.port,
                address=self._address,
                sent_bytes=self._client.moved_in,
                received_bytes=self._client.moved_out,
                duration_ms=int((self._core.clock.monotonic() - self._started) * 1000),
                error=error,
                inspection="inspected",
            )
        )


def _upgrades(head: RequestHead) -> frozenset[bytes]:
    """The protocols that a request asks to switch to, in lower case."""
    return frozenset(
        token.strip().lower().partition(b"/")[0]
        for name, value in head.fields
        if name == b"upgrade"
        for token in value.split(b",")
        if token.strip()
    )


def _expects(head: RequestHead) -> bool:
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in head.fields)
