"""What kind of address a name resolved to, or a client asked for.

A name that an attacker owns can resolve to anything: the person's router, a cloud's metadata service, a database on the
loopback. Everything but global unicast is therefore refused unless a rule declares the range. The table is the whole
knowledge; the most specific row wins.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

import msgspec

Network: TypeAlias = IPv4Network | IPv6Network


class AddressKind(StrEnum):
    """What an address is for. Only `GLOBAL` may be dialled without a declaration."""

    GLOBAL = "global"
    LOOPBACK = "loopback"
    PRIVATE = "private"
    LINK_LOCAL = "link-local"
    METADATA = "metadata"
    SHARED = "shared"
    MULTICAST = "multicast"
    BROADCAST = "broadcast"
    UNSPECIFIED = "unspecified"
    RESERVED = "reserved"
    DOCUMENTATION = "documentation"
    BENCHMARK = "benchmark"
    TRANSLATED = "translated"


OWN_NETWORK = frozenset({AddressKind.PRIVATE, AddressKind.SHARED, AddressKind.DOCUMENTATION})
"""What the machines of one's own network have. Never this machine itself, its link, or its cloud's metadata."""


class Row(msgspec.Struct, frozen=True):
    """One row of the table."""

    network: Network
    kind: AddressKind
    why: str
    """What a person is told the address is."""


def _row(network: str, kind: AddressKind, why: str) -> Row:
    return Row(ip_network(network), kind, why)


_K = AddressKind
TABLE: tuple[Row, ...] = (
    _row("0.0.0.0/0", _K.GLOBAL, "a public IPv4 address"),
    _row("0.0.0.0/8", _K.UNSPECIFIED, "an address of this host on this network"),
    _row("10.0.0.0/8", _K.PRIVATE, "an address of a private network"),
    _row("100.64.0.0/10", _K.SHARED, "an address shared behind a carrier's translation (CGNAT)"),
    _row("100.100.100.200/32", _K.METADATA, "a cloud's metadata service"),
    _row("127.0.0.0/8", _K.LOOPBACK, "a loopback address"),
    _row("168.63.129.16/32", _K.METADATA, "a cloud's host service"),
    _row("169.254.0.0/16", _K.LINK_LOCAL, "a link-local address"),
    _row("169.254.169.254/32", _K.METADATA, "a cloud's metadata service"),
    _row("169.254.170.2/32", _K.METADATA, "a container's credential service"),
    _row("169.254.170.23/32", _K.METADATA, "a container's credential service"),
    _row("172.16.0.0/12", _K.PRIVATE, "an address of a private network"),
    _row("192.0.0.0/24", _K.RESERVED, "an address reserved for protocols"),
    _row("192.0.0.192/32", _K.METADATA, "a cloud's metadata service"),
    _row("192.0.2.0/24", _K.DOCUMENTATION, "an address for documentation"),
    _row("192.88.99.0/24", _K.TRANSLATED, "a 6to4 relay"),
    _row("192.168.0.0/16", _K.PRIVATE, "an address of a private network"),
    _row("198.18.0.0/15", _K.BENCHMARK, "an address for benchmarks, which here stands for a name"),
    _row("198.51.100.0/24", _K.DOCUMENTATION, "an address for documentation"),
    _row("203.0.113.0/24", _K.DOCUMENTATION, "an address for documentation"),
    _row("224.0.0.0/4", _K.MULTICAST, "a multicast address"),
    _row("240.0.0.0/4", _K.RESERVED, "a reserved address"),
    _row("255.255.255.255/32", _K.BROADCAST, "the broadcast address"),
    _row("::/0", _K.RESERVED, "a reserved address"),
    _row("2000::/3", _K.GLOBAL, "a public IPv6 address"),
    _row("::/96", _K.TRANSLATED, "an IPv6 form of an IPv4 address"),
    _row("::/128", _K.UNSPECIFIED, "the unspecified address"),
    _row("::1/128", _K.LOOPBACK, "a loopback address"),
    _row("::ffff:0:0/96", _K.TRANSLATED, "an IPv6 form of an IPv4 address"),
    _row("::ffff:0:0:0/96", _K.TRANSLATED, "an IPv6 form of an IPv4 address"),
    _row("64:ff9b::/96", _K.TRANSLATED, "an address that a translator (NAT64) turns into IPv4"),
    _row("64:ff9b:1::/48", _K.TRANSLATED, "an address that a translator (NAT64) turns into IPv4"),
    _row("100::/64", _K.RESERVED, "an address that discards traffic"),
    _row("2001::/23", _K.RESERVED, "an address reserved for protocols"),
    _row("2001::/32", _K.TRANSLATED, "a Teredo address, which carries an IPv4 address"),
    _row("2001:2::/48", _K.BENCHMARK, "an address for benchmarks"),
    _row("2001:db8::/32", _K.DOCUMENTATION, "an address for documentation"),
    _row("2002::/16", _K.TRANSLATED, "a 6to4 address, which carries an IPv4 address"),
    _row("3fff::/20", _K.DOCUMENTATION, "an address for documentation"),
    _row("fc00::/7", _K.PRIVATE, "an address of a private network"),
    _row("fd00:42::42/128", _K.METADATA, "a cloud's metadata service"),
    _row("fd00:a9fe:a9fe::/48", _K.METADATA, "a cloud's metadata service"),
    _row("fd00:c1::a9fe:a9fe/128", _K.METADATA, "a cloud's metadata service"),
    _row("fd00:ec2::/32", _K.METADATA, "a cloud's own services, metadata among them"),
    _row("fd20:ce::254/128", _K.METADATA, "a cloud's metadata service"),
    _row("fe80::/10", _K.LINK_LOCAL, "a link-local address"),
    _row("fec0::/10", _K.PRIVATE, "an address of a private network (site-local)"),
    _row("ff00::/8", _K.MULTICAST, "a multicast address"),
)
_MOST_SPECIFIC_FIRST = sorted(TABLE, key=lambda row: row.network.prefixlen, reverse=True)


_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})
"""The first half of an interface identifier whose second half is an IPv4 address, below any prefix."""


@lru_cache(maxsize=4096)
def classify(address: str) -> Row:
    """The most specific row that holds the address, which has to be an IPv4 or IPv6 address without a zone."""
    parsed = ip_address(address)
    row = next(row for row in _MOST_SPECIFIC_FIRST if parsed in row.network)
    if row.kind is AddressKind.GLOBAL and parsed.version == 6 and int(parsed) >> 32 & 0xFFFF_FFFF in _ISATAP:
        text = "an ISATAP address, which carries an IPv4 address"
        return Row(ip_network((int(parsed) >> 64 << 64, 64)), AddressKind.TRANSLATED, text)
    return row


@lru_cache(maxsize=4096)
def canonical(address: str) -> str | None:
    """The address as it will be dialled, a v4-mapped one as IPv4; None for what is not an address without a zone."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address):
        if parsed.scope_id is not None:
            return None
        return str(parsed.ipv4_mapped or parsed)
    return str(parsed)


def within(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether any of the networks holds the address."""
    if not networks:
        return False
    # A cache by value would hash every network for each question, which costs more than the answer: the ranges of a
    # policy are one tuple for the whole session, and it is kept here, so that no other one can have its place.
    known = _ANSWERED.get(address)
    if known is None or known[0] is not networks:
        if len(_ANSWERED) >= _MOST_ANSWERED:
            _ANSWERED.clear()
        parsed = ip_address(address)
        known = _ANSWERED[address] = (networks, any(parsed in network for network in networks))
    return known[1]


_ANSWERED: dict[str, tuple[tuple[Network, ...], bool]] = {}
"""What `within` said last about an address."""
_MOST_ANSWERED = 4096
