"""Takes clients over whose requests are looked into, and keeps the connections to servers between those requests."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

from ringfence.egress.core import Core
from ringfence.egress.front import Wanted
from ringfence.egress.inspected import Inspected
from ringfence.egress.inspection import HTTP1, HTTP2, Inspection
from ringfence.egress.leg import Leg, TlsLeg
from ringfence.egress.upstreams import Upstreams
from ringfence.model.host import Destination


class Inspector:
    """Of one session."""

    def __init__(self, core: Core, inspection: Inspection, trust: Callable[[], ssl.SSLContext]) -> None:
        self.reads_tls = inspection.authority is not None
        self._core = core
        self._inspection = inspection
        self._upstreams = Upstreams(core, trust)
        self._speaking = 0
        """How many clients speak HTTP/2."""

    def take_tls(self, client: socket.socket, wanted: Wanted, first: bytes, events: int) -> None:
        """A client that begins to speak TLS, with a name in its hello that was compared already."""
        authority = self._inspection.authority
        assert authority is not None
        to = wanted.destination
        room = self._speaking < self._core.limits.http2_connections
        http2 = room and self._inspection.http2(to.host.name, to.port)
        context = authority.context(to.host, HTTP2 if http2 else HTTP1)
        leg = TlsLeg(client, context, server_name=None, first=first)
        Inspected(
            self._core,
            self._inspection,
            self._upstreams,
            leg,
            wanted,
            secure=True,
            edges=events,
            http2=self._take_http2 if http2 else None,
        )

    def _take_http2(self, leg: Leg, destination: Destination, origin: str, started: float) -> None:
        # Only here: most sessions need nothing of it, and what reads the frames is an extra.
        from ringfence.egress.http2.client import InspectedHttp2

        def over() -> None:
            self._speaking -= 1

        self._speaking += 1
        InspectedHttp2(
            self._core,
            self._inspection,
            self._upstreams,
            leg,
            destination,
            origin=origin,
            started=started,
            over=over,
        )

    def take_plain(self, client: socket.socket, wanted: Wanted, events: int) -> None:
        """A client that speaks plain HTTP."""
        leg = Leg(client)
        # What was read of it already was sent by it, too.
        leg.moved_in = len(wanted.rest)
        Inspected(self._core, self._inspection, self._upstreams, leg, wanted, secure=False, edges=events)

    def close(self) -> None:
        """Close what waits."""
        self._upstreams.close()
