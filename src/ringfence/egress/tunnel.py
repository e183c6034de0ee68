"""The stage of a connection that stands: checks that what the client says first names the host that was authorised,
then leaves the bytes to two pumps and counts them."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable

from ringfence.egress import refusal
from ringfence.egress.carried import Carried
from ringfence.egress.core import Core
from ringfence.egress.engine import HANGUP, READABLE
from ringfence.egress.farewell import Farewell
from ringfence.egress.first_bytes import Http, look
from ringfence.egress.http_body import Body
from ringfence.egress.http_forward import server_head
from ringfence.egress.http_head import HeadInvalid, RequestHead
from ringfence.egress.identity import foreign
from ringfence.egress.pump import CHUNK, Meter, Pump, RequestPump, RequestsPump
from ringfence.egress.requests import ForeignRequest, Requests
from ringfence.egress.speech import may_be_spoken, unread_key, unspeakable
from ringfence.egress.tls_hello import HelloInvalid
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision
from ringfence.model.event import ConnectionClosed
from ringfence.model.host import Destination


class OverBudget(HeadInvalid):
    """What is about to be sent is more than may be."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(f"denied: {decision.reasons[0].rule}")
        self.decision = decision


class Tunnel:
    """A client and its server."""

    __slots__ = (
        "_address",
        "_carried",
        "_client",
        "_core",
        "_down",
        "_first",
        "_moved",
        "_protocols",
        "_server",
        "_sight",
        "_started",
        "_up",
        "_wanted",
        "destination",
    )

    def __init__(
        self,
        core: Core,
        client: socket.socket,
        server: socket.socket,
        carried: Carried,
        *,
        address: str,
        started: float,
        sight: str,
        protocols: tuple[str, ...] | None = None,
    ) -> None:
        wanted = carried.wanted
        self.destination: Destination | None = wanted.destination
        self._core = core
        self._client = client
        self._server = server
        self._wanted = wanted
        self._carried = carried
        self._protocols = protocols
        self._address = address
        self._sight = sight
        self._started = started
        self._first = wanted.rest
        self._moved = -1
        self._up: Pump | None = None
        engine = core.engine
        self._down = Pump(
            server.fileno(),
            client.fileno(),
            pipes=engine.pipes,
            ended=self._down_ended,
            again=self._down_again,
            first=wanted.opened,
            last=client,
        )
        core.open.add(self)
        engine.handle(client, self._client_ready)
        engine.handle(server, self._server_ready)
        try:
            self._begin(carried.client_events, carried.server_events)
        except (OSError, HeadInvalid) as error:
            self._fail(error)

    def close(self, error: str) -> None:
        """End it; both sides see that it did not end by itself."""
        self._finish(error, reset=True)

    def _meter(self) -> Meter | None:
        """What counts the bytes that go up; None where nobody counts them."""
        inspection, to = self._core.inspection, self._wanted.destination
        budget = None if inspection is None else inspection.budget
        if budget is None or not budget.counts(to):
            return None

        def count(size: int) -> None:
            decision = budget.spend(to, size)
            if decision is not None:
                raise OverBudget(decision)

        count(self._carried.sent)
        return count

    def _begin(self, client_events: int, server_events: int) -> None:
        self._down.start()
        if self._wanted.head is not None:
            self._forward(self._wanted.head)
        elif self._carried.known or (self._wanted.origin.startswith("host_port:") and not self._carried.bars_ssh):
            # A service that the person put at the sandbox's own loopback: the client calls it `localhost`.
            self._connect_up(self._first, client_events)
        elif self._first or client_events & READABLE:
            self._listen(client_events, read=bool(client_events & READABLE))
        if server_events & READABLE and self in self._core.open:
            self._down.run(server_events & HANGUP)

    def _forward(self, head: RequestHead) -> None:
        body = Body(head)
        first = server_head(head, self._wanted.destination) + body.take(self._wanted.rest)
        self._up = RequestPump(
            self._client.fileno(),
            self._server.fileno(),
            pipes=self._core.engine.pipes,
            ended=self._up_ended,
            again=self._up_again,
            first=first,
            body=body,
            meter=self._meter(),
        )
        self._up.run()

    def _connect_up(self, first: bytes, events: int, *, checked: bool = False) -> None:
        """Let the client's bytes go up; `events` are those of the client that have not been acted upon. `checked`: they
        are HTTP requests, and each has to name the host that was authorised."""
        inspection = self._core.inspection
        if checked:
            self._up = self._requests_pump(first)
        else:
            self._up = Pump(
                self._client.fileno(),
                self._server.fileno(),
                pipes=self._core.engine.pipes,
                ended=self._up_ended,
                again=self._up_again,
                first=first,
                meter=None if inspection is None or inspection.budget is None else self._meter(),
            )
        self._first = b""
        if events & READABLE:
            self._up.run(events & HANGUP)
        else:
            self._up.start()
        if checked:
            # Where the handshake ended with these bytes, the kernel would go on to hold back what it got of an answer,
            # and a server that writes one in two pieces waits for that before the second.
            with contextlib.suppress(OSError):
                self._server.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _requests_pump(self, first: bytes) -> RequestsPump:
        destination = self._wanted.destination
        return RequestsPump(
            self._client.fileno(),
            self._server.fileno(),
            pipes=self._core.engine.pipes,
            ended=self._up_ended,
            again=self._up_again,
            first=first,
            meter=self._meter(),
            requests=Requests(lambda spoken: foreign(spoken, destination, needs_request=False), self._core.limits.head),
        )

    def _listen(self, events: int, *, read: bool) -> None:
        """Hold back the client's first bytes until they have been understood."""
        while True:
            ended, unread = False, events
            if read:
                try:
                    data = self._client.recv(CHUNK)
                except BlockingIOError:
                    return None
                ended = not data
                # A short read has emptied the socket, unless its end was reported as well.
                unread = READABLE if len(data) == CHUNK else events & HANGUP
                self._first += data
            decision: Decision | None = None
            try:
                spoken = look(self._first, ended=ended)
            except (HeadInvalid, HelloInvalid) as invalid:
                return self._refuse(refusal.built_in(self._action(), "protocol.malformed", str(invalid)))
            may = self._protocols
            speaks = spoken and (may is None or may_be_spoken(spoken, self._first, may, ended=ended))
            if spoken is not None and speaks is not None:
                decision = foreign(spoken, self._wanted.destination, needs_request=False)
                if self._carried.bars_ssh and self._first.startswith(b"SSH-"):
                    decision = unread_key(self._action())
                elif not speaks:
                    decision = unspeakable(self._action(), self._protocols or (), spoken)
                if decision is not None:
                    return self._refuse(decision)
                edges = unread | (HANGUP if ended else 0)
                return self._connect_up(self._first, edges, checked=isinstance(spoken, Http))
            if len(self._first) > self._core.limits.head:
                text = f"the first bytes cannot be understood within {self._core.limits.head} bytes"
                return self._refuse(refusal.built_in(self._action(), "protocol.malformed", text))
            read = True

    def _refuse(self, decision: Decision) -> None:
        """The client says something else inside than what was authorised. Nothing of it has reached the server."""
        words = self._core.refuse(decision).in_answer_to(self._first)
        told = self._down.moved == self._told and not self._carried.received and not self._down.blocked
        self._core.leave(self)
        self._report(f"denied: {decision.reasons[0].text}")
        self._down.stop()
        self._core.engine.discard(self._server)
        if words and told:
            Farewell(self._core, self._client, words)
        else:
            self._core.engine.discard(self._client, reset=True)

    def _client_ready(self, events: int) -> None:
        up, down = self._up, self._down
        try:
            if events & READABLE:
                if up is None:
                    self._listen(events, read=True)
                else:
                    up.run(events & HANGUP)
            if events & select.EPOLLOUT and (down.pending or down.piped):
                down.run()
        except (OSError, HeadInvalid) as error:
            self._fail(error)

    def _server_ready(self, events: int) -> None:
        up = self._up
        try:
            if events & READABLE:
                self._down.run(events & HANGUP)
            if events & select.EPOLLOUT and up is not None and (up.pending or up.piped):
                up.run()
        except (OSError, HeadInvalid) as error:
            self._fail(error)

    def _fail(self, error: OSError | HeadInvalid) -> None:
        if isinstance(error, (ForeignRequest, OverBudget)):
            self._core.refuse(error.decision)
        self._finish(_words(error), reset=True)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (OSError, HeadInvalid) as error:
            self._fail(error)

    def _up_again(self) -> None:
        self._core.engine.again(self._run_up)

    def _down_again(self) -> None:
        self._core.engine.again(self._run_down)

    def _run_up(self) -> None:
        if self._up is not None:
            self._guarded(self._up.run)

    def _run_down(self) -> None:
        self._guarded(self._down.run)

    def _up_ended(self) -> None:
        if self._down.finished:
            return self._finish("", reset=False)
        return self._half_closed(self._server)

    def _down_ended(self) -> None:
        up = self._up
        # A forwarded request is over with its answer; whatever else the client says is not forwarded anyway.
        if self._wanted.head is not None or (up is not None and up.finished):
            return self._finish("", reset=False)
        return self._half_closed(self._client)

    def _half_closed(self, sink: socket.socket) -> None:
        try:  # noqa: SIM105  a context manager costs more than all else here
            sink.shutdown(socket.SHUT_WR)
        except OSError:  # where it is closed already, its own event says so
            pass
        self._core.expect(self, self._core.limits.half_closed_seconds, self._stale)
        return

    def _stale(self) -> None:
        moved = self._down.moved + (self._up.moved if self._up is not None else 0)
        if moved == self._moved:
            return self._finish("one side had finished, and nothing moved any more", reset=True)
        self._moved = moved
        self._core.expect(self, self._core.limits.half_closed_seconds, self._stale)
        return None

    def _finish(self, error: str, *, reset: bool) -> None:
        if self not in self._core.open:
            return
        self._core.leave(self)
        self._down.stop()
        if self._up is not None:
            self._up.stop()
        self._core.engine.discard(self._client, reset=reset)
        self._core.engine.discard(self._server, reset=reset)
        self._report(error)

    def _report(self, error: str) -> None:
        destination, told = self._wanted.destination, self._carried.told
        received = self._down.moved - (len(self._wanted.opened) if told is None else told)
        self._core.closed(
            ConnectionClosed(
                host=destination.host.name,
                port=destination.port,
                address=self._address,
                sent_bytes=self._carried.sent + (self._up.moved if self._up is not None else 0),
                received_bytes=self._carried.received + max(0, received),
                duration_ms=int((self._core.clock.monotonic() - self._started) * 1000),
                error=error,
                inspection=self._sight,
            )
        )

    @property
    def _told(self) -> int:
        """How much the client was told that the server did not say."""
        told = self._carried.told
        return len(self._wanted.opened) if told is None else told

    def _action(self) -> ConnectAction:
        destination = self._wanted.destination
        return ConnectAction(host=destination.host.name, port=destination.port)


def _words(error: OSError | HeadInvalid) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
