"""Connections: the rules that name the destination, then those of its methods and paths that are known."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from fnmatch import fnmatchcase
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from ringfence.model.action import ConnectAction, Effect, EffectKind, RequestFacts
from ringfence.model.decision import Reason, Verdict
from ringfence.model.host import HOST_LOOPBACK, Host, parse_host
from ringfence.model.host_pattern import HostPattern, PatternKind
from ringfence.policy.credentials import CredentialTable
from ringfence.policy.effective import HostRule, Inspect, OnSecret, Origin, Policy
from ringfence.policy.globs import Glob, components
from ringfence.policy.graphql import UNKNOWN
from ringfence.policy.host_keys import ANY_KEY, fingerprints, published
from ringfence.policy.hosts import HostTable
from ringfence.policy.judges.finding import Finding, built_in, reason
from ringfence.policy.judges.model import ModelTable, Spent
from ringfence.policy.layers import Layer
from ringfence.policy.mcp_identity import address
from ringfence.policy.operations import SAFE, covered, needs_body, operations
from ringfence.policy.paths import BINDING
from ringfence.policy.protocols import HTTP, TLS, Protocol
from ringfence.policy.request_paths import every_meaning, every_name, leniently, plainly, query_key
from ringfence.policy.resolvers import DNS_OVER_TLS, is_public_resolver
from ringfence.policy.schema import escaped


class Sight(StrEnum):
    """How much of a connection the gateway sees."""

    INSPECTED = "inspected"
    """Every request."""
    PASSED_THROUGH = "passed through"
    """Nothing inside TLS, because a policy says so."""
    UNSEEN = "not inspected"
    """Nothing inside TLS, because nothing asks for it."""


class FactsWanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules about a destination ask about a request, beside its method and path."""

    operations: bool = False
    body: bool = False
    """Whether the body says what a request does."""
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    methods: bool = False
    """Whether it matters that a form may name another method."""
    calls: bool = False
    """Whether calls of tools over HTTP are judged by themselves, by rules about MCP."""

    @property
    def anything(self) -> bool:
        """Whether there is anything at all."""
        return self.operations or bool(self.query or self.headers)


