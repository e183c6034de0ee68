"""Host patterns: what a rule may write about destinations, and which hosts it means.

`x.test` is that name alone, `*.x.test` everything below it, `**.x.test` both; an address or a CIDR range is what it
says; `*` is every destination. Each may carry `:port`. Whether a match allows or denies is not decided here.
"""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias

import msgspec

from ringfence.model.host import Host, parse_host, parse_port, shown

Network: TypeAlias = IPv4Network | IPv6Network


class PatternKind(StrEnum):
    """The shape of a pattern."""

    EXACT = "exact"
    SUBDOMAINS = "subdomains"
    DOMAIN = "domain"
    NETWORK = "network"
    ANY = "any"


class HostPattern(msgspec.Struct, frozen=True, kw_only=True):
    """One pattern of a rule."""

    kind: PatternKind
    name: str = ""
    """The exact name, or the domain below which it matches; empty for a network and for `*`."""
    network: Network | None = None
    """For an address or range: what it covers. Naming it declares that a private address is meant."""
    port: int | None = None
    """The only port it matches; None for every port."""

    @staticmethod
    def parse(text: str) -> HostPattern:
        """The pattern that `text` writes; `ValueError`, with words for a person, where it writes none."""
        if "://" in text:
            raise ValueError(f"host pattern {shown(text)} is a URL; write the host alone, and paths under `paths`")
        host, port = _split(text)
        number = None if port is None else parse_port(port)
        if host == "*":
            return HostPattern(kind=PatternKind.ANY, port=number)
        if host.startswith("**."):
            return HostPattern(kind=PatternKind.DOMAIN, name=_domain(host[3:], text), port=number)
        if host.startswith("*."):
            return HostPattern(kind=PatternKind.SUBDOMAINS, name=_domain(host[2:], text), port=number)
        if "*" in host:
            raise ValueError(f"host pattern {shown(text)} has `*` in another place than `*.domain` or `**.domain`")
        if "/" in host:
            return HostPattern(kind=PatternKind.NETWORK, network=_range(host, text), port=number)
        exact = parse_host(host)
        if exact.address is not None:
            return HostPattern(kind=PatternKind.NETWORK, network=ip_network(exact.address), port=number)
        return HostPattern(kind=PatternKind.EXACT, name=exact.name, port=number)

    def matches(self, host: Host, port: int) -> bool:
        """Whether this pattern means that host and port."""
        if self.port is not None and self.port != port:
            return False
        match self.kind:
            case PatternKind.ANY:
                return True
            case PatternKind.NETWORK:
                return (
                    self.network is not None and host.address is not None and ip_address(host.address) in self.network
                )
            case PatternKind.EXACT:
                return host.name == self.name
            case PatternKind.SUBDOMAINS:
                return host.name.endswith(f".{self.name}")
            case PatternKind.DOMAIN:
                return host.name == self.name or host.name.endswith(f".{self.name}")

    def __str__(self) -> str:
        suffix = "" if self.port is None else f":{self.port}"
        return f"{self._host_text()}{suffix}"

    def _host_text(self) -> str:
        match self.kind:
            case PatternKind.ANY:
                return "*"
            case PatternKind.NETWORK:
                network = self.network
                assert network is not None
                text = str(network.network_address) if network.num_addresses == 1 else str(network)
                return f"[{text}]" if ":" in text and self.port is not None else text
            case PatternKind.EXACT:
                return self.name
            case PatternKind.SUBDOMAINS:
                return f"*.{self.name}"
            case PatternKind.DOMAIN:
                return f"**.{self.name}"


def _split(text: str) -> tuple[str, str | None]:
    """The host part and the port; a bare IPv6 address or range has no port, with one it stands in brackets."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            raise ValueError(f"host pattern {shown(text)} is not `[IPv6 address or range]:port`")
        return host, rest[1:] if rest else None
    if text.count(":") > 1:
        return text, None
    host, colon, port = text.partition(":")
    return host, port if colon else None


def _domain(text: str, whole: str) -> str:
    host = parse_host(text)
    if host.address is not None:
        raise ValueError(f"host pattern {shown(whole)} puts `*` before an address; write a range such as `10.0.0.0/8`")
    return host.name


def _range(text: str, whole: str) -> Network:
    address, _, length = text.partition("/")
    host = parse_host(address)
    if host.address is None or not (length.isascii() and length.isdecimal() and len(length) <= 3):
        raise ValueError(f"host pattern {shown(whole)} is not a range such as `10.0.0.0/8` or `fd00::/8`")
    bits = int(length)
    if ":" in address and ":" not in host.address:
        bits -= 96  # a v4-mapped range is the IPv4 range that it maps
    try:
        return ip_network(f"{host.address}/{bits}")
    except ValueError:
        raise ValueError(_range_fault(host.address, bits, whole)) from None


def _range_fault(address: str, bits: int, whole: str) -> str:
    longest = 128 if ":" in address else 32
    if not 0 <= bits <= longest:
        return f"host pattern {shown(whole)} has a prefix length that is not between 0 and {longest}"
    start = ip_network(f"{address}/{bits}", strict=False)
    return f"host pattern {shown(whole)} has bits set behind the prefix; write `{start}`"
