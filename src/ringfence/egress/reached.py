"""Where the requests of one connection went: a policy may lead some elsewhere than the host that their client asked."""

from __future__ import annotations

from ringfence.model.host import Destination

_MOST = 64
"""Destinations that are kept. Each request's decision names its own, however many there are."""


class Reached:
    """Destinations to which a connection was made for requests, in the order in which they were."""

    __slots__ = ("_found", "last")

    def __init__(self) -> None:
        self._found: list[str] = []
        self.last: Destination | None = None
        """The one that was added last."""

    def add(self, destination: Destination | None, address: str) -> None:
        """A request is over; without an address it went nowhere."""
        if not address or destination is None or destination is self.last:
            return
        self.last = destination
        name = f"{destination.host.name}:{destination.port}"
        if name not in self._found and len(self._found) < _MOST:
            self._found.append(name)

    def beside(self, destination: Destination) -> tuple[str, ...]:
        """All of them; none where they are just the one that the connection is named after."""
        found = tuple(self._found)
        return () if found in ((), (f"{destination.host.name}:{destination.port}",)) else found