class ConnectJudge:
    """The host rules of a policy."""

    def __init__(self, policy: Policy) -> None:
        self._network = policy.network
        self._table = HostTable(policy.network.rules)
        self._credentials = CredentialTable(policy.credentials)
        self._content = _looked_for(policy)
        self.models = ModelTable(policy.model)
        self._limits = _compiled(policy.network.limited)
        self._http2 = _compiled(policy.network.http2)
        self._inspect = (*_compiled(policy.network.inspect), *self._http2, *self._limits, *_tool_servers(policy))
        self._pass_through = tuple(
            (HostPattern.parse(hosts), policy.origin_of(f"network.pass_through.{hosts}"))
            for hosts in policy.network.pass_through
        )
        self._globs: dict[str, Glob] = {text: Glob(text) for rule in policy.network.rules for text in rule.paths}
        self._folded = {text: Glob(text.lower()) for text in self._globs}

    def sight(self, name: str, port: int) -> Sight:
        """Whether a destination is inspected: where requirements say so; else not where it is passed through, unless
        that is a person's wish and an administrator looks; else where a policy says so, a rule about it looks at
        requests, a credential is bound or forbidden there, or what leaves is looked into."""
        host = parse_host(name)
        wanted = [origin for pattern, origin in self._inspect if pattern.matches(host, port)]
        # Credentials are put into requests, or kept out of them, only where those are seen.
        wanted += self._credentials.saying(host, port)
        wanted += self._content_of(host, port) if self._content else []
        wanted += self.models.saying(host, port)
        if any(origin.layer == Layer.REQUIREMENTS for origin in wanted):
            return Sight.INSPECTED
        if self._streams(host, port):
            return Sight.UNSEEN
        bound = any(origin.layer in BINDING for origin in wanted)
        passed = self._passed(host, port)
        if passed is not None and (passed.layer in BINDING or not bound):
            return Sight.PASSED_THROUGH
        if wanted or self.needs_request(name, port):
            return Sight.INSPECTED
        return Sight.UNSEEN

    def spoken(self, action: ConnectAction) -> tuple[str, ...] | None:
        """The protocols that may be spoken on a connection of which no request is known; None for any, because it was
        not a rule that opened it but a person, who was told its port."""
        host, port = parse_host(action.host), action.port
        opening = [rule for rule in self._opening(host, port) if not rule.looks_at_requests]
        asked = any(rule.verdict is Verdict.ASK and not rule.protocol for rule in opening)
        if not opening or (asked and not self._content_over(host, port)):
            return None
        found = {rule.protocol for rule in opening if rule.protocol}
        if not found:
            return None if host.name == HOST_LOOPBACK else (HTTP, TLS)
        if not self._looked_into(host, port):
            # A database may be in TLS from the first byte. What requests are looked into for must not come this way.
            found |= {TLS} if found != {Protocol.SSH} else set()
            found |= {HTTP} if Protocol.TCP in found else set()
            found |= {HTTP, TLS} if any(not rule.protocol for rule in opening) else set()
        elif self.sight(action.host, port) is Sight.PASSED_THROUGH:
            # Whoever wants it looked into says that it is not to be.
            found |= {TLS} if found != {Protocol.SSH} else set()
        return tuple(sorted(found))

    def host_keys(self, action: ConnectAction) -> tuple[str, ...]:
        """Fingerprints of which an SSH server there has to show one; none where any will do."""
        host, port = parse_host(action.host), action.port
        rules = [rule for rule in self._opening(host, port) if rule.protocol == Protocol.SSH and rule.host_keys]
        if any(ANY_KEY in rule.host_keys for rule in rules):
            return ()
        if rules:
            return tuple(dict.fromkeys(key for rule in rules for key in fingerprints(rule.host_keys)))
        return tuple(key.fingerprint for key in published(host.name))

    def is_chosen(self, action: ConnectAction) -> bool:
        """Whether a client chose the name, or part of it: rules open it by a pattern only, and nobody was asked."""
        host, port = parse_host(action.host), action.port
        rules = self._opening(host, port)
        if not any(rule.verdict is Verdict.ALLOW for rule in rules) or host.address is not None:
            return False
        spelled = self._table.spelled(host, port)
        return not any(rule in spelled for rule in rules)

    def _opening(self, host: Host, port: int) -> list[HostRule]:
        """The rules that can open a destination: where an administrator's rules have to, those alone."""
        floor = self._network.floor is not None
        return [
            rule
            for rule in self._table.rules(host, port)
            if rule.verdict is not Verdict.DENY
            and rule.opens
            and _means(rule, host, port)
            and (not floor or rule.origin.layer in BINDING)
        ]

    def _streams(self, host: Host, port: int) -> bool:
        """Whether a rule opens it for a protocol that has no requests. `tcp` may have some, so it gives way to whoever
        wants to look into them."""
        spoken = {rule.protocol for rule in self._opening(host, port) if rule.protocol}
        return bool(spoken - {Protocol.TCP}) or (bool(spoken) and not self._looked_into(host, port))

    def _looked_into(self, host: Host, port: int) -> bool:
        """Whether anything wants to see the requests to a destination."""
        wanted = any(pattern.matches(host, port) for pattern, _ in self._inspect)
        rules = self._table.rules(host, port)
        wanted = wanted or bool(self._credentials.saying(host, port)) or bool(self.models.saying(host, port))
        wanted = wanted or bool(self._content_over(host, port))
        return wanted or any(rule.looks_at_requests for rule in rules)

    def needs_request(self, name: str, port: int) -> bool:
        """Whether any rule about a destination looks at requests."""
        return any(rule.looks_at_requests for rule in self._table.rules(parse_host(name), port))

    def speaks_http2(self, name: str, port: int) -> bool:
        """Whether clients of a destination may speak HTTP/2 where it is inspected."""
        host = parse_host(name)
        return any(pattern.matches(host, port) for pattern, _ in self._http2)

    @property
    def inspects(self) -> bool:
        """Whether anything is inspected at all."""
        asked_for = bool(self._inspect or self._content) or not self._credentials.is_empty or self.models.policy.reads
        return asked_for or any(rule.looks_at_requests for rule in self._network.rules)

    def _content_of(self, host: Host, port: int) -> list[Origin]:
        """Where it is written that a destination is looked into for what leaves: every one is, but what stays on this
        machine, and what a rule opens for another protocol."""
        other = host.name == HOST_LOOPBACK or any(rule.protocol for rule in self._opening(host, port))
        return [] if other else self._content

    def _content_over(self, host: Host, port: int) -> list[Origin]:
        """Where it is written, above the rules that open a destination for another protocol, that what leaves is looked
        into: that protocol alone is spoken there."""
        opened = [rule.origin.layer in BINDING for rule in self._opening(host, port) if rule.protocol]
        if host.name == HOST_LOOPBACK or not opened:
            return []
        # SECURITY: a person's rule for a database would otherwise be the way around for HTTPS to the same port (T14).
        above = {Layer.REQUIREMENTS} if all(opened) else BINDING
        return [origin for origin in self._content if origin.layer in above]

    def _passed(self, host: Host, port: int) -> Origin | None:
        passing = [origin for pattern, origin in self._pass_through if pattern.matches(host, port)]
        return next((origin for origin in passing if origin.layer in BINDING), next(iter(passing), None))

    def may_be_private(self, action: ConnectAction) -> bool:
        """Whether a rule that allows it says that the name may lead to an address of one's own network; of an address,
        whether a rule that opens it for such requests names it, or a range with it."""
        host = parse_host(action.host)
        rules = [one for one in self._table.rules(host, action.port) if one.opens]
        if host.address is None:
            rules = [one for one in rules if one.private and one.verdict is Verdict.ALLOW]
        else:
            rules = [one for one in rules if one.verdict is not Verdict.DENY and _in_range(one, host, action.port)]
        return any(self._applies(one, action) is True for one in rules)

    def judge(self, action: ConnectAction) -> Finding:
        """The finding about a connection or request."""
        effect = Effect(kind=EffectKind.CONNECT, object=f"{action.host}:{action.port}")
        try:
            host = parse_host(action.host)
        except ValueError as error:
            return Finding(reasons=(built_in("network.host", Verdict.DENY, str(error)),), effects=(effect,))
        if not 0 < action.port < 65536:
            text = f"port {action.port} is not from 1 to 65535"
            return Finding(reasons=(built_in("network.port", Verdict.DENY, text),), effects=(effect,))
        reasons = (*self._reasons(action, host), *self._asked(action, host), *self._unseen_inside(action, host))
        return Finding(reasons=reasons, effects=(effect,))

    def _asked(self, action: ConnectAction, host: Host) -> tuple[Reason, ...]:
        """A denial of the models that the request asks. What a session has used already is not known here."""
        if isinstance(action.models, msgspec.UnsetType) or self.models.provider(host, action.port) is None:
            return ()
        because = self.models.refusal(action.models, Spent())
        return () if because is None else (because,)

    def _unseen_inside(self, action: ConnectAction, host: Host) -> tuple[Reason, ...]:
        """A word about what will not be looked into, for everybody who reads the decision. It decides nothing: the
        strictest of the other reasons does, and there is always one."""
        if not self._pass_through or action.method is not None:
            return ()
        if self.sight(action.host, action.port) is not Sight.PASSED_THROUGH:
            return ()
        origin = self._passed(host, action.port)
        assert origin is not None
        text = f"what is said to `{host}` inside TLS is not inspected"
        return (reason("network.pass_through", origin, Verdict.ALLOW, text),)

    def _reasons(self, action: ConnectAction, host: Host) -> tuple[Reason, ...]:
        speaking: list[tuple[HostRule, Reason]] = []
        unseen: list[Reason] = []
        streams = action.method is None and self._streams(host, action.port)
        for rule in self._table.rules(host, action.port):
            if not _means(rule, host, action.port):
                continue
            if streams and rule.looks_at_requests:
                continue  # there are no requests: `spoken` keeps HTTP and TLS out
            if action.method is not None and rule.protocol not in ("", Protocol.TCP):
                continue
            match self._applies(rule, action):
                case True:
                    speaking.append((rule, _spoken(rule)))
                case None if rule.verdict is Verdict.ALLOW:
                    unseen.append(self._unseen(rule))
                case None:
                    # SECURITY: what a rule denies may be in here; not seeing it must not be the way around it.
                    speaking.append((rule, _hidden(rule)))
        reasons = [spoken for _, spoken in speaking]
        reasons += self._resolver(host, action.port)
        if not any(rule.opens or rule.verdict is Verdict.DENY for rule, _ in speaking):
            reasons += [*_not_public(host), self._default(host), *unseen]
        else:
            reasons += self._floor(host, speaking)
        return (*reasons, *self._limited(action, host, speaking))

    def _resolver(self, host: Host, port: int) -> tuple[Reason, ...]:
        """A denial of DNS that passes our own answers by, unless a rule that opens it means just that."""
        # SECURITY: a question to a resolver that anybody can use is a message to whoever owns the name in it (T14).
        if port == DNS_OVER_TLS:
            meant, what = self._table.with_port(host, port), "is for DNS over TLS"
        elif is_public_resolver(host):
            meant, what = self._table.spelled(host, port), "is a public DNS resolver"
        else:
            return ()
        if any(rule in meant for rule in self._opening(host, port)):
            return ()
        text = f"`{host.authority}:{port}` {what}, and only a rule that names it opens it"
        return (built_in("dns.resolver", Verdict.DENY, text),)

    def _limited(self, action: ConnectAction, host: Host, speaking: list[tuple[HostRule, Reason]]) -> Iterator[Reason]:
        """Denials of requests that do not only read, where a policy limits the host to those that do."""
        websocket = _becomes_websocket(action)
        if not self._limits or action.method is None or (action.method.upper() in SAFE and not websocket):
            return
        named = any(
            rule.verdict is Verdict.ALLOW and (rule.operations or (rule.methods and not websocket))
            for rule, _ in speaking
        )
        for pattern, origin in self._limits:
            if pattern.matches(host, action.port) and not (named and origin.layer != Layer.REQUIREMENTS):
                text = f"`{host}` only takes GET, HEAD and OPTIONS, and no rule names what else is allowed"
                yield reason("network.limited", origin, Verdict.DENY, text)

    def _applies(self, rule: HostRule, action: ConnectAction) -> bool | None:
        """Whether a rule speaks about this request; nothing where that cannot be seen."""
        if not rule.looks_at_requests:
            return True
        if (rule.methods and action.method is None) or (rule.paths and action.path is None):
            return None
        if rule.methods and (action.method or "").upper() not in rule.methods:
            return False
        # SECURITY: a WebSocket begins as a GET, and then both sides say what they like.
        if rule.verdict is Verdict.ALLOW and _only_reads(rule) and _becomes_websocket(action):
            return False
        whole: bool | None = True
        for part in self._parts(rule, action):
            if part is False:
                return False
            whole = None if part is None else whole
        return whole

    def _parts(self, rule: HostRule, action: ConnectAction) -> Iterator[bool | None]:
        if rule.paths:
            yield self._path(rule, action.path or "")
        if rule.operations:
            yield operates(rule, action)
        facts = action.facts if isinstance(action.facts, RequestFacts) else None
        for predicates, known in (
            (rule.query, facts.query if facts else None),
            (rule.headers, facts.headers if facts else None),
        ):
            for name, text in predicates:
                meant = query_key(name)
                yield (
                    None
                    if known is None
                    else _holds(rule, text, [value for key, value in known if query_key(key) == meant])
                )

    def wants(self, name: str, port: int) -> FactsWanted:
        """What has to be read of a request to a destination so that every rule about it can be judged, and what its
        credentials are bound to."""
        host = parse_host(name)
        rules = self._table.rules(host, port)
        return FactsWanted(
            operations=any(rule.operations for rule in rules),
            body=any(needs_body(rule.operations) for rule in rules if rule.operations),
            query=tuple(dict.fromkeys(key for rule in rules for key, _ in rule.query)),
            headers=tuple(dict.fromkeys(key for rule in rules for key, _ in rule.headers)),
            methods=any(rule.methods for rule in rules)
            or any(bound.methods for bound in self._credentials.of_host(host, port)),
        )

    def _path(self, rule: HostRule, path: str) -> bool | None:
        plain = plainly(path)
        if plain is None:
            return self._by_every_meaning(rule, path)
        names = components(plain)
        if any(self._globs[text].matches(names) for text in rule.paths):
            return True
        if rule.verdict is Verdict.ALLOW:
            return False
        # SECURITY: there are servers to which capitals make no difference, forges among them, and some that serve
        # `/admin` for `/admin.` as well.
        return any(self._folded[text].matches(names) for names in leniently(plain) for text in rule.paths)

    def _by_every_meaning(self, rule: HostRule, path: str) -> bool | None:
        # SECURITY: `/repos/..%2fadmin` is one path to us and another to the server; such a path is never the one
        # that a rule allows, and always one that a rule denies. Where it is known what it may be, a rule allows it if
        # it allows all of that, and denies it for any of it.
        meanings = every_meaning(path)
        allows = rule.verdict is Verdict.ALLOW
        if meanings is None:
            return False if allows else None
        if allows:
            every = (names for meaning in meanings for names in every_name(meaning))
            return all(any(self._globs[text].matches(names) for text in rule.paths) for names in every)
        every = (names for meaning in meanings for names in (*every_name(meaning.lower()), *leniently(meaning)))
        return any(self._folded[text].matches(names) for names in every for text in rule.paths)

    def _default(self, host: Host) -> Reason:
        network = self._network
        text = f"no rule opens host `{host}`"
        return reason("network.default", network.default_origin, network.default, text)

    def _unseen(self, rule: HostRule) -> Reason:
        text = f"rule `{rule.id}` only allows {_limits(rule)}, which cannot be seen in this connection"
        return reason(rule.id, rule.origin, self._network.default, text)

    def _floor(self, host: Host, speaking: list[tuple[HostRule, Reason]]) -> tuple[Reason, ...]:
        floor, origin = self._network.floor, self._network.floor_origin
        allowed = any(rule.verdict is Verdict.ALLOW and rule.origin.layer in BINDING for rule, _ in speaking)
        if floor is None or origin is None or allowed:
            return ()
        return (reason("network.default", origin, floor, f"no rule of the administrator allows host `{host}`"),)


