"""How much the gateway takes before it refuses. Every limit is told to the one who meets it."""

from __future__ import annotations

import resource

import msgspec

from ringfence.egress.name_budget import NameLimits


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of one session. Times are in seconds, sizes in bytes."""

    connections: int = 4096
    """Open at once; more are refused, and none that are open suffer."""
    head: int = 65_536
    """A request's head, a TLS ClientHello, or whatever else a client sends before we know what it is."""
    held_bytes: int = 268_435_456
    """Of bodies that are read before their request goes, of answers that are read before the client gets them, and of
    messages of WebSockets, all of them together."""
    head_seconds: float = 30.0
    """For the client to say where it wants to go."""
    dial_seconds: float = 10.0
    """For one address to answer, where it is the last one."""
    next_address_seconds: float = 2.5
    """For one address to answer, where there are others to try."""
    half_closed_seconds: float = 600.0
    """For a connection of which one side has finished and nothing has moved since."""
    idle_seconds: float = 300.0
    """For a client that may send another request on a connection that is looked into."""
    linger_seconds: float = 2.0
    """For a client to read why it was refused."""
    http2_connections: int = 128
    """Clients that speak HTTP/2; to more, HTTP/1.1 is offered alone."""
    dns_queries: int = 200_000
    """In one session."""
    dns_names: int = 32_768
    """Different names in one session."""
    asked: NameLimits = NameLimits(names=32_768, names_of_domain=4096, encoded_of_domain=64, chosen=160, labels=16)
    """For names that are asked for inside; nothing of those goes out."""
    looked_up: NameLimits = NameLimits(names=8192, names_of_domain=512, encoded_of_domain=16, chosen=120, labels=10)
    """For names that are looked up outside although a client chose them: only a pattern allows them."""
    dns_clients: int = 64
    """TCP connections for DNS at once."""


_KEPT_FREE = 192
_PER_CONNECTION = 2


def fitting(limits: Limits) -> Limits:
    """The limits with as few connections as this process has descriptors for, after asking the kernel for more.

    The rest of the process needs descriptors too: the ledger has to go on when the network is busy.
    """
    wanted = limits.connections * _PER_CONNECTION + _KEPT_FREE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return limits
    return msgspec.structs.replace(limits, connections=max(1, (soft - _KEPT_FREE) // _PER_CONNECTION))
