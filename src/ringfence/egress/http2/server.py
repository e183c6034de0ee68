"""The connection to a server that carries the requests of one client's HTTP/2 connection, and of nobody else's.

It is made with the first request, made again when the server wants no more requests on it, and left alone where the
server speaks HTTP/1.1 only: then each request has a connection of its own.
"""

from __future__ import annotations

import logging
import ssl
from collections import deque
from collections.abc import Callable
from functools import partial

from h2.errors import ErrorCodes
from h2.events import Event, InformationalResponseReceived, ResponseReceived, TrailersReceived

from ringfence.egress import refusal
from ringfence.egress.core import Core
from ringfence.egress.course import Course
from ringfence.egress.http2.ends import Http2Server
from ringfence.egress.http2.frames import GoAway
from ringfence.egress.http2.wire import OF_SERVERS, Wire, WireBroken
from ringfence.egress.upstreams import Connecting, Upstream, Upstreams
from ringfence.model.decision import Decision
from ringfence.model.host import Destination

logger = logging.getLogger(__name__)

_ROUNDS = 16
_HEADS = 32
"""Heads of one answer that may wait."""
_ALONE = 8
"""Connections at once for the requests of one client, where the server speaks HTTP/1.1 only."""


class Carrier:
    """One connection to the server, with the requests that it carries."""

    def __init__(self, core: Core, upstreams: Upstreams, upstream: Upstream, destination: Destination) -> None:
        self.address = upstream.address
        self.going = False
        """Whether it takes no more requests."""
        self._core = core
        self._destination = destination
        self._upstreams = upstreams
        self._upstream = upstream
        self._leg = upstream.leg
        self._wire = Wire(upstream.leg, core.clock.monotonic, core.engine.again, client_side=True, windows=OF_SERVERS)
        self._carried: dict[int, tuple[Course, Http2Server]] = {}
        self._waiting: deque[Course] = deque()
        self._closed = False
        self._leg.ready = True
        core.engine.handle(self._leg.sock, self._ready)
        self._guarded(self._wire.flush)
        self.again()

    def take(self, course: Course) -> None:
        """Carry a request, now or when there is room for another stream."""
        if course.is_over:
            return
        if len(self._carried) >= self._wire.most_streams:
            self._waiting.append(course)
            return
        stream = self._wire.begin()
        server = Http2Server(self._wire, stream, course.named, lambda: self._over(stream.id))
        self._carried[stream.id] = (course, server)
        course.guarded(lambda: course.carried(server, self.address))

    def again(self) -> None:
        """Go on after the others had their turn."""
        self._core.engine.again(lambda: self._guarded(self._turn))

    def close(self) -> None:
        """End it, with all that it carries."""
        if not self._closed:
            self._closed = self.going = True
            self._wire.broken()
            for course, _ in tuple(self._carried.values()):
                course.guarded(course.move)
            self._wire.goodbye()
            self._wire.stop()
            self._upstreams.dismiss(self._upstream)

    @property
    def is_closed(self) -> bool:
        """Whether the connection is gone."""
        return self._closed

    def _ready(self, events: int) -> None:
        self._leg.stirred(events)
        self._guarded(self._turn)

    def _guarded(self, step: Callable[[], object]) -> None:
        if self._closed:
            return
        try:
            step()
        except (WireBroken, ssl.SSLError, OSError) as error:
            self._break(str(error))
        except Exception:
            logger.exception("a connection to a server is closed because of an error in the gateway")
            self._break("an error in the gateway")

    def _turn(self) -> None:
        self._wire.resume()
        for _ in range(_ROUNDS):
            came = self._wire.receive()
            if came is None:
                break
            events, farewells = came
            for event in events:
                self._told(event)
            for farewell in farewells:
                self._farewell(farewell)
            self._move()
            if self._leg.ended:
                raise WireBroken("it closed its connection")
        else:
            self.again()
        while self._waiting and not self.going and len(self._carried) < self._wire.most_streams:
            self.take(self._waiting.popleft())
        self._move()
        if not self._closed:
            self._wire.flush()
        if self.going and not self._carried:
            self.close()

    def _told(self, event: Event) -> None:
        match event:
            case InformationalResponseReceived() | ResponseReceived():
                if event.stream_id in self._carried:
                    heads = self._carried[event.stream_id][1].heads
                    # SECURITY: heads have no flow control, and wait while somebody is asked about the request.
                    if len(heads) >= _HEADS:
                        raise WireBroken("it sends interim answers without end")
                    heads.append(list(event.headers or ()))
            case TrailersReceived():
                if event.stream_id in self._carried:
                    self._carried[event.stream_id][1].behind = list(event.headers or ())
            case _:
                pass

    def _farewell(self, farewell: GoAway) -> None:
        self.going = True
        for number, stream in tuple(self._wire.streams.items()):
            self._wire.touched.add(number)
            if number > farewell.last and stream.code is None:
                # Nothing was done about it; who asked may ask again.
                stream.code = int(ErrorCodes.REFUSED_STREAM)
        waiting, self._waiting = self._waiting, deque()
        for course in waiting:
            course.guarded(course.go_on)

    def _move(self) -> None:
        touched, self._wire.touched = self._wire.touched, set()
        for number in touched:
            if number in self._carried:
                course, _ = self._carried[number]
                course.guarded(course.move)
        if self._wire.touched:
            self.again()

    def _over(self, number: int) -> None:
        self._carried.pop(number, None)
        if self._waiting or self.going:
            self.again()

    def _break(self, why: str) -> None:
        """Every request on it ends; the server may have acted on any of them."""
        logger.debug("a connection to %s broke: %s", self._destination, why)
        self._wire.broken()
        self.going = True
        self._move()
        waiting, self._waiting = self._waiting, deque()
        self.close()
        for course in waiting:
            course.guarded(course.go_on)


