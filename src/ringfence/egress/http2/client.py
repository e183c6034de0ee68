"""The stage of a client that speaks HTTP/2 and whose requests are looked into, many at once: each stream is a request
with a course of its own, and all of them go to the one host that the connection is for.

It decides nothing. What does not keep to the protocol, or costs more than it moves, ends the connection.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable

import msgspec
from h2.errors import ErrorCodes
from h2.events import Event, RequestReceived, StreamReset

from ringfence.egress import refusal
from ringfence.egress.core import Core
from ringfence.egress.course import Course
from ringfence.egress.engine import BROKEN
from ringfence.egress.farewell import Farewell
from ringfence.egress.http2.ends import GONE, Http2Client
from ringfence.egress.http2.heads import read_request, refused
from ringfence.egress.http2.server import Http2Link
from ringfence.egress.http2.wire import OF_CLIENTS, Stream, Wire, WireBroken
from ringfence.egress.http_fields import said
from ringfence.egress.http_head import HeadInvalid, RequestHead
from ringfence.egress.identity import same
from ringfence.egress.inspection import Inspection, Steps
from ringfence.egress.leg import Leg
from ringfence.egress.reached import Reached
from ringfence.egress.refusal import Refusal
from ringfence.egress.request_owner import State, Told
from ringfence.egress.upstreams import Upstream, Upstreams
from ringfence.model.action import ConnectAction
from ringfence.model.event import ConnectionClosed
from ringfence.model.host import Destination

logger = logging.getLogger(__name__)

_ROUNDS = 16


class InspectedHttp2:
    """A client, after its handshake."""

    def __init__(
        self,
        core: Core,
        inspection: Inspection,
        upstreams: Upstreams,
        client: Leg,
        destination: Destination,
        *,
        origin: str,
        started: float,
        over: Callable[[], None],
    ) -> None:
        """`over` is called once, at the end."""
        self.destination: Destination | None = destination
        self.where = destination
        self.core = core
        self.inspection = inspection
        self.upstreams = upstreams
        self.origin = origin
        self.link = Http2Link(core, upstreams, destination)
        self.calls: dict[int, Call] = {}
        self.address = ""
        self.reached = Reached()
        self._leg = client
        self._started = started
        self._over = over
        self._error = ""
        self._closing = False
        self._asked = False
        self._limit = 0.0
        """The time that it has at the moment, without requests; 0 with some."""
        self.wire = Wire(client, core.clock.monotonic, core.engine.again, client_side=False, windows=OF_CLIENTS)
        core.enter(self)
        core.expect(self, core.limits.head_seconds, self._too_late)
        core.engine.handle(client.sock, self._ready)
        self.guarded(self._turn)

    def close(self, error: str) -> None:
        """End it; both sides see that it did not end by itself."""
        self._end(error, reset=True)

    # events

    def _ready(self, events: int) -> None:
        self._leg.stirred(events)
        if events & BROKEN:
            return self.close("the client went away")
        return self.guarded(self._turn)

    def again(self) -> None:
        """Go on after the others had their turn."""
        self.core.engine.again(lambda: self.guarded(self._turn))

    def guarded(self, step: Callable[[], None]) -> None:
        """Do a step; what goes wrong in it ends this connection, and no other."""
        if self not in self.core.open:
            return
        try:
            step()
        except WireBroken as broken:
            self._leave_orderly(f"the client's HTTP/2 is refused: {broken}")
        except (ssl.SSLError, OSError) as error:
            words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self._end(words.lower(), reset=True)
        except Exception:
            logger.exception("a connection is closed because of an error in the gateway")
            self._end("an error in the gateway", reset=True)

    def _turn(self) -> None:
        written = self.wire.resume()
        if self._closing:
            if written:
                self._end(self._error, reset=False)
            return None
        for _ in range(_ROUNDS):
            if self.wire.busy:
                break
            came = self.wire.receive()
            if came is None:
                break
            for event in came[0]:
                self._told(event)
            if self._leg.ended:
                return self._end("" if not self.calls else "the client went away within a request", reset=False)
        else:
            self.again()
        touched, self.wire.touched = self.wire.touched, set()
        for number in touched:
            call = self.calls.get(number)
            if call is not None:
                call.move()
        if self in self.core.open:
            self.wire.flush()
            if self.wire.touched:
                self.again()
            self._rest()
        return None

    def _told(self, event: Event) -> None:
        match event:
            case RequestReceived(stream_id=int() as number):
                self._asked, self._limit = True, 0.0
                self.core.relax(self)
                call = self.calls[number] = Call(self, self.wire.streams[number])
                call.start(list(event.headers or ()), empty=event.stream_ended is not None)
            case StreamReset(stream_id=number):
                call_or_none = self.calls.get(number)
                if call_or_none is not None:
                    call_or_none.given_up()
            case _:
                pass

    # requests

    def over(self, number: int) -> None:
        """A request is over."""
        self.calls.pop(number, None)
        if not self.calls:
            self.again()  # for the time that it has from now on

    def _rest(self) -> None:
        """Without requests: it may send another one for a while, or has some of an answer still to read."""
        limits, before = self.core.limits, self._limit
        if not self._asked:
            return
        # SECURITY: the time does not begin anew with each byte that is no request.
        self._limit = 0.0 if self.calls else limits.half_closed_seconds if self.wire.streams else limits.idle_seconds
        if self._limit == before:
            return
        if self.calls:
            self.core.relax(self)
        elif self.wire.streams:
            self.core.expect(self, self._limit, lambda: self._end("the client does not read its answer", reset=True))
        else:
            self.core.expect(self, self._limit, self._idle)

    def _idle(self) -> None:
        self._leave_orderly("")

    def _too_late(self) -> None:
        self._leave_orderly("no request came in time")

    # the end

    def _leave_orderly(self, error: str) -> None:
        """Say goodbye, let the client read it, then close."""
        self._error = error
        self._end_calls(error)
        self.wire.goodbye()
        if self._leg.waiting and not self._leg.flush():
            self._closing = True
            limit = self.core.limits.linger_seconds
            return self.core.expect(self, limit, lambda: self._end(error, reset=True))
        return self._end(error, reset=False)

    def _end_calls(self, error: str) -> None:
        calls, self.calls = self.calls, {}
        for call in calls.values():
            call.end(error)
        self.link.close(error)
        self.address = self.link.address or self.address

    def _end(self, error: str, *, reset: bool) -> None:
        if self not in self.core.open:
            return
        self.core.leave(self)
        self._over()
        self._end_calls(error)
        self.wire.stop()
        if reset:
            self.core.engine.discard(self._leg.sock, reset=True)
        else:
            Farewell(self.core, self._leg.finish(), b"")
        self.core.closed(
            ConnectionClosed(
                host=self.where.host.name,
                port=self.where.port,
                address=self.address,
                sent_bytes=self._leg.moved_in,
                received_bytes=self._leg.moved_out,
                duration_ms=int((self.core.clock.monotonic() - self._started) * 1000),
                error=error,
                inspection="inspected",
                reached=self.reached.beside(self.where),
            )
        )


class Call:
    """One request of the client: owns its course, and tells the client on its stream what became of it."""

    def __init__(self, connection: InspectedHttp2, stream: Stream) -> None:
        self._connection = connection
        self._stream = stream
        self._wire = connection.wire
        self._client: Http2Client | None = None
        self._course: Course | None = None
        self._head: RequestHead | None = None

    def start(self, headers: list[tuple[bytes, bytes]], *, empty: bool) -> None:
        """Read the head; a request that can be read in one way only, and goes to this host, goes on its way."""
        connection = self._connection
        where = connection.where
        named = dict(headers)
        action = ConnectAction(host=where.host.name, port=where.port)
        if named.get(b":method") == b"CONNECT":
            text = "a tunnel within a connection that is inspected"
            return self._tell(connection.core.refuse(refusal.built_in(action, "http.connect", text)))
        try:
            head = self._head = read_request(headers, empty=empty, port=where.port)
        except HeadInvalid as invalid:
            return self._tell(refusal.malformed(str(invalid)))
        # SECURITY: the certificate, the name in the TLS hello and this are one host, on every stream anew.
        if not same(head.destination, where, connection.origin):
            action = msgspec.structs.replace(action, method=head.method, path=head.path)
            text = f"the request inside names the host `{head.destination}`, not the one that was authorised"
            return self._tell(connection.core.refuse(refusal.built_in(action, "http.host", text)))
        client = self._client = Http2Client(self._wire, self._stream, head, empty=empty)
        course = self._course = Course(
            connection.core,
            connection.inspection,
            connection.upstreams,
            self,
            client,
            where,
            origin=connection.origin,
            secure=True,
            link=connection.link,
        )
        return self.guarded(lambda: course.start(head, said(head.fields)))

    def move(self) -> None:
        """Something came, or there is room for something."""
        course = self._course
        if course is not None and course.state is not State.OVER:
            self.guarded(course.move)

    def given_up(self) -> None:
        """The client does not want it any more."""
        self._finish(GONE)

    def end(self, error: str) -> None:
        """The connection ends."""
        if self._course is not None:
            self._course.end(error)
            self._connection.reached.add(self._course.destination, self._course.address)

    # what becomes of it

    def guarded(self, step: Callable[[], None]) -> None:
        """Do a step; what goes wrong in it ends the request."""
        try:
            step()
        except Exception as fault:  # noqa: BLE001  whatever it is, it is dealt with there
            self.broke(fault)

    def broke(self, fault: Exception) -> None:
        """A step went wrong, and that is being handled: it ends the request."""
        if isinstance(fault, HeadInvalid):
            assert self._course is not None
            self._course.malformed(str(fault))
        elif isinstance(fault, OSError):
            self.failed(str(fault).lower(), reset=True)
        else:
            logger.exception("a request is ended because of an error in the gateway")
            self.failed("an error in the gateway", reset=True)

    def again(self) -> None:
        """Go on after the others had their turn."""
        self._wire.touched.add(self._stream.id)
        self._connection.again()

    def answered(self, *, keep: bool) -> None:
        """The request is answered."""
        self._finish("")

    def failed(self, error: str, *, reset: bool, code: int | None = None) -> None:
        """The request cannot be answered."""
        self._wire.reset(self._stream, code or ErrorCodes.INTERNAL_ERROR)
        self._finish(error)

    def refused(self, told: Told) -> None:
        """The request is refused."""
        if told.begun:
            return self.failed(told.error, reset=True)
        return self._tell(told.reason)

    def switched(self, upstream: Upstream, steps: tuple[Steps, ...], rest: bytes) -> None:
        """No request of HTTP/2 asks for that."""
        self.failed("an answer that switches to another protocol", reset=True)

    def _tell(self, reason: Refusal) -> None:
        header, body = refused(reason, self._head)
        self._wire.headers(self._stream, header, end=not body)
        if body:
            self._wire.send(self._stream, body)
            self._wire.end(self._stream)
        self._finish(reason.text.partition("\n")[0])

    def _finish(self, error: str) -> None:
        self._wire.leave(self._stream)
        if self._course is not None:
            self._course.end(error)
            self._connection.address = self._course.address or self._connection.address
            self._connection.reached.add(self._course.destination, self._course.address)
        self._connection.over(self._stream.id)
        self._wire.flush_soon()
