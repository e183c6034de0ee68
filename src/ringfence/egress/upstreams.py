"""Connections to servers for requests that are re-issued: dialled, verified, used by one request at a time, kept.

A kept connection that says or does anything by itself is closed: whatever came would be taken for the answer to a
request that was never sent.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Protocol, TypeAlias

from ringfence.egress.authorization import Authorization
from ringfence.egress.core import Core, Stage
from ringfence.egress.dialling import Dialling
from ringfence.egress.engine import HANGUP, READABLE
from ringfence.egress.leg import Leg, TlsLeg
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision
from ringfence.model.host import Destination

Key: TypeAlias = tuple[str, int, bool, bool]
"""Host, port, whether it is TLS, and whether an address that is not public may be dialled for the request.

SECURITY: the last depends on the method and the path that a rule is about, so what was dialled for one request is not
for every other one of that host. What else is asked of an address goes by host and port alone."""

_NO_PROTOCOL = "TLSV1_ALERT_NO_APPLICATION_PROTOCOL"
_KEPT = 64
_KEPT_PER_HOST = 8
_KEPT_SECONDS = 20.0


class Upstream:
    """One connection to a server."""

    __slots__ = ("address", "key", "leg", "then", "used", "waits")

    def __init__(self, leg: Leg, key: Key, address: str, waits: Callable[[Upstream], None]) -> None:
        """`waits` is called with what happens while it waits for its next request."""
        self.leg = leg
        self.key = key
        self.address = address
        self.used = 0
        """How many requests it has carried."""
        self.waits = waits
        self.then: Callable[[], None] | None = None
        """Who uses it, and hears of what happens."""

    def stirred(self, events: int) -> None:
        """An edge of its socket was reported."""
        leg = self.leg
        if events & READABLE:
            leg.drained, leg.ready = False, True
            if events & HANGUP:
                leg.ending = True
        if self.then is not None:
            self.then()
        else:
            self.waits(self)


class Waiter(Protocol):
    """Who needs a connection to a server. One of the three is called, once, unless it is stopped."""

    def upstream_ready(self, upstream: Upstream) -> None:
        """Here it is."""
        ...

    def upstream_unreachable(self, reason: str, status: int) -> None:
        """There is none, and no rule is the reason."""
        ...

    def upstream_forbidden(self, decision: Decision) -> None:
        """None of its addresses may be dialled."""
        ...


class Upstreams:
    """The connections of one session that wait for their next request."""

    def __init__(self, core: Core, trust: Callable[[], ssl.SSLContext]) -> None:
        self._core = core
        self._now = core.clock.monotonic
        self._make_context = trust
        self._contexts: dict[bool, ssl.SSLContext] = {}
        self._idle: dict[Key, list[tuple[float, Upstream]]] = {}
        self._count = 0
        self._sweeping = False

    def take(self, key: Key) -> Upstream | None:
        """One that waits."""
        waiting = self._idle.get(key)
        while waiting:
            _, upstream = waiting.pop()
            self._count -= 1
            if upstream.leg.idle():
                return upstream
            self._core.engine.discard(upstream.leg.sock)
        return None

    def give(self, upstream: Upstream) -> None:
        """Keep it for the next request."""
        upstream.then, key = None, upstream.key
        waiting = self._idle.get(key)
        if waiting is None:
            waiting = self._idle[key] = []
        if self._count >= _KEPT or len(waiting) >= _KEPT_PER_HOST:
            self.dismiss(upstream)
            return
        waiting.append((self._now() + _KEPT_SECONDS, upstream))
        self._count += 1
        if not self._sweeping:
            self._sweeping = True
            self._core.engine.loop.call_later(_KEPT_SECONDS / 4, self._sweep)

    def dismiss(self, upstream: Upstream) -> None:
        """Close one that is not needed, so that the server still reads what it was sent."""
        sock = upstream.leg.finish()
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        self._core.engine.discard(sock)

    def connect(
        self,
        stage: Stage,
        waiter: Waiter,
        *,
        action: ConnectAction,
        destination: Destination,
        authorization: Authorization,
        secure: bool,
        http2: bool = False,
    ) -> Connecting:
        """Make a new one. `stage` is the one whose time it takes. `http2`: the server may choose that."""
        context = self._trusting(http2=http2) if secure else None
        return Connecting(
            self._core,
            stage,
            waiter,
            context,
            self._stirred,
            action=action,
            destination=destination,
            authorization=authorization,
        )

    def close(self) -> None:
        """Close what waits."""
        for waiting in self._idle.values():
            for _, upstream in waiting:
                self._core.engine.discard(upstream.leg.sock)
        self._idle.clear()
        self._count = 0

    def _trusting(self, *, http2: bool) -> ssl.SSLContext:
        if http2 not in self._contexts:
            self._contexts[http2] = self._make_context()
            if http2:
                self._contexts[http2].set_alpn_protocols(["h2", "http/1.1"])
        return self._contexts[http2]

    def _stirred(self, upstream: Upstream) -> None:
        # Session tickets come when the server likes; they are no word of its.
        if not upstream.leg.idle():
            self._forget(upstream)

    def _forget(self, upstream: Upstream) -> None:
        waiting = self._idle.get(upstream.key, [])
        for entry in waiting:
            if entry[1] is upstream:
                waiting.remove(entry)
                self._count -= 1
                self._core.engine.discard(upstream.leg.sock)
                return

    def _sweep(self) -> None:
        now = self._core.clock.monotonic()
        for key, waiting in tuple(self._idle.items()):
            for entry in [one for one in waiting if one[0] <= now]:
                self._forget(entry[1])
            if not waiting:
                del self._idle[key]
        self._sweeping = bool(self._idle) and not self._core.is_closed
        if self._sweeping:
            self._core.engine.loop.call_later(_KEPT_SECONDS / 4, self._sweep)


class Connecting:
    """A connection to a server that is being made: dialled, then, where it is secure, verified."""

    __slots__ = (
        *("_context", "_core", "_destination", "_dialling", "_leg", "_over", "_private", "_stage", "_waiter", "_waits"),
        "address",
    )

    def __init__(
        self,
        core: Core,
        stage: Stage,
        waiter: Waiter,
        context: ssl.SSLContext | None,
        waits: Callable[[Upstream], None],
        *,
        action: ConnectAction,
        destination: Destination,
        authorization: Authorization,
    ) -> None:
        self._core = core
        self._stage = stage
        self._waiter = waiter
        self._context = context
        self._waits = waits
        self._destination = destination
        self._private = authorization.private
        self._leg: TlsLeg | None = None
        self._over = False
        self.address = ""
        """The address that was dialled last."""
        self._dialling: Dialling | None = Dialling(
            core,
            stage,
            self,
            action=action,
            destination=destination,
            authorization=authorization,
            # Not in the clear: a server that writes head and body apart would wait 0.04 s for the first one's delayed
            # acknowledgement. Tunnels end the delay by a call of their own.
            client_first=context is not None,
        )

    def start(self) -> None:
        """Begin."""
        if self._dialling is not None:
            self._dialling.start()

    def stop(self) -> None:
        """Nobody wants it any more."""
        self._over = True
        dialling = self._dialled()
        if dialling is not None:
            dialling.stop()
        leg, self._leg = self._leg, None
        if leg is not None:
            self._core.engine.discard(leg.sock)

    def close(self, error: str) -> None:
        """A fault of ours: the stage that wanted the connection ends."""
        self._stage.close(error)

    def connected(self, server: socket.socket, events: int) -> None:
        """The TCP connection stands."""
        self._dialled()
        if self._context is None:
            return self._ready(Leg(server))
        leg = self._leg = TlsLeg(server, self._context, server_name=self._destination.host.name)
        self._core.expect(self._stage, self._core.limits.dial_seconds, self._too_late)
        self._core.engine.handle(leg.sock, self._shake)
        return self._shake(events)

    def unreachable(self, reason: str, status: int) -> None:
        """The TCP connection cannot be had."""
        self._over = True
        self._dialled()
        self._waiter.upstream_unreachable(reason, status)

    def forbidden(self, decision: Decision) -> None:
        """None of its addresses may be dialled."""
        self._over = True
        self._dialled()
        self._waiter.upstream_forbidden(decision)

    def _dialled(self) -> Dialling | None:
        """Let go of the dialling: each holds the other, and both the request."""
        dialling, self._dialling = self._dialling, None
        if dialling is not None:
            self.address = dialling.address
        return dialling

    def _shake(self, events: int) -> None:
        leg = self._leg
        if leg is None or self._over:
            return None
        try:
            if not leg.handshake():
                return None
        except ssl.SSLCertVerificationError as error:
            return self._fail(leg, f"its certificate cannot be verified: {error.verify_message.lower()}")
        except OSError as error:
            if isinstance(error, ssl.SSLError) and error.reason == _NO_PROTOCOL:
                return self._fail(leg, "it does not speak HTTP/1.1, which is what it was offered")
            return self._fail(leg, f"the TLS handshake with it failed ({error.strerror or error})")
        self._leg = None
        self._core.relax(self._stage)
        return self._ready(leg)

    def _ready(self, leg: Leg) -> None:
        self._over = True
        destination = self._destination
        key = (destination.host.name, destination.port, self._context is not None, self._private)
        upstream = Upstream(leg, key, self.address, self._waits)
        self._core.engine.handle(leg.sock, upstream.stirred)
        self._waiter.upstream_ready(upstream)

    def _too_late(self) -> None:
        if self._leg is not None:
            self._fail(self._leg, "the TLS handshake with it takes too long", status=504)

    def _fail(self, leg: TlsLeg, reason: str, *, status: int = 502) -> None:
        self._leg, self._over = None, True
        self._core.relax(self._stage)
        self._core.engine.discard(leg.sock)
        self._waiter.upstream_unreachable(reason, status)


def machine_trust() -> ssl.SSLContext:
    """Verifies servers by what the machine trusts, and speaks HTTP/1.1 only."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # What the machine's owner put into its trust store is taken as other programs take it.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    # SECURITY: an answer that ends with its connection must not be cut short by whoever can break connections.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    context.set_alpn_protocols(["http/1.1"])
    return context
