"""What all layers say about destinations, as one: presets' rules give way to those of the same id, an allow counts only
from who may open, and what an administrator wants to be looked into is never passed through.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import msgspec

from ringfence.model.decision import Verdict
from ringfence.model.host import HOST_LOOPBACK, parse_host
from ringfence.model.host_pattern import HostPattern, PatternKind
from ringfence.policy.choosing import distrust
from ringfence.policy.credentials import overlap
from ringfence.policy.documents import Document
from ringfence.policy.effective import CommandRule, HostRule, Inspect, McpRule, NetworkPolicy, Origin
from ringfence.policy.layers import Layer
from ringfence.policy.merge_content import looking
from ringfence.policy.merge_models import limited_hosts
from ringfence.policy.merging import Merging

_Rule = TypeVar("_Rule", HostRule, CommandRule, McpRule)


def merged_network(merging: Merging) -> NetworkPolicy:
    """Where data can go."""
    defaults = [(document, document.network.default) for document in merging.documents]
    default, origin = merging.scalar("network.default", defaults, lambda verdict: verdict.strictness, Verdict.DENY)
    floors = [one.network.default for one in merging.documents if one.layer is Layer.REQUIREMENTS]
    written = [floor for floor in floors if floor is not None]
    floor = max(written, key=lambda one: one[0].strictness, default=None)
    ports = _host_ports(merging)
    return NetworkPolicy(
        default=default,
        default_origin=origin,
        rules=(
            *merged_rules(merging, [(document, _opening(document)) for document in merging.documents]),
            *(_port_rule(port, at) for port, at in ports.items()),
        ),
        host_ports=tuple(ports),
        pass_through=_passed_through(merging),
        floor=None if floor is None else floor[0],
        floor_origin=None if floor is None else floor[1],
        inspect=tuple(
            Inspect(hosts=hosts, origin=at) for document in merging.documents for hosts, at in document.network.inspect
        ),
        http2=tuple(
            Inspect(hosts=hosts, origin=at) for document in merging.documents for hosts, at in document.network.http2
        ),
        limited=tuple(
            Inspect(hosts=hosts, origin=at) for document in merging.documents for hosts, at in document.network.limited
        ),
    )


def merged_rules(merging: Merging, layers: list[tuple[Document, tuple[_Rule, ...]]]) -> tuple[_Rule, ...]:
    """The rules of one kind that count: of hosts, commands or tools."""
    replaced = {
        rule.id: rule.origin
        for document, rules in layers
        if document.layer in {Layer.MANAGED, Layer.USER, Layer.PROJECT} and document.trusted
        for rule in rules
    }
    kept: list[_Rule] = []
    for document, rules in layers:
        for rule in rules:
            what = f"rule `{rule.id}`"
            if document.layer is Layer.PRESET and rule.id in replaced:
                by = replaced[rule.id]
                merging.skip(rule.origin, what, f"that of {by.source} takes its place", by, told=False)
                continue
            if rule.verdict is Verdict.ALLOW and not document.trusted:
                merging.skip(rule.origin, what, distrust(document))
                continue
            kept.append(rule)
    return tuple(kept)


def _passed_through(merging: Merging) -> tuple[str, ...]:
    """Hosts that are not looked into; those that an administrator wants to be seen always are."""
    binding = [document.credentials for document in merging.documents if document.layer.binds]
    bound = [(host, rule.origin) for one in binding for rule in one.rules for host in rule.hosts]
    bound += [(host, rule.origin) for one in binding for rule in one.forbidden for host in rule.hosts]
    seen = [one for document in merging.documents if document.layer.binds for one in _seen(document)]
    models = limited_hosts(merging.documents)
    kept: list[str] = []
    for document in merging.documents:
        for pattern, origin in document.network.pass_through:
            what = f"passing `{pattern}` through"
            at = next((at for host, at in bound if overlap(host, pattern)), None)
            if not document.trusted:
                merging.skip(origin, what, distrust(document))
            elif at is not None and not document.layer.binds:
                why = f"{at.source} speaks about credentials there, so that it has to be looked into"
                merging.skip(origin, what, why, at)
            elif not document.layer.binds and (seeing := [at for host, at in seen if _within(pattern, host)]):
                why = f"{seeing[0].source} wants what is said there to be looked into"
                merging.skip(origin, what, why, seeing[0])
            elif (said := next((at for host, at in models if overlap(host, pattern)), None)) is not None:
                why = f"{said.source} limits what is asked of models there, so that it has to be looked into"
                merging.skip(origin, what, why, said)
            else:
                kept.append(pattern)
                merging.origins.setdefault(f"network.pass_through.{pattern}", origin)
    return tuple(dict.fromkeys(kept))


def _host_ports(merging: Merging) -> dict[int, Origin]:
    ports: dict[int, Origin] = {}
    for document in merging.documents:
        for port, origin in document.network.host_ports:
            if document.trusted:
                ports.setdefault(port, origin)
                merging.origins.setdefault(f"network.host_ports.{port}", origin)
            else:
                merging.skip(origin, f"host port {port}", distrust(document))
    return dict(sorted(ports.items()))


def _seen(document: Document) -> Iterator[tuple[str, Origin]]:
    """The destinations that a document wants to be looked into: for what leaves, every one."""
    network = document.network
    yield from (*network.inspect, *network.limited, *network.http2, *(("*", at) for at in looking(document)))


def _within(pattern: str, wider: str) -> bool:
    """Whether all of a pattern is certainly within another. What is in part is told apart for each connection."""
    one, other = HostPattern.parse(pattern), HostPattern.parse(wider)
    if other.port not in (None, one.port):
        return False
    same = msgspec.structs.replace(one, port=other.port) == other
    exact = one.kind is PatternKind.EXACT and other.matches(parse_host(one.name), other.port or 0)
    return other.kind is PatternKind.ANY or same or exact


def _opening(document: Document) -> tuple[HostRule, ...]:
    """The host rules of a document; those of a layer that only tightens cannot turn a default deny into a question."""
    if document.trusted and document.layer is not Layer.REQUIREMENTS:
        return document.network.rules
    return tuple(msgspec.structs.replace(rule, opens=False) for rule in document.network.rules)


def _port_rule(port: int, origin: Origin) -> HostRule:
    """A port of the host that was asked for is a destination that is allowed: one line of policy, not two."""
    return HostRule(
        id=f"network.host_ports.{port}",
        hosts=(f"{HOST_LOOPBACK}:{port}",),
        verdict=Verdict.ALLOW,
        reason="named in `network.host_ports`",
        origin=origin,
    )
