"""A small internet of the test's own: a network namespace whose loopback has public addresses with listeners on them.

No packet leaves it. The sandbox is started *from inside the arena*: a hole shows as bytes at a listener.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Self, TypeAlias

from ringfence.verify.arena_holder import listen
from ringfence.verify.stage import Person

WEB4, WEB6 = "1.1.1.1", "2606:4700:4700::1111"
METADATA4, METADATA6 = "169.254.169.254", "fd00:ec2::254"
PRIVATE = "10.20.30.40"
OWN_PORT = 47124
"""Of the services on the arena's own loopback. The machine's has connections of others, which may hold any number."""
ADDRESSES = (WEB4, WEB6, METADATA4, METADATA6, PRIVATE)

Listener: TypeAlias = tuple[str, str, int]
"""Protocol, address and port; for `abstract`, a Unix socket without a file, the address is its name."""
LISTENERS: dict[str, Listener] = {
    "web": ("tcp", WEB4, 443),
    "web-plain": ("tcp", WEB4, 80),
    "web-odd-port": ("tcp", WEB4, 47123),
    "web6": ("tcp", WEB6, 443),
    "metadata": ("tcp", METADATA4, 80),
    "metadata6": ("tcp", METADATA6, 80),
    "private": ("tcp", PRIVATE, 5432),
    "loopback": ("tcp", "127.0.0.1", OWN_PORT),
    "loopback6": ("tcp", "::1", OWN_PORT),
    "loopback-neighbour": ("tcp", "127.0.0.9", 3128),
    "udp": ("udp", WEB4, 443),
    "udp6": ("udp", WEB6, 443),
    "udplite": ("udplite", WEB4, 47125),
    "sctp": ("sctp", WEB4, 47126),
    "dns": ("udp", WEB4, 53),
    "dns-private": ("udp", PRIVATE, 53),
}
"""Name, protocol, address and port of each listener. One that the kernel cannot open is left out."""


class Arena:
    """The namespace, kept open by one process, and its listeners."""

    own_port = OWN_PORT

    def __init__(
        self, addresses: Sequence[str] = (), listeners: Mapping[str, tuple[str, str, int]] | None = None
    ) -> None:
        """`addresses`, `listeners`: what this one has beside those that every battery needs."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        enter = ("unshare", "-n") if os.getuid() == 0 else ("unshare", "--map-current-user", "--keep-caps", "-n")
        spec = json.dumps(
            {
                "addresses": (*ADDRESSES, *resolvers(), *addresses),
                "listeners": {**LISTENERS, **_resolver_listeners(), **(listeners or {})},
            }
        )
        holder = os.path.join(os.path.dirname(__file__), "arena_holder.py")
        try:
            self._holder = subprocess.Popen(
                (*enter, sys.executable, "-I", holder, str(theirs.fileno()), spec),
                pass_fds=(theirs.fileno(),),
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self.sockets: dict[str, socket.socket] = {}
        while True:
            data, descriptors, _, _ = socket.recv_fds(ours, 4096, 4)
            if not data or data == b"ready":
                break
            self.sockets[data.decode()] = socket.socket(fileno=descriptors[0])
        self._control = ours
        if not data:
            self.close()
            raise OSError("no network namespace could be made for the test's own internet")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the namespace."""
        self._control.close()
        self._holder.wait()
        for listener in self.sockets.values():
            listener.close()

    @property
    def pid(self) -> int:
        """The process that holds the namespace."""
        return self._holder.pid

    def listeners(self) -> dict[str, socket.socket]:
        """The listeners once more, for one run."""
        return {name: listener.dup() for name, listener in self.sockets.items()}

    def prefix(self, person: Person) -> tuple[str, ...]:
        """The argv prefix that starts a command inside the arena, as that person."""
        target = ("nsenter", "-t", str(self._holder.pid), "-n")
        if os.getuid() == 0:
            return (*target, "-S", str(person.uid), "-G", str(person.gid), "--")
        return (*target, "-U", "--preserve-credentials", "--")


class Loopback:
    """What there is without a namespace: the listeners that lie on the machine's own loopback. One at a time."""

    pid = 0

    def __init__(self) -> None:
        # The kernel picks the port: any fixed one may be held by a connection, also by one that ended a minute ago.
        self.own_port = 0
        self.sockets: dict[str, socket.socket] = {}
        with suppress(OSError):
            self.sockets["loopback"] = listen("tcp", "127.0.0.1", 0)
            self.own_port = self.sockets["loopback"].getsockname()[1]
            self.sockets["loopback6"] = listen("tcp", "::1", self.own_port)
        with suppress(OSError):
            self.sockets["loopback-neighbour"] = listen(*LISTENERS["loopback-neighbour"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for listener in self.sockets.values():
            listener.close()

    def listeners(self) -> dict[str, socket.socket]:
        """The listeners once more, for one run."""
        return {name: listener.dup() for name, listener in self.sockets.items()}

    def prefix(self, person: Person) -> tuple[str, ...]:
        """Nothing has to be entered."""
        return ()


def resolvers() -> tuple[str, ...]:
    """The name servers that this machine would ask, so that the arena can answer in their place."""
    with open("/etc/resolv.conf", encoding="utf-8") as stream:
        found = [line.split()[1] for line in stream if line.startswith("nameserver ")]
    return tuple(address for address in found if not address.startswith("127.") and "%" not in address)


def _resolver_listeners() -> dict[str, Listener]:
    return {
        f"resolver-{number}{suffix}": (protocol, address, 53)
        for number, address in enumerate(resolvers())
        for protocol, suffix in (("udp", ""), ("tcp", "-tcp"))
    }
