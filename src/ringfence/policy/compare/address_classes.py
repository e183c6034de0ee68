"""The kinds of addresses that some ranges tell apart: each range without the ranges inside it, and an address of it.

Ranges lie inside one another or apart, so that the innermost one says everything about an address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import chain

import msgspec

from ringfence.model.addresses import TABLE
from ringfence.model.host_pattern import Network
from ringfence.policy.resolvers import resolver_addresses

_MAPPED = IPv6Network("::ffff:0:0/96")
"""Addresses that are written as IPv6 and are IPv4 everywhere else; as hosts they do not exist."""

BOUNDARIES: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "192.0.0.0/29",
        "192.0.0.9/32",
        "192.0.0.10/32",
        "192.0.0.170/31",
        "2001:1::1/128",
        "2001:1::2/128",
        "2001:3::/32",
        "2001:4:112::/48",
        "2001:10::/28",
        "2001:20::/28",
        "2001:30::/28",
    )
)
"""Where Python's own notion of a public address has borders that our table of addresses does not have."""


class AddressKind(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses that every range of both policies treats alike."""

    range: Network
    """They are all that lies in this range and in none of the narrower ones."""
    example: str


def address_kinds(ranges: Iterable[Network]) -> tuple[AddressKind, ...]:
    """One kind for each range, the special ranges of the internet included, unless narrower ones fill it."""
    written = set(ranges)
    every = {*written, *BOUNDARIES, *(row.network for row in TABLE)}
    found: list[AddressKind] = []
    for version in (4, 6):
        ordered = sorted(one for one in every if one.version == version)
        found.extend(_kinds(ordered))
    return tuple(chain(found, _resolvers(found, written)))


def _resolvers(kinds: list[AddressKind], written: set[Network]) -> Iterator[AddressKind]:
    """A public resolver of each range that is written: it is open only where a rule means it."""
    told: set[Network] = set()
    ordered = sorted((kind.range for kind in kinds), key=lambda one: one.prefixlen, reverse=True)
    for address in map(ip_address, sorted(resolver_addresses())):
        inner = next((one for one in ordered if one.version == address.version and address in one), None)
        if inner in written and inner not in told and inner.num_addresses > 1:
            told.add(inner)
            yield AddressKind(range=ip_network(address), example=str(address))


def _kinds(ordered: list[Network]) -> Iterator[AddressKind]:
    """Outer ranges come before the ones inside them, so that a stack holds all that are open."""
    children: dict[Network, list[Network]] = {one: [] for one in ordered}
    stack: list[Network] = []
    for one in ordered:
        while stack and int(one.network_address) > int(stack[-1].broadcast_address):
            stack.pop()
        if stack:
            children[stack[-1]].append(one)
        stack.append(one)
    for one in ordered:
        if isinstance(one, IPv4Network) or not one.subnet_of(_MAPPED):
            example = _outside(one, children[one])
            if example is not None:
                yield AddressKind(range=one, example=example)


def _resolves(network: Network, value: int) -> bool:
    # Public resolvers are a kind of their own, unless there is nothing else.
    return str(network[value - int(network.network_address)]) in resolver_addresses()


def _outside(network: Network, inner: list[Network]) -> str | None:
    """An address of a range that lies in none of the inner ones, which are in order."""
    at = int(network.network_address)
    end = int(network.broadcast_address)
    best: int | None = None
    for start, after in [*((int(one.network_address), int(one.broadcast_address) + 1) for one in inner), (end + 1, 0)]:
        if start > at:
            free = next((one for one in range(min(at + 1, start - 1), start) if not _resolves(network, one)), None)
            if free is not None and free > at:
                return str(network[free - int(network.network_address)])
            best = at if best is None else best
        at = max(at, after)
    return None if best is None else str(network[best - int(network.network_address)])
