"""`[network]`: the verdict for hosts that no rule names, the rules, registries, and ports of the host's loopback."""

from __future__ import annotations

import re

import msgspec

from ringfence.model.canonical import digest
from ringfence.model.decision import Verdict
from ringfence.model.host_pattern import HostPattern, PatternKind
from ringfence.policy.effective import HostRule, Origin
from ringfence.policy.globs import Glob
from ringfence.policy.host_keys import ANY_KEY, parse_key, published
from ringfence.policy.layers import Layer
from ringfence.policy.operations import KINDS
from ringfence.policy.protocols import PORTS, Protocol
from ringfence.policy.schema import Table, escaped
from ringfence.policy.sections.names import take_enforcement, take_id

MAX_RULES = 200_000
"""Rules in one file; each may name many hosts."""

REGISTRIES = ("pip", "uv", "npm", "pnpm", "yarn", "cargo", "go", "maven", "gradle", "apt")
"""Package managers whose own settings say which hosts they fetch from."""

SECRET_FIELDS = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "x-goog-api-key", "api-key"})
"""Header fields that no rule looks at: their values would be on record."""

_METHOD = re.compile(r"[A-Za-z]{1,20}")


class NetworkSection(msgspec.Struct, frozen=True, kw_only=True):
    """What one document says about the network."""

    default: tuple[Verdict, Origin] | None = None
    rules: tuple[HostRule, ...] = ()
    host_ports: tuple[tuple[int, Origin], ...] = ()
    pass_through: tuple[tuple[str, Origin], ...] = ()
    """Hosts whose connections are never looked into."""
    registries: tuple[tuple[str, Origin], ...] = ()
    """Package managers whose registries are opened; the session looks up where those are."""
    inspect: tuple[tuple[str, Origin], ...] = ()
    """Destinations whose TLS ends in the gateway, so that it sees every request."""
    http2: tuple[tuple[str, Origin], ...] = ()
    """The same, with HTTP/2 as well."""
    limited: tuple[tuple[str, Origin], ...] = ()
    """Destinations whose requests only read."""


def section(table: Table, layer: Layer) -> NetworkSection:
    """Read `[network]`."""
    about = "The verdict for hosts that no rule names."
    default = table.take_choice("default", Verdict, among=(Verdict.DENY, Verdict.ASK), about=about)
    if layer is Layer.REQUIREMENTS and table.has("host_ports"):
        table.fault("host_ports", "`host_ports` opens a port, and requirements only tighten; write it in `policy.toml`")
    if layer is Layer.REQUIREMENTS and table.has("registries"):
        table.fault("registries", "`registries` opens hosts, and requirements only tighten; write it in `policy.toml`")
    if layer is Layer.REQUIREMENTS and table.has("pass_through"):
        text = "`pass_through` closes our eyes, and requirements only tighten; write it in `policy.toml`"
        table.fault("pass_through", text)
    ids: dict[str, str] = {}
    about = "One rule about destinations."
    rules = [_rule(entry, ids, layer) for entry in table.take_tables("rule", most=MAX_RULES, about=about)]
    ports = _ports(table)
    passed = _passed_through(table)
    registries = _registries(table)
    inspect = _patterns(
        table, "inspect", about="Destinations whose TLS the gateway ends, so that it sees each request."
    )
    about = "Destinations that are inspected, and whose clients may speak HTTP/2, as gRPC does."
    http2 = _patterns(table, "http2", about=about)
    about = "Destinations that only take `GET`, `HEAD` and `OPTIONS`, unless a rule names what else is allowed."
    limited = _patterns(table, "limited", about=about)
    table.finish()
    return NetworkSection(
        default=None if default is None else (default, table.faults.origin(table.at("default"))),
        rules=tuple(rule for rule in rules if rule is not None),
        host_ports=ports,
        pass_through=passed,
        registries=registries,
        inspect=inspect,
        http2=http2,
        limited=limited,
    )


