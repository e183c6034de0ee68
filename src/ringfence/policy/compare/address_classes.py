"""The kinds of addresses that some ranges tell apart: each range without the ranges inside it, and an address of it.

Ranges lie inside one another or apart, so that the innermost one says everything about an address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

import msgspec

from ringfence.model.addresses import TABLE
from ringfence.model.host_pattern import Network

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
    every = {*ranges, *BOUNDARIES, *(row.network for row in TABLE)}
    found: list[AddressKind] = []
    for version in (4, 6):
        ordered = sorted(one for one in every if one.version == version)
        found.extend(_kinds(ordered))
    return tuple(found)


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


def _outside(network: Network, inner: list[Network]) -> str | None:
    """An address of a range that lies in none of the inner ones, which are in order."""
    at = int(network.network_address)
    end = int(network.broadcast_address)
    best: int | None = None
    for start, after in [*((int(one.network_address), int(one.broadcast_address) + 1) for one in inner), (end + 1, 0)]:
        if start > at:
            if start - at > 1:
                return str(network[at + 1 - int(network.network_address)])
            best = at if best is None else best
        at = max(at, after)
    return None if best is None else str(network[best - int(network.network_address)])
