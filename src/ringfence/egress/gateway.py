"""The egress gateway of one session: the only way out of its sandbox.

It takes the sockets that were made inside the sandbox and carries what is authorised. It holds no policy: it asks
`authorize` for each connection, and refuses by itself only what no policy could make safe.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping

from ringfence.egress.authorization import Authorize
from ringfence.egress.core import Core
from ringfence.egress.dns import Resolve
from ringfence.egress.dns_service import DnsService
from ringfence.egress.inspection import Inspection
from ringfence.egress.inspector import Inspector
from ringfence.egress.limits import Limits, fitting
from ringfence.egress.listeners import Entrance, Listener
from ringfence.egress.name_budget import NameBudget
from ringfence.egress.resolver import Resolver, SystemResolver
from ringfence.egress.synthetic import SyntheticAddresses
from ringfence.egress.upstreams import machine_trust
from ringfence.model.clock import SystemClock
from ringfence.model.decision import Decision
from ringfence.model.event import ConnectionClosed, LimitReached
from ringfence.model.ports import Clock


def _nothing(_: object) -> None:
    """For those who do not want to be told."""


class Gateway:
    """Carries the connections of one session. Make it, use it and close it inside a running event loop.

    `on_closed` is called for each connection that was allowed, when it ends or could not be opened. `on_refused` is
    called with each denial of the gateway's own (an address, a foreign server name ...), which no policy has seen.
    `on_limit` is called when clients are turned away because there are too many, once in a while.
    `inspection` is what requests are looked into with, `trust` what their servers are verified by.
    """

    def __init__(
        self,
        authorize: Authorize,
        *,
        resolver: Resolver | None = None,
        on_closed: Callable[[ConnectionClosed], None] = _nothing,
        on_refused: Callable[[Decision], None] = _nothing,
        on_limit: Callable[[LimitReached], None] = _nothing,
        clock: Clock | None = None,
        limits: Limits | None = None,
        inspection: Inspection | None = None,
        trust: Callable[[], ssl.SSLContext] = machine_trust,
    ) -> None:
        clock = clock or SystemClock()
        limits = fitting(limits or Limits())
        self._core = Core(
            authorize=authorize,
            resolver=resolver or SystemResolver(clock),
            clock=clock,
            limits=limits,
            on_closed=on_closed,
            on_refused=on_refused,
            on_limit=on_limit,
        )
        if inspection is not None:
            self._core.inspection = inspection
            self._core.inspector = Inspector(self._core, inspection, trust)
        self._names = SyntheticAddresses(limits.dns_names)
        resolve = Resolve(
            self._names, limits.dns_queries, asked=NameBudget(limits.asked), refused=self._core.refuse_name
        )
        self._dns = DnsService(resolve, clients=limits.dns_clients)
        self._listeners: list[Listener] = []
        self._entrances: dict[str, Entrance] = {}
        self._closed = False

    def listen(self, kind: str, sock: socket.socket) -> None:
        """Take connections from a listening TCP socket, which the gateway owns from now on.

        `kind`: `proxy` (HTTP and SOCKS5), `capture4`, `capture6` (redirected connections) or `host_port:N`.
        """
        self._listeners.append(Listener(self._core, kind, sock, self._names))

    def serve_dns(self, udp: socket.socket | None = None, tcp: socket.socket | None = None) -> None:
        """Answer DNS on these sockets, which the gateway owns from now on. May be called for several pairs."""
        if udp is not None:
            self._dns.serve_udp(udp)
        if tcp is not None:
            self._dns.serve_tcp(tcp)

    def serve(self, listeners: Mapping[str, socket.socket]) -> None:
        """Serve the listeners of a sandbox by their names: `proxy`, `capture4`, `capture6`, `dns_udp`, `dns_tcp`,
        `host:N`, and the same with a `6` for the second family. Names that are not the gateway's are left alone."""
        for name, sock in listeners.items():
            role, _, port = name.partition(":")
            if name in ("proxy", "capture4", "capture6"):
                self.listen(name, sock)
            elif role in ("host", "host6", "host_port", "host_port6"):
                self.listen(f"host_port:{port}", sock)
            elif name in ("dns_udp", "dns_udp6"):
                self.serve_dns(udp=sock)
            elif name in ("dns_tcp", "dns_tcp6"):
                self.serve_dns(tcp=sock)

    def arrive(self, kind: str, client: socket.socket) -> None:
        """Take one connection that somebody else accepted, and owns no longer. `kind`: `proxy`, `host:N`, `dns_tcp`,
        `dns_packets` (messages, not a stream), or `capture4 ADDRESS PORT` and `capture6 ADDRESS PORT`."""
        if self._closed:
            client.close()
            return
        role, _, rest = kind.partition(" ")
        name, _, port = role.partition(":")
        if name in ("dns_tcp", "dns_packets"):
            self._dns.serve_client(client, packets=name == "dns_packets")
        elif name == "host":
            self._entrance(f"host_port:{port}").enter(client)
        elif rest:
            address, _, number = rest.rpartition(" ")
            self._entrance(name).enter(client, (address, int(number)))
        else:
            self._entrance(name).enter(client)

    def _entrance(self, kind: str) -> Entrance:
        if kind not in self._entrances:
            self._entrances[kind] = Entrance(self._core, kind, self._names)
        return self._entrances[kind]

    def close_matching(self, matches: Callable[[str, int], bool]) -> int:
        """End every client's connection, open or waiting, to a host and port for which `matches` says so: a grant was
        revoked. Says how many there were. Those to servers that wait for another request stay: each is judged anew."""
        found = []
        for stage in self._core.open:
            destination = stage.destination
            if destination is not None and matches(destination.host.name, destination.port):
                found.append(stage)
        for stage in found:
            stage.close("it is not allowed any more")
        return len(found)

    @property
    def open_connections(self) -> int:
        """How many clients there are, in whatever stage."""
        return len(self._core.open)

    def close(self) -> None:
        """End everything: listeners, questions, connections, DNS. The sandbox has no network after this."""
        self._closed = True
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self._dns.close()
        self._core.close()