def _rule(table: Table, ids: dict[str, str], layer: Layer) -> HostRule | None:
    verdict = table.take_choice("verdict", Verdict, about="What may happen with such a connection.")
    protocol = table.take_choice("protocol", Protocol, about="What is spoken there; HTTP and TLS where it is missing.")
    hosts = _with_ports(table, _hosts(table), protocol)
    host_keys = _host_keys(table, hosts, protocol)
    methods = _methods(table)
    paths = _paths(table)
    operations = _operations(table)
    query = _predicates(table, "query", about="Keys of the query, each with a glob; all of them have to match.")
    headers = _predicates(table, "headers", about="Header fields, each with a glob; all of them have to match.")
    looking = (methods, paths, operations, query, headers)
    private = _private(table, hosts, verdict)
    if protocol is not None:
        _check_protocol(table, layer, verdict, looks=any(looking))
    reason = table.take_text("reason", "", about="Why, for the person who is asked or denied.")
    rule_id = take_id(table, ids, default=_named(hosts, verdict, looking))
    enforcement = take_enforcement(table)
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
        operations=operations,
        query=query,
        headers=tuple((name.lower(), value) for name, value in headers),
        verdict=verdict,
        private=private,
        protocol="" if protocol is None else protocol.value,
        host_keys=host_keys,
        reason=reason or "",
        origin=table.faults.origin(table.path),
        enforcement=enforcement,
    )


def _hosts(table: Table) -> tuple[str, ...]:
    found = []
    for path, text in table.take_texts(
        "hosts", about="Destinations: `x.test`, `*.x.test`, `**.x.test`, addresses, ranges; each with `:port`."
    ):
        try:
            found.append(str(HostPattern.parse(text)))
        except ValueError as error:
            table.faults.add(path, str(error))
    if table.is_empty("hosts"):
        table.fault("hosts", "`hosts` is empty; name at least one host")
    return tuple(found)


def _with_ports(table: Table, hosts: tuple[str, ...], protocol: Protocol | None) -> tuple[str, ...]:
    """The hosts of a rule for a protocol, each with the port it means."""
    if protocol is None:
        return hosts
    found = []
    for text in hosts:
        pattern = HostPattern.parse(text)
        if pattern.port is None and protocol not in PORTS:
            table.fault("hosts", f"`{text}` has no port, and `tcp` is whatever listens at one; write `{text}:PORT`")
        found.append(str(msgspec.structs.replace(pattern, port=pattern.port or PORTS.get(protocol))))
    return tuple(found)


def _check_protocol(table: Table, layer: Layer, verdict: Verdict | None, *, looks: bool) -> None:
    if verdict is Verdict.DENY:
        text = "`protocol` says what may be spoken; a rule that denies is about every protocol, so leave it out"
        table.fault("protocol", text)
    if layer is Layer.REQUIREMENTS:
        table.fault("protocol", "`protocol` opens one, and requirements only tighten; write it in `policy.toml`")
    if looks:
        text = "`protocol` is about connections that are not HTTP, and the same rule is about HTTP requests; write two"
        table.fault("protocol", text)


def _host_keys(table: Table, hosts: tuple[str, ...], protocol: Protocol | None) -> tuple[str, ...]:
    found = []
    about = "For `ssh`: the keys that the server may show, as `SHA256:...` or whole; `*` takes any."
    for path, text in table.take_texts("host_keys", about=about):
        try:
            found.append(text if text == ANY_KEY else str(parse_key(text)))
        except ValueError as error:
            table.faults.add(path, escaped(str(error)))
    if protocol is not Protocol.SSH:
        if table.has("host_keys"):
            table.fault("host_keys", '`host_keys` are those of an SSH server; the rule needs `protocol = "ssh"`')
    elif not found and not table.has("host_keys"):
        _require_published(table, hosts)
    elif table.is_empty("host_keys"):
        table.fault("host_keys", "`host_keys` is empty; name at least one key")
    return tuple(found)


def _require_published(table: Table, hosts: tuple[str, ...]) -> None:
    # SECURITY: without a key, whoever answers at that address is taken for the server.
    for text in hosts:
        pattern = HostPattern.parse(text)
        if pattern.kind is not PatternKind.EXACT or not published(pattern.name):
            host = pattern.name or "HOST"
            words = (
                f"`host_keys` is missing here, and the keys of `{text}` are not among those that come with Ringfence; "
                f"`ssh-keyscan {host} | ssh-keygen -lf -` shows what answers there now, "
                '`host_keys = ["*"]` takes any'
            )
            table.faults.add(table.path, words)


