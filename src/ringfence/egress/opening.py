"""The stage between a client's wish and a connection: authorised, then dialled.

It decides nothing. Refusals come from the authorisation and from the dialling; whatever goes wrong is a refusal too.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence

from ringfence.egress import refusal, socks
from ringfence.egress.authorization import Authorization, Cancel
from ringfence.egress.carried import Carried
from ringfence.egress.core import Core
from ringfence.egress.credentials.secret import Credential
from ringfence.egress.databases.bound import Databases
from ringfence.egress.databases.stage import DatabaseSession
from ringfence.egress.dialling import Dialling
from ringfence.egress.engine import BROKEN, HANGUP
from ringfence.egress.farewell import Farewell, Unspoken
from ringfence.egress.front import Wanted
from ringfence.egress.reading import Reading
from ringfence.egress.refusal import Refusal
from ringfence.egress.speech import unspeakable
from ringfence.egress.ssh.handshake import Handshake
from ringfence.egress.tunnel import Tunnel
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Verdict
from ringfence.model.event import ConnectionClosed
from ringfence.model.host import Destination

logger = logging.getLogger(__name__)


_ASKED = frozenset(("http", "tls"))
"""The protocols whose servers say nothing before they are asked."""
_DATABASE = frozenset(("postgresql", "tcp"))
"""The protocols that rules name for what logs in to a database."""


class Opening:
    """A client that waits for its connection."""

    __slots__ = (
        "_action",
        "_address",
        "_answered",
        "_authorization",
        "_bound",
        "_cancel",
        "_client",
        "_core",
        "_dialling",
        "_edges",
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
        destination, head = wanted.destination, wanted.head
        self._action = ConnectAction(
            host=destination.host.name,
            port=destination.port,
            method=None if head is None else head.method,
            path=None if head is None else head.path,
        )
        self._address = ""
        self._answered = False
        self._cancel: Cancel | None = None
        self._dialling: Dialling | None = None
        self._authorization: Authorization | None = None
        self._bound: Sequence[Credential] | None = None
        self._started = core.clock.monotonic()
        core.open.add(self)
        core.engine.handle(client, self._client_ready)
        self._ask()

    def close(self, error: str) -> None:
        """End it: whoever is being asked is told that nobody waits any more."""
        dialled = self._dialling is not None
        if self._leave():
            if dialled:
                self._report(error)
            self._core.engine.discard(self._client, reset=True)

    def _leave(self) -> bool:
        """Whether this stage was still running; afterwards it is not, and only the client's socket is left."""
        if self not in self._core.open:
            return False
        self._core.leave(self)
        # Each knows the other: left so, every connection would wait for the garbage collector.
        dialling, self._dialling = self._dialling, None
        if dialling is not None:
            self._address = dialling.address
            dialling.stop()
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
            try:
                self._go_on(authorization)
            except Exception:  # noqa: BLE001  as `guarded` does, and without a function for each connection
                self._core.broke(self)

    def _go_on(self, authorization: Authorization) -> None:
        if authorization.needs_request and self._wanted.head is None:
            self._leave()
            Reading(self._core, self._client, self._wanted, authorization.decision, Opening)
        elif authorization.decision.verdict is not Verdict.ALLOW:
            self._refuse(refusal.denied(authorization.decision))
        else:
            inspection = self._core.inspection
            if inspection is not None and inspection.databases is not None:
                self._bound = self._databases(inspection.databases)
            spoken = authorization.protocols
            if self._bound is not None and spoken is not None and not _DATABASE & set(spoken):
                return self._refuse(self._core.refuse(unspeakable(self._action, spoken)))
            if self._bound == ():
                text = "a credential is bound to this database, and it is not available"
                step = "`ringfence credentials test` says why"
                decision = refusal.built_in(self._action, "credentials.unavailable", text, step)
                return self._refuse(self._core.refuse(decision))
            self._authorization = authorization
            # At the sandbox's own loopback nobody looks at what is spoken first.
            seen = spoken is not None and not self._wanted.origin.startswith("host_port:")
            dialling = self._dialling = Dialling(
                self._core,
                self,
                self,
                action=self._action,
                destination=self._wanted.destination,
                authorization=authorization,
                client_first=seen and _ASKED.issuperset(spoken or ()),
            )
            dialling.start()
        return None

    def _databases(self, databases: Databases) -> Sequence[Credential] | None:
        """The credentials with which the gateway logs in by itself; None where it does not."""
        bound = databases.bound(self._wanted.destination)
        return None if bound is None else tuple(bound)

    def connected(self, server: socket.socket, events: int) -> None:
        """The connection stands."""
        authorization = self._authorization
        assert authorization is not None
        self._leave()
        inspection = self._core.inspection
        if self._bound and inspection is not None and inspection.databases is not None:
            DatabaseSession(
                self._core,
                inspection.databases,
                inspection.authority,
                self._client,
                server,
                self._wanted,
                self._bound,
                address=self._address,
                started=self._started,
                sight=authorization.sight,
            )
            return None

        keys = authorization.host_keys
        if not keys or not _may_be_ssh(authorization) or self._wanted.head is not None:
            carried = Carried(wanted=self._wanted, client_events=self._edges, server_events=events)
            return self._carry(server, authorization, carried)
        Handshake(
            self._core,
            self._client,
            server,
            self._wanted,
            keys=keys,
            only=authorization.protocols == ("ssh",),
            address=self._address,
            started=self._started,
            go_on=lambda carried: self._carry(server, authorization, carried),
            client_events=self._edges,
            server_events=events,
        )
        return None

    def _carry(self, server: socket.socket, authorization: Authorization, carried: Carried) -> None:
        Tunnel(
            self._core,
            self._client,
            server,
            carried,
            address=self._address,
            started=self._started,
            sight=authorization.sight,
            protocols=authorization.protocols,
        )

    def unreachable(self, reason: str, status: int) -> None:
        """It is allowed, and not there."""
        code = socks.REFUSED if "refused" in reason else socks.UNREACHABLE
        if self._dialling is not None:
            self._address = self._dialling.address
        self._report(reason)
        self._refuse(refusal.unreachable(self._wanted.destination, reason, status=status, code=code))

    def forbidden(self, decision: Decision) -> None:
        """None of its addresses may be dialled."""
        self._refuse(self._core.refuse(decision))

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


def _may_be_ssh(authorization: Authorization) -> bool:
    """Whether SSH may be spoken and the server's key has to be a certain one."""
    protocols = authorization.protocols
    return bool(authorization.host_keys) and (protocols is None or "ssh" in protocols or "tcp" in protocols)


def request_line(wanted: Wanted) -> bytes:
    """The first bytes of a client that were read already, as far as its language shows in them."""
    return b"GET / HTTP/1.1\n" if wanted.head is not None else wanted.rest