def operates(rule: HostRule, action: ConnectAction) -> bool | None:
    """Whether a request does what a rule names: for an allowance nothing else, for any other rule any of it."""
    seen = isinstance(action.facts, RequestFacts)
    if isinstance(action.facts, RequestFacts):
        done = action.facts.operations
    elif action.method is None or action.path is None:
        return None
    else:
        done = operations(action.method, action.path, {}, None)
    meant = covered(rule.operations)
    if rule.verdict is Verdict.ALLOW:
        return bool(done) and all(one in meant for one in done)
    if any(one in meant for one in done):
        return True
    hidden = UNKNOWN in done or not (seen or (action.method or "").upper() in SAFE)
    return None if hidden and needs_body(rule.operations) else False


def _holds(rule: HostRule, glob: str, values: list[str]) -> bool:
    # SECURITY: of two values of one key a server may take either: an allowance needs all of them to match, any other
    # rule one. The same holds for what some take for the key, and to a denial capitals make no difference.
    if rule.verdict is Verdict.ALLOW:
        return bool(values) and all(fnmatchcase(value, glob) for value in values)
    return any(
        fnmatchcase(one, text) for value in values for one, text in ((value, glob), (value.lower(), glob.lower()))
    )


def _becomes_websocket(action: ConnectAction) -> bool:
    return isinstance(action.facts, RequestFacts) and "websocket" in action.facts.operations


