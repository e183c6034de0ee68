"""The stage of a client that speaks HTTP/1.1 and whose requests are looked into, one after the other.

It reads heads, and gives each request that can be read in one way only to a `Course`; what becomes of it, it tells the
client. After an upgrade it runs the WebSocket.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

from ringfence.egress import refusal
from ringfence.egress.core import Core
from ringfence.egress.course import Course
from ringfence.egress.engine import BROKEN, HANGUP, READABLE
from ringfence.egress.exchange import Side
from ringfence.egress.farewell import Farewell
from ringfence.egress.front import Wanted
from ringfence.egress.http1_ends import Http1Client
from ringfence.egress.http_fields import Field, Said, said
from ringfence.egress.http_head import END, HeadInvalid, RequestHead, Target, parse_head
from ringfence.egress.identity import same
from ringfence.egress.inspection import Held, Inspection, Steps
from ringfence.egress.leg import Leg
from ringfence.egress.reached import Reached
from ringfence.egress.refusal import Refusal
from ringfence.egress.request_owner import State as Progress
from ringfence.egress.request_owner import Told
from ringfence.egress.short_way import ShortWay
from ringfence.egress.upstreams import Upstream, Upstreams
from ringfence.egress.websocket import WebSocket
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision
from ringfence.model.event import ConnectionClosed
from ringfence.model.host import Destination

logger = logging.getLogger(__name__)

_UPGRADES = frozenset((b"websocket", b"h2c"))
"""The first is looked into; the second is not handed on, and a server that was not asked for it goes on in HTTP/1.1."""

_NOTHING_SAID: tuple[tuple[Field, ...], Said] = ((), said(()))
_SHORT = 4096

TakesHttp2: TypeAlias = Callable[[Leg, Destination, str, float], None]
"""Takes a client over after its handshake: where it wants to go, how it came here, and when."""


class State(Enum):
    """What the client is waiting for, or we for it."""

    HANDSHAKE = "handshake"
    REQUEST = "request"
    COURSE = "course"
    WEBSOCKET = "websocket"
    CLOSING = "closing"
    OVER = "over"


class Inspected:
    """A client and, one at a time, its requests."""

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
        http2: TakesHttp2 | None = None,
    ) -> None:
        """`http2` takes a client over that chose to speak that."""
        self.destination: Destination | None = wanted.destination
        self._destination = self._named = wanted.destination
        """`_named` is how the last request called it that was found to mean the same."""
        self._core = core
        self._inspection = inspection
        self._upstreams = upstreams
        self._leg = client
        self._client = Http1Client(client, b"" if secure else wanted.rest)
        self._origin = wanted.origin
        self._secure = secure
        self._most = core.limits.head
        self._said = _NOTHING_SAID
        """The header fields of the last request, and what they say: mostly the next one says the same."""
        self._http2 = http2
        self._started = core.clock.monotonic()
        self._state = State.HANDSHAKE
        self._hangup = bool(edges & HANGUP)
        self._head: RequestHead | None = None
        self._course: Course | None = None
        self._short: ShortWay | None = None
        """What takes most requests but the first."""
        self._shortens = inspection.route is None and not wanted.origin.startswith("host_port:")
        """Whether every request goes to the host that it names, by the name that its server knows."""
        self._websocket: WebSocket | None = None
        self._address = ""
        self._reached = Reached()
        self._error = ""
        core.enter(self)
        core.expect(self, core.limits.head_seconds, self._too_late)
        core.engine.handle(client.sock, self._client_ready)
        head = wanted.head
        if head is not None:
            self._state = State.REQUEST
            self.guarded(lambda: self._look_at(head))
        else:
            self.guarded(self._go_on)

    def close(self, error: str) -> None:
        """End it; both sides see that it did not end by itself."""
        self._end(error, reset=True)

    # events

    def _client_ready(self, events: int) -> None:
        leg = self._leg
        if events & READABLE:
            leg.drained, leg.ready = False, True
            if events & HANGUP:
                leg.ending = self._hangup = True
        if self._state is State.OVER:
            return
        try:
            if leg.waiting:
                leg.flush()
            if events & BROKEN:
                self.close("the client went away")
            elif self._state is State.REQUEST:
                self._read_request()
            else:
                self._go_on()
        except Exception as fault:  # noqa: BLE001  whatever it is, it is dealt with there
            self.broke(fault)

    def _go_on(self) -> None:
        match self._state:
            case State.REQUEST:
                self._read_request()
            case State.HANDSHAKE:
                self._shake()
            case State.COURSE:
                moves = self._course is not None and self._course.state is not Progress.ANSWER
                if not moves or self._client.finished:
                    self._look_after_client()
                if moves and self._course is not None:
                    self._course.move()
            case State.WEBSOCKET:
                assert self._websocket is not None
                self._websocket.move()
            case State.CLOSING:
                if not self._leg.waiting:
                    self._end(self._error, reset=False)
            case State.OVER:
                pass

    def _look_after_client(self) -> None:
        """While others have to do something, its server among them: when the client goes, so do we. Over TLS its
        goodbye is in the stream, so that we read on, up to the length of a head."""
        client = self._client
        while self._leg.ready and len(client.unread) <= self._core.limits.head:
            data = self._leg.read()
            if not data:
                break
            client.unread += data
        if self._leg.ended or self._hangup:
            self.close("the client went away")

    def again(self) -> None:
        """Go on after the others had their turn."""
        self._core.engine.again(self._again)

    def _again(self) -> None:
        self.guarded(self._go_on)

    def guarded(self, step: Callable[[], None]) -> None:
        """Do a step; what goes wrong in it ends this connection, and no other."""
        if self._state is State.OVER:
            return
        try:
            step()
        except Exception as fault:  # noqa: BLE001  whatever it is, it is dealt with there
            self.broke(fault)

    def broke(self, fault: Exception) -> None:
        """A step went wrong, and that is being handled: it ends this connection, and no other."""
        if isinstance(fault, HeadInvalid):
            if self._state is State.COURSE and self._course is not None:
                self._course.malformed(str(fault))
            else:
                self._end(str(fault), reset=True)
        elif isinstance(fault, OSError):
            self._end((fault.strerror or str(fault)).lower(), reset=True)
        else:
            logger.exception("a connection is closed because of an error in the gateway")
            self._end("an error in the gateway", reset=True)

    # requests

    def _shake(self) -> None:
        if not self._leg.handshake():
            return None
        if self._http2 is not None and self._leg.protocol() == "h2":
            self._state = State.OVER
            self._core.leave(self)
            return self._http2(self._leg, self._destination, self._origin, self._started)
        self._state = State.REQUEST
        return self._read_request()

    def _read_request(self) -> None:
        client, leg, most = self._client, self._leg, self._most
        raw = client.unread
        end = raw.find(END) if raw else -1
        while end < 0 and b"\n\n" not in raw:
            if len(raw) > most:
                return self._refuse(refusal.too_large(most))
            data = leg.read() if leg.ready else None
            if not data:
                if data is None:
                    return None
                return self._end("the client went away within a request" if raw else "", reset=False)
            began, raw = not raw, raw + data if raw else data
            client.unread = raw
            end = raw.find(END)
            if began and end < 0:
                self._core.expect(self, self._core.limits.head_seconds, self._too_late)
        if end > most:
            return self._refuse(refusal.too_large(most))
        length = end + 4 if end >= 0 else len(raw)
        if length == len(raw):
            client.unread = b""
        else:
            raw, client.unread = raw[:length], raw[length:]
        try:
            head = parse_head(raw, default_port=self._destination.port)
        except HeadInvalid as invalid:
            return self._refuse(refusal.malformed(str(invalid)))
        return self._look_at(head)

    def _look_at(self, head: RequestHead) -> None:
        """The head is read; is it one that can be judged?"""
        self._head = head
        fields, header = self._said
        if head.fields is not fields:
            header = said(head.fields)
            if len(header.lines) < _SHORT:
                self._said = (head.fields, header)
        self._client.expect(head, header)
        # SECURITY: the certificate, the name in the TLS hello and this are one host, on every request anew. The parser
        # gives one `Destination` for one Host line, as long as it remembers it: what is the very same passed already.
        known = head.destination is self._named and head.target is Target.ORIGIN and self._origin != "http"
        if not known or header.upgrades:
            problem = self._unacceptable(head, header)
            if problem is not None:
                return self._refuse(self._core.refuse(problem))
        self._state = State.COURSE
        if known and self._shortens:
            short = self._short
            if short is None:
                short = self._short = self._short_way()
            if short.start(head, header):
                return None
        course = self.new_course()
        course.start(head, header)
        if self._course is course:
            self.destination = course.destination  # it may be led to another host, and ends with what allows that
        return None

    def _short_way(self) -> ShortWay:
        return ShortWay(
            self._core,
            self._inspection,
            self._upstreams,
            self,
            self._client,
            self._destination,
            origin=self._origin,
            secure=self._secure,
        )

    def new_course(self) -> Course:
        """A course for the request."""
        self._course = Course(
            self._core,
            self._inspection,
            self._upstreams,
            self,
            self._client,
            self._destination,
            origin=self._origin,
            secure=self._secure,
        )
        return self._course

    def _unacceptable(self, head: RequestHead, header: Said) -> Decision | None:
        if head.method == "CONNECT":
            return self._no(head, "http.connect", "a tunnel within a connection that is inspected")
        if self._origin == "http" and head.target is Target.ABSOLUTE and head.destination is not None:
            # A client of the proxy may go to another host with every request; each is judged.
            self.destination = self._destination = head.destination
        named, absolute = head.destination, head.target is Target.ABSOLUTE
        as_authorised = named is self._destination or same(named, self._destination, self._origin)
        if not as_authorised or absolute != (self._origin == "http"):
            meant = str(head.destination) if head.destination else "none"
            text = f"the request inside names the host `{meant}`, not the one that was authorised"
            return self._no(head, "http.host", text)
        wanted = header.upgrades
        if wanted and not wanted <= _UPGRADES:
            wanted -= _UPGRADES
            word = min(wanted).decode("latin-1")
            text = f"the request asks to switch to `{word}`, which cannot be inspected"
            return self._no(head, "http.upgrade", text, "ask for the host in `network.pass_through`")
        if named is not None:
            self._named = named
        return None

    def _no(self, head: RequestHead, rule: str, text: str, *steps: str) -> Decision:
        here = self._destination
        action = ConnectAction(host=here.host.name, port=here.port, method=head.method, path=head.path)
        return refusal.built_in(action, rule, text, *steps)

    # what becomes of them

    def answered(self, *, keep: bool) -> None:
        """The request is answered."""
        course = self._course
        if course is None or course.destination is not self._reached.last or course.address != self._address:
            self._forget()
        if not keep:
            return self._leave_orderly("")
        self._course = None
        return self._next()

    def passed(self, address: str) -> None:
        """The request went the short way, and is answered."""
        if address != self._address or self._destination is not self._reached.last:
            self._address = address
            self._reached.add(self._destination, address)
        return self._next()

    def _next(self) -> None:
        core = self._core
        self._head = None
        self._state = State.REQUEST
        core.expect(self, core.limits.idle_seconds, self._idle)
        if self._client.unread or self._leg.ready:
            self.again()

    def failed(self, error: str, *, reset: bool, code: int | None = None) -> None:
        """The request cannot be answered."""
        self._end(error, reset=reset)

    def refused(self, told: Told) -> None:
        """The request is refused."""
        self._forget()
        if self._websocket is not None:
            self._websocket.refuse(told.reason.text.partition("\n")[0])
            return self._leave_orderly(told.error)
        if told.begun:
            return self._end(told.error, reset=True)
        return self._refuse(told.reason, told.error, sent=told.sent)

    def switched(self, upstream: Upstream, steps: tuple[Steps, ...], rest: bytes) -> None:
        """From here on they speak WebSocket."""
        course = self._course
        assert course is not None
        self._state = State.WEBSOCKET
        unread, self._client.unread = self._client.unread, b""
        self._websocket = WebSocket(self, self._leg, upstream.leg, steps, unread=unread, rest=rest, fault=course.fault)
        upstream.then = lambda: self.guarded(lambda: self._server_event(upstream))
        self._websocket.move()

    def _server_event(self, upstream: Upstream) -> None:
        if self._websocket is not None and self._state is State.WEBSOCKET:
            if upstream.leg.waiting:
                upstream.leg.flush()
            self._websocket.move()

    def hold_bytes(self, size: int) -> bool:
        """Hold so many bytes of messages that are not complete."""
        return self._course is not None and self._course.hold_bytes(size)

    def held(self, side: Side, held: Held) -> None:
        """A step holds a message."""
        course, websocket = self._course, self._websocket
        assert course is not None and websocket is not None
        course.hold(held, lambda answer: websocket.resume(side, answer))

    def websocket_over(self, error: str) -> None:
        """The WebSocket is over."""
        if error:
            return self._end(error, reset=True)
        return self._leave_orderly("")

    # the end of a request, and of everything

    def _forget(self) -> None:
        """Keep of a request what is needed once it is over."""
        if self._course is not None:
            self._address = self._course.address or self._address
            self._reached.add(self._course.destination, self._course.address)

    def _refuse(self, reason: Refusal, error: str = "", *, sent: bool = False) -> None:
        """Tell the client why it gets no answer, and let it go on where it is clear where its next request begins."""
        head, client = self._head, self._client
        keep = head is not None and client.finished and head.method != "HEAD" and not sent and client.keeps
        self._leg.write(reason.as_http(keep=keep))
        if keep:
            return self.answered(keep=True)
        return self._leave_orderly(error or (f"denied: {reason.rule}" if reason.rule else "the request is refused"))

    # Both are about the time until a request is there. It is not worth the while to take them back with each.

    def _too_late(self) -> None:
        if self._state is State.HANDSHAKE:
            self._end("the TLS handshake takes too long", reset=True)
        elif self._state is State.REQUEST:
            self._refuse(refusal.too_late(self._core.limits.head_seconds))

    def _idle(self) -> None:
        if self._state is State.REQUEST:
            self._leave_orderly("")

    def _leave_orderly(self, error: str) -> None:
        """Let the client read what it was told, then close."""
        self._error = error
        if self._leg.waiting and not self._leg.flush():
            self._end_request(error)
            self._state = State.CLOSING
            self._core.expect(self, self._core.limits.half_closed_seconds, lambda: self._end(error, reset=True))
            return
        self._end(error, reset=False)

    def _end_request(self, error: str) -> None:
        if self._course is not None:
            self._course.end(error)
            self._forget()
        if self._short is not None:
            address = self._short.end()
            self._address = address or self._address
            self._reached.add(self._destination, address)

    def _end(self, error: str, *, reset: bool) -> None:
        if self not in self._core.open:
            return
        self._state = State.OVER
        self._core.leave(self)
        self._end_request(error)
        self._course = self._short = None  # else the two hold each other
        if reset:
            self._core.engine.discard(self._leg.sock, reset=True)
        else:
            Farewell(self._core, self._leg.finish(), b"")
        self._core.closed(
            ConnectionClosed(
                host=self._destination.host.name,
                port=self._destination.port,
                address=self._address,
                sent_bytes=self._leg.moved_in,
                received_bytes=self._leg.moved_out,
                duration_ms=int((self._core.clock.monotonic() - self._started) * 1000),
                error=error,
                inspection="inspected",
                reached=self._reached.beside(self._destination),
            )
        )
