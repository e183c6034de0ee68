"""`[network]`: the verdict for hosts that no rule names, the rules, and ports of the host's own loopback."""

from __future__ import annotations

import re

import msgspec

from ringfence.model.decision import Verdict
from ringfence.model.host_pattern import HostPattern
from ringfence.policy.effective import HostRule, Origin
from ringfence.policy.globs import Glob
from ringfence.policy.layers import Layer
from ringfence.policy.schema import Table, escaped

MAX_RULES = 5_000

_METHOD = re.compile(r"[A-Za-z]{1,20}")


class NetworkSection(msgspec.Struct, frozen=True, kw_only=True):
    """What one document says about the network."""

    default: tuple[Verdict, Origin] | None = None
    rules: tuple[HostRule, ...] = ()
    host_ports: tuple[tuple[int, Origin], ...] = ()


def section(table: Table, layer: Layer) -> NetworkSection:
    """Read `[network]`."""
    default = table.take_choice("default", Verdict, among=(Verdict.DENY, Verdict.ASK))
    if layer is Layer.REQUIREMENTS and table.has("host_ports"):
        table.fault("host_ports", "`host_ports` opens a port, and requirements only tighten; write it in `policy.toml`")
    ids: dict[str, str] = {}
    rules = [_rule(entry, ids, layer) for entry in table.take_tables("rule", most=MAX_RULES)]
    ports = _ports(table)
    table.finish()
    return NetworkSection(
        default=None if default is None else (default, table.faults.origin(table.at("default"))),
        rules=tuple(rule for rule in rules if rule is not None),
        host_ports=ports,
    )


def _rule(table: Table, ids: dict[str, str], layer: Layer) -> HostRule | None:
    verdict = table.take_choice("verdict", Verdict)
    hosts = _hosts(table)
    methods = _methods(table)
    paths = _paths(table)
    reason = table.take_text("reason", "")
    rule_id = take_id(table, ids, default=_named(hosts, verdict))
    complete = table.require("hosts", "verdict")
    table.finish()
    if verdict is Verdict.ALLOW and layer is Layer.REQUIREMENTS:
        table.fault("verdict", "requirements only tighten; a rule that allows belongs in `policy.toml`")
    if not complete or verdict is None:
        return None
    return HostRule(
        id=rule_id,
        hosts=hosts,
        methods=methods,
        paths=paths,
        verdict=verdict,
        reason=reason or "",
        origin=table.faults.origin(table.path),
    )


def take_id(table: Table, ids: dict[str, str], *, default: str) -> str:
    """The id of a rule, unique in its file; one is made of its content where none is written."""
    written = table.take_text("id")
    if written is None:
        return default
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", written):
        table.fault("id", f"id `{escaped(written)}` is not letters, digits, `.`, `_` and `-`")
    elif written in ids:
        table.fault("id", f"id `{written}` is already used at `{ids[written]}`")
    else:
        ids[written] = table.faults.origin(table.at("id")).source
    return written


def _hosts(table: Table) -> tuple[str, ...]:
    found = []
    for path, text in table.take_texts("hosts"):
        try:
            found.append(str(HostPattern.parse(text)))
        except ValueError as error:
            table.faults.add(path, str(error))
    if table.is_empty("hosts"):
        table.fault("hosts", "`hosts` is empty; name at least one host")
    return tuple(found)


def _methods(table: Table) -> tuple[str, ...]:
    found = []
    for path, text in table.take_texts("methods"):
        if _METHOD.fullmatch(text):
            found.append(text.upper())
        else:
            table.faults.add(path, f"`{escaped(text)}` is not an HTTP method")
    return tuple(found)


def _paths(table: Table) -> tuple[str, ...]:
    found = []
    for path, text in table.take_texts("paths"):
        try:
            Glob(text)
        except ValueError as error:
            table.faults.add(path, str(error))
            continue
        if text.startswith("/") and "?" not in text:
            found.append(text)
        else:
            table.faults.add(path, f"`{escaped(text)}` is not the path of a URL; it begins with `/` and has no query")
    return tuple(found)


def _ports(table: Table) -> tuple[tuple[int, Origin], ...]:
    found = []
    for path, value in table.take_list("host_ports"):
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536:
            found.append((value, table.faults.origin(path)))
        else:
            table.faults.add(path, "`host_ports` holds port numbers from 1 to 65535")
    return tuple(found)


def _named(hosts: tuple[str, ...], verdict: Verdict | None) -> str:
    return f"network.{verdict.value if verdict else 'rule'}:{hosts[0] if hosts else ''}"