def _private(table: Table, hosts: tuple[str, ...], verdict: Verdict | None) -> bool:
    about = "Whether these names may lead to addresses of your own network, such as 10.0.0.0/8."
    private = table.take_flag("private", about=about)
    if not private:
        return False
    if verdict not in (None, Verdict.ALLOW):
        table.fault("private", "`private` says where an allowed name may lead; a rule that allows can have it")
    if any(HostPattern.parse(text).kind is PatternKind.ANY for text in hosts):
        # SECURITY: anybody can own a name that leads to the person's router.
        table.fault("private", "`*` is everybody's names; name the hosts of your own network")
    return True


def _methods(table: Table) -> tuple[str, ...]:
    found = []
    for path, text in table.take_texts("methods", about="HTTP methods; any where it is missing."):
        if _METHOD.fullmatch(text):
            found.append(text.upper())
        else:
            table.faults.add(path, f"`{escaped(text)}` is not an HTTP method")
    return tuple(found)


def _operations(table: Table) -> tuple[str, ...]:
    found = []
    about = (
        "What requests do, as the gateway reads it: `read`, `write`, `git-push` and others; any where it is missing."
    )
    for path, text in table.take_texts("operations", about=about):
        if text in KINDS:
            found.append(text)
        else:
            listed = ", ".join(f"`{one}`" for one in KINDS)
            table.faults.add(path, f"`{escaped(text)}` is nothing that requests do; known are {listed}")
    return tuple(found)


def _predicates(table: Table, key: str, *, about: str) -> tuple[tuple[str, str], ...]:
    inner = table.take_table(key, about=about)
    pairs = inner.take_pairs()
    for name, _ in pairs:
        if key == "headers" and name.lower() in SECRET_FIELDS:
            inner.fault(name, f"`{escaped(name)}` holds secrets, which stand in no policy; bind a credential instead")
    return pairs


def _paths(table: Table) -> tuple[str, ...]:
    found = []
    for path, text in table.take_texts("paths", about="Globs over the path of the URL; any where it is missing."):
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
    for path, value in table.take_list(
        "host_ports", element="port", about="Ports of this machine's loopback that appear on the sandbox's own."
    ):
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536:
            found.append((value, table.faults.origin(path)))
        else:
            table.faults.add(path, "`host_ports` holds port numbers from 1 to 65535")
    return tuple(found)


def _passed_through(table: Table) -> tuple[tuple[str, Origin], ...]:
    found = []
    about = "Destinations, as in `hosts`, whose connections are never looked into: pinned or mutually authenticated."
    for path, text in table.take_texts("pass_through", about=about):
        try:
            found.append((str(HostPattern.parse(text)), table.faults.origin(path)))
        except ValueError as error:
            table.faults.add(path, str(error))
    return tuple(found)


def _registries(table: Table) -> tuple[tuple[str, Origin], ...]:
    found = []
    about = "Package managers; the hosts that their own settings name are opened."
    for path, name in table.take_texts("registries", about=about):
        if name in REGISTRIES:
            found.append((name, table.faults.origin(path)))
        else:
            listed = ", ".join(f"`{one}`" for one in REGISTRIES)
            table.faults.add(path, f"`{escaped(name)}` is not a package manager that is known here; known are {listed}")
    return tuple(found)


def _patterns(table: Table, key: str, *, about: str) -> tuple[tuple[str, Origin], ...]:
    found = []
    for path, text in table.take_texts(key, about=about):
        try:
            found.append((str(HostPattern.parse(text)), table.faults.origin(path)))
        except ValueError as error:
            table.faults.add(path, str(error))
    return tuple(found)


def _named(hosts: tuple[str, ...], verdict: Verdict | None, looking: tuple[object, ...]) -> str:
    name = f"network.{verdict.value if verdict else 'rule'}:{hosts[0] if hosts else ''}"
    # SECURITY: an answer is remembered for the rules that asked. Two about a host that ask about different requests are
    # not one.
    return f"{name}#{digest(looking).rpartition(':')[2][:8]}" if any(looking) and verdict is Verdict.ASK else name
