"""From an authorised destination to a connected socket: resolved once, every address checked, the checked one dialled.

It decides nothing: what may be dialled comes from the authorisation and the table of addresses.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Protocol

from ringfence.egress import refusal
from ringfence.egress.authorization import Authorization
from ringfence.egress.core import Core, Stage
from ringfence.egress.engine import BROKEN, WRITABLE, bare
from ringfence.egress.resolver import Resolution
from ringfence.model.action import ConnectAction
from ringfence.model.addresses import OWN_NETWORK, AddressKind, Row, canonical, classify, within
from ringfence.model.decision import Decision
from ringfence.model.host import HOST_LOOPBACK, Destination, parse_host

_DIAL = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_LOOPBACK = ("127.0.0.1", "::1")
_RESOLVE_SECONDS = 20.0


class Dialler(Protocol):
    """Who wants a connection. One of the three is called, once, unless the dialling is stopped."""

    def connected(self, server: socket.socket, events: int) -> None:
        """Here it is, watched by the engine; `events` have not been acted upon."""
        ...

    def unreachable(self, reason: str, status: int) -> None:
        """There is none, and no rule is the reason."""
        ...

    def forbidden(self, decision: Decision) -> None:
        """None of its addresses may be dialled. It is not on record yet."""
        ...


class Dialling:
    """One attempt, with all addresses of the host. Its deadlines are those of the stage it belongs to."""

    __slots__ = (
        "_action",
        "_addresses",
        "_authorization",
        "_awaited",
        "_client_first",
        "_core",
        "_destination",
        "_dialler",
        "_over",
        "_problem",
        "_resolution_used",
        "_server",
        "_stage",
        "address",
    )

    def __init__(
        self,
        core: Core,
        stage: Stage,
        dialler: Dialler,
        *,
        action: ConnectAction,
        destination: Destination,
        authorization: Authorization,
        client_first: bool = False,
    ) -> None:
        """`client_first`: the server is one that says nothing before it is spoken to."""
        self.address = ""
        """The address that was dialled last."""
        self._core = core
        self._stage = stage
        self._dialler = dialler
        self._action = action
        self._destination = destination
        self._authorization = authorization
        self._addresses: list[str] = []
        self._client_first = client_first
        self._problem = "it has no address"
        self._server: socket.socket | None = None
        self._resolution_used = False
        self._awaited = False
        """Whether a deadline is about the name."""
        self._over = False

    def start(self) -> None:
        """Begin."""
        host = self._destination.host
        if host.name == HOST_LOOPBACK:
            self._addresses = list(_LOOPBACK)
            return self._dial_next()
        if host.address is not None:
            return self._resolved(Resolution(addresses=(host.address,)))
        problem = self._core.looked_up.spend(host.name) if self._authorization.chosen else ""
        if problem:
            self._over = True
            return self._dialler.forbidden(refusal.unasked(self._action, problem))
        self._core.resolver(host.name, self._resolved)
        # Most names are known, and the answer was there at once.
        if not self._resolution_used and not self._over:
            self._awaited = True
            self._core.expect(self._stage, _RESOLVE_SECONDS, self._unresolved)
        return None

    def stop(self) -> None:
        """Nobody wants it any more."""
        self._over = True
        if self._server is not None:
            self._drop()

    def close(self, error: str) -> None:
        """A fault of ours: the stage that wanted the connection ends."""
        self._stage.close(error)

    def _resolved(self, resolution: Resolution) -> None:
        if not self._resolution_used and not self._over:
            self._resolution_used = True
            if self._awaited:
                self._core.relax(self._stage)
            try:
                self._check(resolution)
            except Exception:  # noqa: BLE001  as `guarded` does, and without a function for each connection
                self._core.broke(self._stage)

    def _unresolved(self) -> None:
        self._resolved(Resolution(error="its name takes too long"))

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
            self._addresses = good
            return self._dial_next()
        self._over = True
        row = _row(resolution.addresses[0])
        return self._dialler.forbidden(_refusal(self._action, reasons[0], row))

    def _forbidden(self, address: str) -> str:
        """Why this address must not be dialled; empty where it may."""
        refused = self._authorization.refused
        if refused and within(address, refused):
            return f"`{address}` is in a range that a rule denies"
        row = classify(address)
        if row.kind is AddressKind.GLOBAL or within(address, self._authorization.declared):
            return ""
        if self._authorization.private and (row.kind in OWN_NETWORK or self._destination.host.address is not None):
            return ""
        return f"`{address}` is {row.why}, and no rule declares it"

    def _dial_next(self) -> None:
        if self._server is not None:
            self._drop()
        while self._addresses:
            address = self.address = self._addresses.pop(0)
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                server = self._server = bare(family, _DIAL, socket.IPPROTO_TCP)
                if self._client_first:
                    # The handshake's last segment goes with the client's first bytes, or alone when they take 0.2 s:
                    # one less, and the server wakes up once. One that speaks first would hear of us that much later.
                    try:  # noqa: SIM105  once for each connection
                        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
                    except OSError:  # not every kernel has it
                        pass
            except OSError as error:
                return self._unreachable(f"no socket can be opened ({error.strerror})", status=503)
            code = server.connect_ex((address, self._destination.port))
            if code in (0, errno.EINPROGRESS):
                limits = self._core.limits
                seconds = limits.next_address_seconds if self._addresses else limits.dial_seconds
                self._core.expect(self._stage, seconds, self._timed_out)
                return self._core.engine.watch(server, self._server_ready)
            self._problem = f"`{self.address}`: {os.strerror(code).lower()}"
            server.close()
            self._server = None
        return self._unreachable(self._problem, status=504 if self._problem.endswith("answer") else 502)

    def _timed_out(self) -> None:
        self._problem = f"`{self.address}` does not answer"
        self._dial_next()

    def _server_ready(self, events: int) -> None:
        server = self._server
        if server is None or self._over:
            return None
        if events & BROKEN:
            code = server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._problem = f"`{self.address}`: {os.strerror(code).lower()}"
                return self._core.guarded(self._stage, self._dial_next)
        if events & WRITABLE:
            self._over, self._server = True, None
            self._core.relax(self._stage)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._dialler.connected(server, events)
        return None

    def _unreachable(self, reason: str, *, status: int = 502) -> None:
        self._over = True
        self._dialler.unreachable(reason, status)

    def _drop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            self._core.engine.discard(server)


def _refusal(action: ConnectAction, reason: str, row: Row | None) -> Decision:
    rule = f"address.{row.kind.value}" if row else "address.unknown"
    step = "name the address or its range in a rule of `[[network.rule]]` if it is meant"
    if row is not None and row.kind in OWN_NETWORK and parse_host(action.host).address is None:
        step = "if it is meant, write `private = true` in the `[[network.rule]]` that allows this host"
    if row is not None and row.kind is AddressKind.LOOPBACK:
        step = f"the host's own loopback is `{HOST_LOOPBACK}`; the sandbox's own is reached without the proxy"
    return refusal.built_in(action, rule, reason, step)


def _row(text: str) -> Row | None:
    """The row of what may be no address at all."""
    address = canonical(text)
    return None if address is None else classify(address)
