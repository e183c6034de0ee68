"""Representative connections: for two policies, a finite set in which every difference between them has an example.

Rules name hosts by trees (names, and ranges of addresses) and by port, method and path. Two connections that the same
patterns match get the same verdict, so one of each kind stands for all. Which verdict, only the evaluator says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import ip_address
from itertools import chain, count, product

import msgspec

from ringfence.model.action import ConnectAction, RequestFacts
from ringfence.model.host import HOST_LOOPBACK
from ringfence.model.host_pattern import HostPattern, Network, PatternKind
from ringfence.policy.compare.address_classes import address_kinds
from ringfence.policy.compare.limits import MAX_ACTIONS, TooLarge
from ringfence.policy.compare.path_classes import url_paths
from ringfence.policy.effective import HostRule
from ringfence.policy.operations import covered

OTHER = "other"
"""Stands for every port, method or path that no rule names."""

_LABELS = ("anything", "other", "unnamed", *"xyzabcdefghijklmnopqrstuvw0123456789_")
_PORTS = (443, 80, 8443, 22, 8080, 9418)
_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "OTHER")
_UNCLEAR_PATH = "/a;b"
"""A path that a server may read as another one than we do: every such path is treated alike."""
_LONGEST_NAME = 253


class Entry(msgspec.Struct, frozen=True):
    """What one pattern of a rule asks for beside the host."""

    port: int | None
    methods: tuple[str, ...]
    paths: tuple[str, ...]
    facts: tuple[RequestFacts, ...] = ()
    """Requests that a rule tells from others by more than that."""


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """Hosts, methods and paths that something else than a host rule names."""

    hosts: tuple[str, ...]
    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


class HostKind(msgspec.Struct, frozen=True, kw_only=True):
    """Hosts that the same patterns match."""

    text: str
    """All of them, for people."""
    example: str
    entries: tuple[Entry, ...]
    """Of every pattern that matches them."""
    is_address: bool = False


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """One representative connection, and what it stands for."""

    action: ConnectAction
    host: HostKind
    port: str
    method: str
    path: str


class HostKinds:
    """The patterns of the rules of two policies, and all kinds of hosts that they tell apart."""

    def __init__(self, rules: Iterable[HostRule], *, more: Iterable[Named] = ()) -> None:
        self._exact: dict[str, list[Entry]] = {HOST_LOOPBACK: []}
        self._below: dict[str, list[Entry]] = {}
        self._any: list[Entry] = []
        self._ranges: dict[Network, list[Entry]] = {}
        for rule in rules:
            for text in rule.hosts:
                self._add(HostPattern.parse(text), rule.methods, rule.paths, _told_apart(rule))
        for one in more:
            for text in one.hosts:
                self._add(HostPattern.parse(text), one.methods, one.paths)

    def _add(
        self,
        pattern: HostPattern,
        methods: tuple[str, ...],
        paths: tuple[str, ...],
        facts: tuple[RequestFacts, ...] = (),
    ) -> None:
        entry = Entry(pattern.port, methods, paths, facts)
        match pattern.kind:
            case PatternKind.ANY:
                self._any.append(entry)
            case PatternKind.NETWORK:
                assert pattern.network is not None
                self._ranges.setdefault(pattern.network, []).append(entry)
            case PatternKind.EXACT:
                self._exact.setdefault(pattern.name, []).append(entry)
            case PatternKind.SUBDOMAINS | PatternKind.DOMAIN:
                self._below.setdefault(pattern.name, []).append(entry)
                if pattern.kind is PatternKind.DOMAIN:
                    self._exact.setdefault(pattern.name, []).append(entry)

    def names(self) -> Iterator[HostKind]:
        """Kinds of names: each that is written, what else lies below each domain, and a name nobody mentions."""
        written = dict.fromkeys((*self._exact, *self._below))
        for name in written:
            yield HostKind(text=name, example=name, entries=self._matching(name))
        taken = {ancestor for name in written for ancestor in (name, *_above(name))}
        for domain in self._below:
            fresh = _fresh_below(domain, taken)
            if fresh is not None:
                text = f"other names below {domain}"
                yield HostKind(text=text, example=fresh, entries=self._matching(fresh))
        unnamed = next(name for name in _unnamed() if not taken & {name, *_above(name)})
        yield HostKind(text="every name that no rule names", example=unnamed, entries=self._matching(unnamed))

    def addresses(self) -> Iterator[HostKind]:
        """Kinds of addresses."""
        by_size: dict[tuple[int, int], dict[int, list[Entry]]] = {}
        for network, entries in self._ranges.items():
            by_size.setdefault((network.version, network.prefixlen), {})[int(network.network_address)] = entries
        for kind in address_kinds(self._ranges):
            address = ip_address(kind.example)
            value, bits = int(address), address.max_prefixlen
            found = [
                entry
                for (version, length), bases in by_size.items()
                if version == address.version
                for entry in bases.get(value >> (bits - length) << (bits - length), ())
            ]
            text = kind.example if kind.range.num_addresses == 1 else f"addresses of {kind.range}"
            yield HostKind(text=text, example=kind.example, entries=_distinct(self._any, found), is_address=True)

    def _matching(self, name: str) -> tuple[Entry, ...]:
        found = [*self._exact.get(name, ())]
        for domain in _above(name):
            found.extend(self._below.get(domain, ()))
        return _distinct(self._any, found)


def ports_of(kind: HostKind) -> tuple[tuple[int, str], ...]:
    """Every port that a rule about these hosts names, and one that none names, each with how people read it."""
    named = {entry.port for entry in kind.entries if entry.port is not None}
    other = next((port for port in chain(_PORTS, range(1, 65536)) if port not in named), None)
    free = [] if other is None else [(other, OTHER if named else "any")]
    return (*free, *((port, str(port)) for port in sorted(named)))


def connections(kinds: Iterable[HostKind]) -> Iterator[Connection]:
    """The representative connections of some kinds of hosts."""
    told = 0
    for kind in kinds:
        for port, port_text in ports_of(kind):
            requests = [entry for entry in kind.entries if entry.port in (None, port)]
            for (method, method_text, path, path_text), facts in product(_requests(requests), _facts(requests)):
                told += 1
                if told > MAX_ACTIONS:
                    raise TooLarge(f"the host rules make more than {MAX_ACTIONS} kinds of connections")
                action = ConnectAction(host=kind.example, port=port, method=method, path=path, facts=facts)
                text = " ".join(filter(None, (method_text, _shown(facts))))
                yield Connection(action=action, host=kind, port=port_text, method=text, path=path_text)


def _requests(entries: list[Entry]) -> Iterator[tuple[str | None, str, str | None, str]]:
    """Every kind of method with every kind of path; what cannot be seen is one of each."""
    named = dict.fromkeys(method for entry in entries for method in entry.methods)
    globs = frozenset(glob for entry in entries for glob in entry.paths)
    methods: list[tuple[str | None, str]] = [(None, "")]
    if named:
        methods += [(method, method) for method in named]
        methods.append((next(one for one in _fresh_methods() if one not in named), OTHER))
    paths: list[tuple[str | None, str]] = [(None, "")]
    if globs:
        paths += [(path, path) for path in (*_paths(globs), _UNCLEAR_PATH)]
    for method, method_text in methods:
        for path, path_text in paths:
            yield method, method_text, path, path_text


def _facts(entries: list[Entry]) -> list[RequestFacts | msgspec.UnsetType]:
    """What was not looked for, and every kind of what rules look for."""
    return [msgspec.UNSET, *dict.fromkeys(one for entry in entries for one in entry.facts)]


def _told_apart(rule: HostRule) -> tuple[RequestFacts, ...]:
    """The requests that a rule speaks about, by what it asks beside method and path, and one that it does not."""
    if not rule.operations and not rule.query and not rule.headers:
        return ()
    query = tuple((key, _example(glob)) for key, glob in rule.query)
    headers = tuple((key, _example(glob)) for key, glob in rule.headers)
    meant = sorted(covered(rule.operations)) or ["read", "write"]
    other = RequestFacts(operations=("read",)), RequestFacts(operations=("write",))
    return (*(RequestFacts(operations=(one,), query=query, headers=headers) for one in meant), *other)


def _example(glob: str) -> str:
    """A text that a glob matches; the glob itself where none is found easily."""
    text = re.sub(r"\[!?(.)[^\]]*\]", r"\1", glob).replace("*", "x").replace("?", "x")
    return text if fnmatchcase(text, glob) else glob


def _shown(facts: RequestFacts | msgspec.UnsetType) -> str:
    if not isinstance(facts, RequestFacts):
        return ""
    return ", ".join((*facts.operations, *(f"{key}={value}" for key, value in (*facts.query, *facts.headers))))


@lru_cache(maxsize=1024)
def _paths(globs: frozenset[str]) -> tuple[str, ...]:
    return tuple("/" + "/".join(map(_quoted, names)) for names in url_paths(globs))


def _quoted(name: str) -> str:
    return "".join(one if one.isalnum() or one in "-_.~" else f"%{ord(one):02x}" for one in name)


def _fresh_methods() -> Iterator[str]:
    yield from _METHODS
    yield from (f"OTHER{number}" for number in count(1))


def _above(name: str) -> Iterator[str]:
    at = name.find(".")
    while at >= 0:
        yield name[at + 1 :]
        at = name.find(".", at + 1)


def _fresh_below(domain: str, taken: set[str]) -> str | None:
    """A name below a domain that lies at or below no other written name; none where it would be too long."""
    labels = chain(_LABELS, (f"x{number}" for number in range(len(taken))))
    names = (f"{label}.{domain}" for label in labels)
    return next((name for name in names if name not in taken and len(name) <= _LONGEST_NAME), None)


def _unnamed() -> Iterator[str]:
    yield from ("unnamed.example", "unnamed.test", "unnamed")
    yield from (f"unnamed{number}" for number in count(1))


def _distinct(*entries: Iterable[Entry]) -> tuple[Entry, ...]:
    return tuple(dict.fromkeys(entry for several in entries for entry in several))