class Http2Link:
    """The way of one client's requests to their server."""

    def __init__(self, core: Core, upstreams: Upstreams, destination: Destination) -> None:
        self.destination: Destination | None = destination
        self.address = ""
        self._where = destination
        self._core = core
        self._upstreams = upstreams
        self._carrier: Carrier | None = None
        self._leaving: list[Carrier] = []
        self._connecting: Connecting | None = None
        self._waiting: list[Course] = []
        self._private = False
        """Whether the connection was made for requests that may go to one's own network."""
        self._alone = False
        """Whether the server speaks HTTP/1.1 only."""
        self._going: set[Course] = set()
        """The requests that have a connection of their own: of HTTP/1.1, or to another server that they are led to."""
        self._queue: deque[Course] = deque()
        """The ones that wait for that."""

    def carry(self, course: Course) -> bool:
        """Take a request, unless the server cannot carry it beside others."""
        if self._alone or course.destination != self.destination or not course.secure:
            return self._let_go(course)
        carrier = None if self._carrier is None or self._carrier.going else self._carrier
        # SECURITY: an address of one's own network is dialled for some requests to a host, and not for others.
        if (carrier or self._connecting) and course.authorization.private is not self._private:
            return self._let_go(course)
        if carrier is not None:
            carrier.take(course)
            return True
        self._waiting.append(course)
        if self._connecting is None:
            self._connect(course)
        return True

    def close(self, error: str) -> None:
        """End it: the client is gone, or there is a fault."""
        self._core.relax(self)
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.stop()
            self.address = connecting.address
        for carrier in (*self._leaving, *((self._carrier,) if self._carrier else ())):
            carrier.close()
        self._carrier, self._leaving = None, []
        waiting, self._waiting = self._waiting, []
        for course in waiting:
            course.guarded(partial(course.close, error))

    def upstream_ready(self, upstream: Upstream) -> None:
        """The connection is there; what does it speak?"""
        self._connecting = None
        self.address = upstream.address
        waiting, self._waiting = [one for one in self._waiting if not one.is_over], []
        if upstream.leg.protocol() == "h2":
            if self._carrier is not None:
                self._leaving = [one for one in (*self._leaving, self._carrier) if not one.is_closed]
            self._carrier = Carrier(self._core, self._upstreams, upstream, self._where)
            for course in waiting:
                self._carrier.take(course)
            return None
        self._alone = True
        if not waiting:
            return self._upstreams.give(upstream)
        first, *others = waiting
        self._go(first)
        first.guarded(lambda: first.upstream_ready(upstream))
        for course in others:
            course.guarded(course.go_on)
        return None

    def upstream_unreachable(self, reason: str, status: int) -> None:
        """There is none."""
        self._each(lambda course: course.upstream_unreachable(reason, status))

    def upstream_forbidden(self, decision: Decision) -> None:
        """None of the server's addresses may be dialled."""
        self._each(lambda course: course.upstream_forbidden(decision))

    def left(self, course: Course) -> None:
        """A request is over."""
        if course in self._going:
            self._going.remove(course)
            self._core.leave(course)
        if self._queue:
            self._core.engine.again(self._go_following)

    def _go_following(self) -> None:
        while self._queue and len(self._going) < _ALONE:
            following = self._queue.popleft()
            following.guarded(following.go_on)

    def _let_go(self, course: Course) -> bool:
        """Keep a request where too many have a connection each; each takes a descriptor."""
        if course in self._going:
            return False
        if len(self._going) >= _ALONE:
            self._queue.append(course)
            return True
        most = self._core.limits.connections
        if len(self._core.open) >= most:
            course.refuse(refusal.overloaded(most))
            return True
        self._go(course)
        return False

    def _go(self, course: Course) -> None:
        # It counts as a connection of the session, because it takes a descriptor.
        self._going.add(course)
        self._core.enter(course)

    def _connect(self, course: Course) -> None:
        self._private = course.authorization.private
        self._connecting = self._upstreams.connect(
            self,
            self,
            action=course.action,
            destination=self._where,
            authorization=course.authorization,
            secure=True,
            http2=True,
        )
        self._connecting.start()

    def _each(self, tell: Callable[[Course], None]) -> None:
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            self.address = connecting.address
        waiting, self._waiting = self._waiting, []
        for course in waiting:
            course.guarded(partial(tell, course))