def _only_reads(rule: HostRule) -> bool:
    """Whether a rule means methods that change nothing, and says nothing else about what requests do."""
    return bool(rule.methods) and SAFE.issuperset(rule.methods) and not rule.operations


def _looked_for(policy: Policy) -> list[Origin]:
    """Where it is written that requests are looked into for what they carry."""
    keys = ["content"] if policy.origin_of("content").layer in BINDING else []
    keys += ["content.on_secret"] if policy.content.on_secret is not OnSecret.OFF else []
    keys += ["content.canaries"] if policy.content.canaries else []
    return [policy.origin_of(key) for key in keys]


def _compiled(listed: tuple[Inspect, ...]) -> tuple[tuple[HostPattern, Origin], ...]:
    return tuple((HostPattern.parse(one.hosts), one.origin) for one in listed)


def _tool_servers(policy: Policy) -> Iterator[tuple[HostPattern, Origin]]:
    """Where the servers are that the policy describes: what they are, and what is asked of them, stands in requests."""
    for server in policy.mcp.servers:
        if server.url:
            place = urlsplit(address(server.url) or "")
            port = place.port or (443 if place.scheme == "https" else 80)
            yield HostPattern.parse(f"{place.netloc.rpartition('@')[2].removesuffix(f':{port}')}:{port}"), server.origin


