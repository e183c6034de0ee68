"""Which host rules speak about a destination: one walk over the labels of the name, whatever the number of rules."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from ringfence.model.host import Host
from ringfence.model.host_pattern import HostPattern, Network, PatternKind
from ringfence.policy.effective import HostRule

Entry = tuple[int | None, HostRule]
"""A port, or nothing for every port, and the rule."""


_NARROW = {4: 16, 6: 32}
"""By version the shortest prefix with which a range is named for what is in it."""


class HostTable:
    """The host rules of a policy."""

    def __init__(self, rules: Iterable[HostRule]) -> None:
        self._exact: dict[str, list[Entry]] = {}
        self._below: dict[str, list[Entry]] = {}
        self._any: list[Entry] = []
        # By IP version and prefix length, so that a look-up costs one probe for each length in use.
        self._ranges: dict[tuple[int, int], dict[int, list[Entry]]] = {}
        for rule in rules:
            for text in rule.hosts:
                self._add(HostPattern.parse(text), rule)

    def _add(self, pattern: HostPattern, rule: HostRule) -> None:
        entry = (pattern.port, rule)
        match pattern.kind:
            case PatternKind.ANY:
                self._any.append(entry)
            case PatternKind.EXACT:
                self._exact.setdefault(pattern.name, []).append(entry)
            case PatternKind.SUBDOMAINS:
                self._below.setdefault(pattern.name, []).append(entry)
            case PatternKind.DOMAIN:
                self._exact.setdefault(pattern.name, []).append(entry)
                self._below.setdefault(pattern.name, []).append(entry)
            case PatternKind.NETWORK:
                assert pattern.network is not None
                self._add_range(pattern.network, entry)

    def _add_range(self, network: Network, entry: Entry) -> None:
        ranges = self._ranges.setdefault((network.version, network.prefixlen), {})
        ranges.setdefault(int(network.network_address), []).append(entry)

    def rules(self, host: Host, port: int) -> tuple[HostRule, ...]:
        """Every rule that names the destination, each once."""
        named = self._named(host)
        if not named:
            entries = self._any
        elif len(named) == 1 and not self._any:
            entries = named[0]
        else:
            entries = [*self._any, *(entry for found in named for entry in found)]
        if not entries:
            return ()
        if len(entries) == 1:
            only, rule = entries[0]
            return (rule,) if only is None or only == port else ()
        distinct = {id(rule): rule for only, rule in entries if only is None or only == port}
        return tuple(distinct.values())

    def spelled(self, host: Host, port: int) -> tuple[HostRule, ...]:
        """The rules that name a host in full, and not by a pattern of which a client could choose a part; an address by
        itself, or by a range that is not half the world."""
        if host.address is not None:
            entries = self._covering(host.address, least=_NARROW[ip_address(host.address).version])
        else:
            entries = self._exact.get(host.name, [])
        return tuple(rule for only, rule in entries if only is None or only == port)

    def with_port(self, host: Host, port: int) -> tuple[HostRule, ...]:
        """The rules that name a destination by its port too."""
        entries = (*self._any, *(entry for found in self._named(host) for entry in found))
        return tuple(rule for only, rule in entries if only == port)

    def _named(self, host: Host) -> list[list[Entry]]:
        if host.address is not None:
            return [self._covering(host.address)]
        exact = self._exact.get(host.name)
        found = [] if exact is None else [exact]
        if self._below:
            rest, dot = host.name, "."
            while dot:
                _, dot, rest = rest.partition(".")
                below = self._below.get(rest)
                if below is not None:
                    found.append(below)
        return found

    def _covering(self, text: str, *, least: int = 0) -> list[Entry]:
        address = ip_address(text)
        value, bits = int(address), address.max_prefixlen
        found: list[Entry] = []
        for (version, length), ranges in self._ranges.items():
            if version == address.version and length >= least:
                found.extend(ranges.get(value >> (bits - length) << (bits - length), ()))
        return found
