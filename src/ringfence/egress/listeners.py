"""Takes connections from the listeners that were made inside the sandbox and says where each one wants to go.

The kinds: `proxy` is the explicit proxy, `capture4` and `capture6` get every other TCP connection by redirection,
`host_port:N` is a port of the sandbox's loopback that stands for the same port of the host's.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from ringfence.egress import refusal
from ringfence.egress.arrival import Arrival
from ringfence.egress.core import Core
from ringfence.egress.engine import bare
from ringfence.egress.farewell import Unspoken
from ringfence.egress.front import Wanted
from ringfence.egress.opening import Opening
from ringfence.egress.overload import CONNECTIONS, NO_DESCRIPTOR
from ringfence.egress.synthetic import SyntheticAddresses, is_synthetic
from ringfence.model.action import ConnectAction
from ringfence.model.addresses import AddressKind, canonical, classify
from ringfence.model.host import HOST_LOOPBACK, Destination, Host, parse_host, parse_port

_SO_ORIGINAL_DST = 80
_SOL_IPV6 = 41
_AT_ONCE = 64
_NO_DESCRIPTOR_PAUSE = 0.1
_SHED_AT_MOST = 256


class Listener:
    """One listening socket and what its connections are."""

    def __init__(self, core: Core, kind: str, sock: socket.socket, names: SyntheticAddresses) -> None:
        self._core = core
        self._sock = sock
        self._family, self._type = sock.family, sock.type
        self._entrance = Entrance(core, kind, names)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        core.engine.listen(sock, self._ready)

    def close(self) -> None:
        """Take no more connections."""
        self._core.engine.discard(self._sock)

    def _take(self) -> socket.socket:
        # As `accept`, which finds out the family and the type of each connection anew.
        descriptor, _ = self._sock._accept()  # type: ignore[attr-defined]
        return bare(self._family, self._type, 0, descriptor)

    def _ready(self, events: int) -> None:
        for _ in range(_AT_ONCE):
            try:
                client = self._take()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in NO_DESCRIPTOR:
                    # Connections wait in the kernel's queue; those that are open go on, and one of them may end.
                    self._core.overload.exhausted(self._sock, len(self._core.open))
                    self._core.engine.pause(self._sock, _NO_DESCRIPTOR_PAUSE)
                    return
                continue  # the client was gone before we came
            self._core.overload.accepted()
            self._entrance.enter(client)


class Entrance:
    """What becomes of a connection of one kind, when it has been taken."""

    def __init__(self, core: Core, kind: str, names: SyntheticAddresses) -> None:
        self._core = core
        self._kind = kind
        self._names = names
        self._start = self._starter(kind)

    def enter(self, client: socket.socket, asked: tuple[str, int] | None = None) -> None:
        """Begin. `asked` is the address and port that a captured client dialled, where somebody else knows it."""
        client.setblocking(False)
        if len(self._core.open) >= self._core.limits.connections:
            self._shed(client)
        elif asked is not None:
            self._asked(client, *asked)
        else:
            self._start(client)

    def _starter(self, kind: str) -> Callable[[socket.socket], object]:
        if kind == "proxy":
            return partial(Arrival, self._core)
        if kind in ("capture4", "capture6"):
            return self._captured
        name, colon, port = kind.partition(":")
        if name == "host_port" and colon:
            destination = Destination(host=Host(name=HOST_LOOPBACK), port=parse_port(port))
            wanted = Wanted(origin=kind, destination=destination, direct=True)
            return lambda client: self._open(client, wanted)
        raise ValueError(f"listener kind `{kind}` is not one of `proxy`, `capture4`, `capture6` and `host_port:N`")

    def _open(self, client: socket.socket, wanted: Wanted) -> None:
        self._core.engine.watch(client, _ignore)
        Opening(self._core, client, wanted)

    def _captured(self, client: socket.socket) -> None:
        try:
            address, port = self._original(client)
        except OSError:
            client.close()
            return None
        # An accepted socket has the port of its listener.
        if port == client.getsockname()[1] and classify(address).kind is AddressKind.LOOPBACK:
            # SECURITY: nobody was redirected here: the listener itself was dialled. Following it would be a loop.
            self._core.engine.watch(client, _ignore)
            self._core.engine.discard(client, reset=True)
            return None
        return self._asked(client, address, port)

    def _asked(self, client: socket.socket, address: str, port: int) -> None:
        host = self._host(address)
        if host is None:
            return self._unknown(client, address, port)
        destination = Destination(host=host, port=port)
        return self._open(client, Wanted(origin=self._kind, destination=destination, direct=True))

    def _original(self, client: socket.socket) -> tuple[str, int]:
        """The address and port that the client dialled, before it was redirected."""
        try:
            if client.family == socket.AF_INET:
                raw = client.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16)
                return str(IPv4Address(raw[4:8])), int.from_bytes(raw[2:4], "big")
            raw = client.getsockopt(_SOL_IPV6, _SO_ORIGINAL_DST, 28)
            address = str(IPv6Address(raw[8:24]))
            return canonical(address) or address, int.from_bytes(raw[2:4], "big")
        except OSError:
            # Without redirection every address is local, and the socket's own is the one that was dialled.
            address, port = client.getsockname()[:2]
            return canonical(address) or address, port

    def _host(self, address: str) -> Host | None:
        if not is_synthetic(address):
            return parse_host(address)
        name = self._names.name(address)
        return None if name is None else Host(name=name)

    def _unknown(self, client: socket.socket, address: str, port: int) -> None:
        """An address that stands for a name, but for none that this session asked for: a guess, or a stale cache."""
        action = ConnectAction(host=address, port=port)
        text = f"`{address}` stands for a host name, but this session has not asked for one with it"
        decision = refusal.built_in(action, "address.synthetic", text, "resolve the name again")
        self._core.engine.watch(client, _ignore)
        Unspoken(self._core, client, self._core.refuse(decision))

    def _shed(self, client: socket.socket) -> None:
        """Turn a client away in its own words, as long as those who are being told are not too many themselves."""
        limit = self._core.limits.connections
        self._core.overload.refused(CONNECTIONS, limit)
        self._core.engine.watch(client, _ignore)
        if len(self._core.open) < limit + _SHED_AT_MOST:
            Unspoken(self._core, client, refusal.overloaded(limit), proxy=self._kind == "proxy")
        else:
            self._core.engine.discard(client, reset=True)


def _ignore(events: int) -> None:
    """Stands until the first stage takes over."""
