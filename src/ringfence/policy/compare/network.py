"""Differences between two policies about connections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ringfence.policy.compare.destinations import Connection, HostKind, HostKinds, Named, connections
from ringfence.policy.compare.difference import Area, Difference, Side, looser, side
from ringfence.policy.evaluate import Evaluator


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A representative connection with what both policies decide about it."""

    connection: Connection
    before: Side
    after: Side


def judged(before: Evaluator, after: Evaluator, *, more: Iterable[Named] = ()) -> list[Judged]:
    """Every kind of connection; `more` is what has to be told apart too."""
    limited = (*before.policy.network.limited, *after.policy.network.limited)
    reading = Named(hosts=tuple(one.hosts for one in limited), methods=("GET",))
    kinds = HostKinds((*before.policy.network.rules, *after.policy.network.rules), more=(*more, reading))
    return [
        Judged(connection=one, before=side(before.evaluate(one.action)), after=side(after.evaluate(one.action)))
        for hosts in (kinds.names(), kinds.addresses())
        for one in connections(hosts)
    ]


def network_differences(cases: Iterable[Judged]) -> Iterator[Difference]:
    """One difference for each kind of host and each pair of deciding rules, shown by the simplest connection."""
    groups: dict[tuple[HostKind, Side, Side], list[Judged]] = {}
    for case in cases:
        if case.before.verdict is not case.after.verdict:
            groups.setdefault((case.connection.host, case.before, case.after), []).append(case)
    for (host, before, after), members in groups.items():
        yield Difference(
            area=Area.NETWORK,
            what=_described(host, [member.connection for member in members]),
            action=members[0].connection.action,
            before=before,
            after=after,
        )


def _described(host: HostKind, members: list[Connection]) -> str:
    ports = list(dict.fromkeys(member.port for member in members))
    methods = list(dict.fromkeys(member.method for member in members))
    paths = list(dict.fromkeys(member.path for member in members))
    parts = [host.text]
    if ports != ["any"]:
        parts.append(f"port {', '.join(ports)}" if ports != ["other"] else "other ports")
    if any(methods):
        parts.append(", ".join(method or "unseen requests" for method in methods))
    if any(paths):
        parts.append("paths such as " + ", ".join(path for path in paths[:3] if path))
    return ": ".join((parts[0], "; ".join(parts[1:]))) if len(parts) > 1 else parts[0]


__all__ = ["Judged", "judged", "looser", "network_differences"]
