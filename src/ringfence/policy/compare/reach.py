"""Which addresses that are not public can be dialled under a policy, as the gateway decides it: by a rule that names
them, by a name that leads there, or as the host's own loopback.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address

import msgspec

from ringfence.model.action import ConnectAction
from ringfence.model.addresses import OWN_NETWORK, AddressKind, classify
from ringfence.model.decision import Verdict
from ringfence.model.host import HOST_LOOPBACK
from ringfence.model.host_pattern import HostPattern, Network
from ringfence.policy.compare.address_classes import address_kinds
from ringfence.policy.compare.destinations import ports_of
from ringfence.policy.compare.network import Judged
from ringfence.policy.effective import HostRule
from ringfence.policy.evaluate import Evaluator, declared_networks, denied_networks

_LOOPBACK = "127.0.0.1"


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """A connection that ends at an address which is not public, and how strictly each policy treats it."""

    action: ConnectAction
    address: str
    """Where it ends: the host itself, or where its name may lead."""
    kind: AddressKind
    before: Verdict
    after: Verdict


def newly_reached(cases: Iterable[Judged], before: Evaluator, after: Evaluator) -> Iterator[Reached]:
    """One example for each kind of address and change of verdict, where the second policy is less strict."""
    told: set[tuple[AddressKind, Verdict, Verdict, bool]] = set()
    first, second = _Dialled(before), _Dialled(after)
    cases = tuple(cases)
    for one in (*_literals(cases, first, second), *_names(cases, first, second)):
        key = (one.kind, one.before, one.after, one.action.host == one.address)
        if one.after.strictness < one.before.strictness and key not in told:
            told.add(key)
            yield one


def reach(evaluator: Evaluator, action: ConnectAction, address: str) -> Verdict:
    """How strictly a policy treats a connection that ends at an address: its verdict, or deny where the gateway does
    not dial it."""
    verdict = evaluator.evaluate(action).verdict
    if action.host == HOST_LOOPBACK:
        return verdict
    named = action.host != address
    declared = declared_networks(evaluator.policy, port=action.port, named=named)
    refused = denied_networks(evaluator.policy, port=action.port)
    parsed = ip_address(address)
    kind = classify(address).kind
    meant = kind is AddressKind.GLOBAL or any(parsed in one for one in declared)
    meant = meant or ((not named or kind in OWN_NETWORK) and evaluator.may_be_private(action))
    dialled = meant and not any(parsed in one for one in refused)
    return verdict if dialled else Verdict.DENY


class _Dialled:
    """The ranges that the rules of a policy declare and deny, by port: what `reach` reads, ready for many questions."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        rules = evaluator.policy.network.rules
        opening = [rule for rule in rules if rule.opens and rule.verdict is not Verdict.DENY]
        always = [rule for rule in opening if not rule.looks_at_requests]
        self._for_literals = _Ranges(always)
        self._for_names = _Ranges([rule for rule in always if rule.verdict is Verdict.ALLOW])
        self._denied = _Ranges([rule for rule in rules if rule.verdict is Verdict.DENY])
        named = _Ranges(opening)
        self.networks = {*named.networks, *self._denied.networks}
        self.ports = {*named.ports, *self._denied.ports}
        self.opens_for_names = bool(self._for_names.networks) or any(rule.private for rule in opening)

    def may_be_private(self, action: ConnectAction) -> bool:
        """Whether the name of a connection may lead into one's own network, or its address is what a rule means."""
        return self._evaluator.may_be_private(action)

    def allows_literal(self, action: ConnectAction) -> bool:
        """Whether the gateway dials an address that is not public, and that is written out."""
        return self.allows(action.host, action.port, named=False, private=self.may_be_private(action))

    def allows(self, address: str, port: int, *, named: bool, private: bool = False) -> bool:
        """Whether the gateway dials an address that is not public."""
        declared = self._for_names if named else self._for_literals
        meant = declared.hold(address, port) or (private and (not named or classify(address).kind in OWN_NETWORK))
        return meant and not self._denied.hold(address, port)


class _Ranges:
    def __init__(self, rules: Iterable[HostRule]) -> None:
        self._ports: dict[tuple[int, int], dict[int, set[int | None]]] = {}
        self.networks: set[Network] = set()
        self.ports: set[int] = set()
        for rule in rules:
            for text in rule.hosts:
                pattern = HostPattern.parse(text)
                if pattern.network is not None:
                    self._add(pattern.network, pattern.port)

    def _add(self, network: Network, port: int | None) -> None:
        self.networks.add(network)
        self.ports.update(() if port is None else (port,))
        same_size = self._ports.setdefault((network.version, network.prefixlen), {})
        same_size.setdefault(int(network.network_address), set()).add(port)

    def hold(self, address: str, port: int) -> bool:
        parsed = ip_address(address)
        value, bits = int(parsed), parsed.max_prefixlen
        for (version, length), ranges in self._ports.items():
            if version == parsed.version:
                ports = ranges.get(value >> (bits - length) << (bits - length), set())
                if None in ports or port in ports:
                    return True
        return False


def _literals(cases: Iterable[Judged], first: _Dialled, second: _Dialled) -> Iterator[Reached]:
    """Connections to an address that is written out, and to the host's own loopback."""
    for case in cases:
        action = case.connection.action
        if action.host == HOST_LOOPBACK:
            yield _reached(action, _LOOPBACK, case.before.verdict, case.after.verdict)
        elif case.connection.host.is_address and classify(action.host).kind is not AddressKind.GLOBAL:
            yield _reached(
                action,
                action.host,
                case.before.verdict if first.allows_literal(action) else Verdict.DENY,
                case.after.verdict if second.allows_literal(action) else Verdict.DENY,
            )


def _names(cases: Iterable[Judged], first: _Dialled, second: _Dialled) -> Iterator[Reached]:
    """Connections to a name that leads to an address: at each port every pair of verdicts with every pair of ranges."""
    if not second.opens_for_names:
        return
    addresses = [
        kind.example
        for kind in address_kinds({*first.networks, *second.networks})
        if classify(kind.example).kind is not AddressKind.GLOBAL
    ]
    verdicts: dict[tuple[int, Verdict, Verdict, bool, bool], ConnectAction] = {}
    for case in cases:
        if case.connection.host.is_address or case.connection.action.host == HOST_LOOPBACK:
            continue
        for port in _same_ports(case, first.ports | second.ports):
            action = msgspec.structs.replace(case.connection.action, port=port)
            private = first.may_be_private(action), second.may_be_private(action)
            verdicts.setdefault((port, case.before.verdict, case.after.verdict, *private), action)
    for (port, before, after, was_private, is_private), action in verdicts.items():
        if after is Verdict.DENY:
            continue
        for address in addresses:
            yield _reached(
                action,
                address,
                before if first.allows(address, port, named=True, private=was_private) else Verdict.DENY,
                after if second.allows(address, port, named=True, private=is_private) else Verdict.DENY,
            )


def _same_ports(case: Judged, ports: set[int]) -> Iterator[int]:
    """The port of a connection, and where it stands for all that no rule about its host names, those among `ports`."""
    port = case.connection.action.port
    yield port
    named = {entry.port for entry in case.connection.host.entries}
    if port not in named:
        yield from (other for other in ports if other not in named and other != port)


def _reached(action: ConnectAction, address: str, before: Verdict, after: Verdict) -> Reached:
    return Reached(action=action, address=address, kind=classify(address).kind, before=before, after=after)


__all__ = ["Reached", "newly_reached", "ports_of", "reach"]
