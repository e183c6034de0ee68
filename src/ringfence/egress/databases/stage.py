"""The stage of a connection to a database that a credential is bound to: logs in, then passes bytes both ways."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from ringfence.egress import refusal
from ringfence.egress.core import Core
from ringfence.egress.credentials.secret import Credential
from ringfence.egress.databases.bound import Databases
from ringfence.egress.databases.postgres import Login, State
from ringfence.egress.engine import BROKEN
from ringfence.egress.front import Wanted
from ringfence.egress.inspection import Certifies
from ringfence.egress.leg import Leg, TlsLeg
from ringfence.model.action import ConnectAction
from ringfence.model.event import ConnectionClosed, CredentialUsed
from ringfence.model.host import Destination

LOGIN_SECONDS = 60.0
_MOST_WAITING = 1 << 18
_MOST_STEPS = 16
"""Then others have their turn."""


class DatabaseSession:
    """A client, its database, and the login between them."""

    def __init__(
        self,
        core: Core,
        databases: Databases,
        authority: Certifies | None,
        client: socket.socket,
        server: socket.socket,
        wanted: Wanted,
        credentials: Sequence[Credential],
        *,
        address: str,
        started: float,
        sight: str,
    ) -> None:
        self.destination: Destination | None = wanted.destination
        self._to = wanted.destination
        self._core = core
        self._databases = databases
        self._authority = authority
        self._client: Leg = Leg(client)
        self._server: Leg = Leg(server)
        self._address = address
        self._started = started
        self._sight = sight
        self._login = Login(credentials, os.urandom, can_tls=authority is not None, used=self._uses)
        core.enter(self)
        core.expect(self, LOGIN_SECONDS, lambda: self.close("the login takes too long"))
        core.engine.handle(client, self._client_ready)
        core.engine.handle(server, self._server_ready)
        self._client.write(wanted.opened)
        core.guarded(self, lambda: self._begin(wanted.rest))

    def close(self, error: str) -> None:
        """End it; both sides see that it did not end by itself."""
        self._end(error, reset=True)

    def _begin(self, first: bytes) -> None:
        if first:
            self._login.client_said(first)
        self._move()

    def _client_ready(self, events: int) -> None:
        self._ready(self._client, events)

    def _server_ready(self, events: int) -> None:
        self._ready(self._server, events)

    def _ready(self, leg: Leg, events: int) -> None:
        leg.stirred(events)
        if events & BROKEN and not leg.ready:
            return self.close("one side went away")
        self._core.guarded(self, self._move)
        return None

    def _move(self) -> None:
        try:
            for _ in range(_MOST_STEPS):
                if self not in self._core.open or not self._step():
                    return
            self._core.engine.again(self._again)
        except (OSError, ValueError) as error:
            self.close((getattr(error, "strerror", None) or str(error)).lower())

    def _again(self) -> None:
        if self in self._core.open:
            self._core.guarded(self, self._move)

    def _step(self) -> bool:
        """Whether something moved, so that there may be more to do."""
        login = self._login
        self._flush()
        if login.state is State.CLIENT_TLS:
            return self._secure_client()
        if login.state is State.SERVER_TLS:
            return self._secure_server()
        if login.state is State.OVER:
            return self._finish()
        if login.state is State.OPEN:
            self._core.relax(self)
        moved = False
        if self._server.waiting < _MOST_WAITING and (data := self._read(self._client)):
            if not self._may_send(len(data)):
                return False
            login.client_said(data)
            moved = True
        if self._client.waiting < _MOST_WAITING and (data := self._read(self._server)):
            login.server_said(data)
            moved = True
        if not moved and (self._client.ended or self._server.ended):
            self._flush()
            if not (self._client.waiting or self._server.waiting):
                self._end("", reset=False)
        return moved

    def _may_send(self, size: int) -> bool:
        """Whether a budget of the policy has room for what is about to be sent; else this ends here."""
        budget = None if self._core.inspection is None else self._core.inspection.budget
        decision = budget.spend(self._to, size) if budget is not None else None
        if decision is not None:
            self._core.refuse(decision)
            self._end(f"denied: {decision.reasons[0].rule}", reset=True)
        return decision is None

    def _read(self, leg: Leg) -> bytes | None:
        return leg.read() if leg.ready and not leg.ended else None

    def _flush(self) -> None:
        login = self._login
        for leg, data in ((self._client, login.to_client), (self._server, login.to_server)):
            leg.flush()
            leg.write(data)
        login.to_client = login.to_server = b""

    def _secure_client(self) -> bool:
        assert self._authority is not None
        if self._client.waiting:
            return False
        if not isinstance(self._client, TlsLeg):
            self._client = TlsLeg(self._client.sock, self._authority.context(self._to.host), server_name=None)
        if not self._client.handshake():
            return False
        self._login.client_is_secure()
        return True

    def _secure_server(self) -> bool:
        if not isinstance(self._server, TlsLeg):
            self._server = TlsLeg(self._server.sock, self._databases.trust(), server_name=self._to.host.name)
        if not self._server.handshake():
            return False
        self._login.server_is_secure()
        return True

    def _finish(self) -> bool:
        """Nothing more comes. A refusal is put on record once, and told to the client."""
        found, self._login.refusal = self._login.refusal, None
        if found is not None:
            action = ConnectAction(host=self._to.host.name, port=self._to.port)
            self._core.refuse(refusal.built_in(action, found.rule, found.text))
        if not (self._client.waiting or self._server.waiting):
            self._end("", reset=False)
        return False

    def _uses(self, credential: Credential, user: str, database: str) -> None:
        event = CredentialUsed(
            credential=credential.name,
            host=self._to.host.name,
            port=self._to.port,
            method="LOGIN",
            path=f"/{database} as {user}",
        )
        self._databases.used(event)

    def _end(self, error: str, *, reset: bool) -> None:
        if self not in self._core.open:
            return
        self._core.leave(self)
        for leg in (self._client, self._server):
            self._core.engine.discard(leg.sock if reset else leg.finish(), reset=reset)
        self._core.closed(
            ConnectionClosed(
                host=self._to.host.name,
                port=self._to.port,
                address=self._address,
                sent_bytes=self._server.moved_out,
                received_bytes=self._server.moved_in,
                duration_ms=int((self._core.clock.monotonic() - self._started) * 1000),
                error=error,
                inspection=self._sight,
            )
        )