def _not_public(host: Host) -> tuple[Reason, ...]:
    """A denial for an address of this machine, its network or its cloud: nobody is asked about those by accident."""
    if host.address is None or ip_address(host.address).is_global:
        return ()
    text = f"address `{host}` is not public; only a rule that names it, or a range with it, opens it"
    return (built_in("address.private", Verdict.DENY, text),)


def _in_range(rule: HostRule, host: Host, port: int) -> bool:
    """Whether a rule names an address by itself, or by a range."""
    patterns = (HostPattern.parse(text) for text in rule.hosts)
    return any(one.network is not None and one.matches(host, port) for one in patterns)


def _means(rule: HostRule, host: Host, port: int) -> bool:
    """Whether an allowance means the host's own loopback, where that is the destination.

    SECURITY: `*` and `*.internal` are the hosts of the network: they open no private address, and not what listens on
    the person's own machine either. That has to be named.
    """
    if host.name != HOST_LOOPBACK or rule.verdict is not Verdict.ALLOW:
        return True
    patterns = (HostPattern.parse(text) for text in rule.hosts)
    return any(one.kind is PatternKind.EXACT and one.matches(host, port) for one in patterns)


def _spoken(rule: HostRule) -> Reason:
    return reason(rule.id, rule.origin, rule.verdict, rule.reason or f"a rule names {', '.join(rule.hosts[:5])}")


def _hidden(rule: HostRule) -> Reason:
    why = f": {rule.reason}" if rule.reason else ""
    text = f"it may be {_limits(rule)}, which cannot be seen in this connection{why}"
    return reason(rule.id, rule.origin, rule.verdict, text)


def _limits(rule: HostRule) -> str:
    predicates = " ".join(f"{name}={glob}" for name, glob in (*rule.query, *rule.headers))
    parts = (", ".join(rule.methods), " ".join(rule.paths), ", ".join(rule.operations), predicates)
    return escaped(" and ".join(part for part in parts if part))
