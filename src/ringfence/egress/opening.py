"""The stage between a client's wish and a connection: authorised, resolved once, every address checked, dialled.

It decides nothing. Refusals come from the authorisation and from the table of addresses; whatever goes wrong is a
refusal too.
"""

from __future__ import annotations

import errno
import logging
import os
import socket

from ringfence.egress import refusal, socks
from ringfence.egress.authorization import Authorization, Cancel
from ringfence.egress.core import Core
from ringfence.egress.engine import BROKEN, HANGUP, WRITABLE
from ringfence.egress.farewell import Farewell, Unspoken
from ringfence.egress.front import Wanted
from ringfence.egress.reading import Reading
from ringfence.egress.refusal import Refusal
from ringfence.egress.resolver import Resolution
from ringfence.egress.tunnel import Tunnel
from ringfence.model.action import ConnectAction
from ringfence.model.addresses import OWN_NETWORK, AddressKind, Row, canonical, classify, within
from ringfence.model.decision import Verdict
from ringfence.model.event import ConnectionClosed
from ringfence.model.host import HOST_LOOPBACK, Destination

logger = logging.getLogger(__name__)

_DIAL = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_LOOPBACK = ("127.0.0.1", "::1")
_RESOLVE_SECONDS = 20.0


class Opening:
    """A client that waits for its connection."""

    __slots__ = (
        "_action",
        "_address",
        "_addresses",
        "_answered",
        "_authorization",
        "_cancel",
        "_client",
        "_core",
        "_edges",
        "_problem",
        "_resolution_used",
        "_server",
        "_started",
        "_wanted",
        "destination",
    )

    def __init__(self, core: Core, client: socket.socket, wanted: Wanted, *, edges: int = 0) -> None:
        self.destination: Destination | None = wanted.destination
        self._core = core
        self._client = client
        self._wanted = wanted
        self._edges = edges
        self._action = _action(wanted)
        self._answered = False
        self._resolution_used = False
        self._authorization: Authorization | None = None
        self._cancel: Cancel | None = None
        self._addresses: list[str] = []
        self._address = ""
        self._problem = "it has no address"
        self._server: socket.socket | None = None
        self._started = core.clock.monotonic()
        core.enter(self)
        core.engine.handle(client, self._client_ready)
        self._ask()

    def close(self, error: str) -> None:
        """End it: whoever is being asked is told that nobody waits any more."""
        if self._leave():
            if self._authorization is not None:
                self._report(error)
            self._core.engine.discard(self._client, reset=True)

    def _leave(self) -> bool:
        """Whether this stage was still running; afterwards it is not, and only the client's socket is left."""
        if self not in self._core.open:
            return False
        self._core.leave(self)
        self._drop_server()
        cancel, self._cancel = self._cancel, None
        if cancel is not None and not self._answered:
            cancel()
        return True

    def _ask(self) -> None:
        try:
            cancel = self._core.authorize(self._action, self._wanted.origin, self._authorized)
        except Exception:
            logger.exception("the authorisation of %s failed", self.destination)
            text = "the connection could not be judged, because of an internal error"
            return self._refuse(self._core.refuse(refusal.built_in(self._action, "gateway.error", text)))
        if not self._answered:
            self._cancel = cancel
        return None

    def _authorized(self, authorization: Authorization) -> None:
        """The answer came, from code that is not ours: nothing that goes wrong here may go back there."""
        if not self._answered and self in self._core.open:
            self._answered = True
            self._core.guarded(self, lambda: self._go_on(authorization))

    def _go_on(self, authorization: Authorization) -> None:
        if authorization.needs_request and self._wanted.head is None:
            self._leave()
            Reading(self._core, self._client, self._wanted, authorization.decision, Opening)
        elif authorization.decision.verdict is not Verdict.ALLOW:
            self._refuse(refusal.denied(authorization.decision))
        else:
            self._authorization = authorization
            self._resolve()

    def _resolve(self) -> None:
        host = self._wanted.destination.host
        if host.name == HOST_LOOPBACK:
            return self._dial(list(_LOOPBACK))
        if host.address is not None:
            return self._resolved(Resolution(addresses=(host.address,)))
        self._core.expect(self, _RESOLVE_SECONDS, lambda: self._resolved(Resolution(error="its name takes too long")))
        return self._core.resolver(host.name, self._resolved)

    def _resolved(self, resolution: Resolution) -> None:
        if not self._resolution_used and self in self._core.open:
            self._resolution_used = True
            self._core.relax(self)
            self._core.guarded(self, lambda: self._check(resolution))

    def _check(self, resolution: Resolution) -> None:
        """Look at every address, and dial those that may be dialled."""
        if not resolution.addresses:
            return self._unreachable(resolution.error or self._problem)
        good = []
        reasons: list[str] = []
        for text in resolution.addresses:
            address = canonical(text)
            # INVARIANT: only an address that passed here is dialled, and it is dialled as it is: no name is resolved
            # a second time between the check and the connection.
            problem = "what it resolved to is not an address" if address is None else self._forbidden(address)
            if address is not None and not problem:
                good.append(address)
            else:
                reasons.append(problem)
        if good:
            return self._dial(good)
        return self._refuse_address(reasons[0], classify_or_none(resolution.addresses[0]))

    def _forbidden(self, address: str) -> str:
        """Why this address must not be dialled; empty where it may."""
        authorization = self._authorization
        assert authorization is not None
        if within(address, authorization.refused):
            return f"`{address}` is in a range that a rule denies"
        row = classify(address)
        if row.kind is AddressKind.GLOBAL or within(address, authorization.declared):
            return ""
        if authorization.private and row.kind in OWN_NETWORK and self._wanted.destination.host.address is None:
            return ""
        return f"`{address}` is {row.why}, and no rule declares it"

    def _refuse_address(self, reason: str, row: Row | None) -> None:
        self._authorization = None
        rule = f"address.{row.kind.value}" if row else "address.unknown"
        step = "name the address or its range in a rule of `[[network.rule]]` if it is meant"
        if row is not None and row.kind in OWN_NETWORK and self._wanted.destination.host.address is None:
            step = "if it is meant, write `private = true` in the `[[network.rule]]` that allows this host"
        if row is not None and row.kind is AddressKind.LOOPBACK:
            step = f"the host's own loopback is `{HOST_LOOPBACK}`; the sandbox's own is reached without the proxy"
        self._refuse(self._core.refuse(refusal.built_in(self._action, rule, reason, step)))

    def _dial(self, addresses: list[str]) -> None:
        self._addresses = addresses
        self._dial_next()

    def _dial_next(self) -> None:
        self._drop_server()
        while self._addresses:
            address = self._address = self._addresses.pop(0)
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                server = self._server = socket.socket(family, _DIAL, socket.IPPROTO_TCP)
            except OSError as error:
                return self._unreachable(f"no socket can be opened ({error.strerror})", status=503)
            code = server.connect_ex((address, self._wanted.destination.port))
            if code in (0, errno.EINPROGRESS):
                limits = self._core.limits
                seconds = limits.next_address_seconds if self._addresses else limits.dial_seconds
                self._core.expect(self, seconds, self._timed_out)
                return self._core.engine.watch(server, self._server_ready)
            self._problem = f"`{address}`: {os.strerror(code).lower()}"
            server.close()
            self._server = None
        return self._unreachable(self._problem, status=504 if self._problem.endswith("answer") else 502)

    def _timed_out(self) -> None:
        self._problem = f"`{self._address}` does not answer"
        self._dial_next()

    def _server_ready(self, events: int) -> None:
        server = self._server
        if server is None or self not in self._core.open:
            return None
        if events & BROKEN:
            code = server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._problem = f"`{self._address}`: {os.strerror(code).lower()}"
                return self._dial_next()
        if events & WRITABLE:
            self._connected(server, events)
        return None

    def _connected(self, server: socket.socket, events: int) -> None:
        assert self._authorization is not None
        self._server = None
        self._leave()
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Tunnel(
            self._core,
            self._client,
            server,
            self._wanted,
            address=self._address,
            started=self._started,
            client_events=self._edges,
            server_events=events,
        )

    def _drop_server(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            self._core.engine.discard(server)

    def _client_ready(self, events: int) -> None:
        """The client does something while it waits: what it sends stays in its socket; when it goes, so do we."""
        self._edges |= events
        if events & BROKEN or (events & HANGUP and self._gone()):
            self.close("the client went away")

    def _gone(self) -> bool:
        """Whether a client that has finished sending has gone. It may also just have nothing more to say, which only
        makes sense for one that speaks to its server directly and has said something other than a TLS hello."""
        if not self._wanted.direct:
            return True
        try:
            return self._client.recv(1, socket.MSG_PEEK) in (b"", b"\x16")
        except OSError:
            return True

    def _unreachable(self, reason: str, *, status: int = 502) -> None:
        self._problem = reason
        code = socks.REFUSED if "refused" in reason else socks.UNREACHABLE
        self._report(reason)
        self._refuse(refusal.unreachable(self._wanted.destination, reason, status=status, code=code))

    def _report(self, error: str) -> None:
        destination = self._wanted.destination
        self._core.closed(
            ConnectionClosed(
                host=destination.host.name,
                port=destination.port,
                address=self._address,
                sent_bytes=0,
                received_bytes=0,
                duration_ms=int((self._core.clock.monotonic() - self._started) * 1000),
                error=error,
            )
        )

    def _refuse(self, reason: Refusal) -> None:
        if not self._leave():
            return
        if self._wanted.direct:
            Unspoken(self._core, self._client, reason, request_line(self._wanted))
        else:
            words = reason.as_socks() if self._wanted.origin == "socks5" else reason.as_http()
            Farewell(self._core, self._client, words)


def request_line(wanted: Wanted) -> bytes:
    """The first bytes of a client that were read already, as far as its language shows in them."""
    return b"GET / HTTP/1.1\n" if wanted.head is not None else wanted.rest


def classify_or_none(text: str) -> Row | None:
    """The row of what may be no address at all."""
    address = canonical(text)
    return None if address is None else classify(address)


def _action(wanted: Wanted) -> ConnectAction:
    destination, head = wanted.destination, wanted.head
    if head is None:
        return ConnectAction(host=destination.host.name, port=destination.port)
    return ConnectAction(host=destination.host.name, port=destination.port, method=head.method, path=head.path)
