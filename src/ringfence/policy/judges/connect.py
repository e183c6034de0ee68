"""Connections: the rules that name the destination, then those of its methods and paths that are known."""

from __future__ import annotations

import re
from ipaddress import ip_address

from ringfence.model.action import ConnectAction, Effect, EffectKind
from ringfence.model.decision import Reason, Verdict
from ringfence.model.host import HOST_LOOPBACK, Host, parse_host
from ringfence.model.host_pattern import HostPattern, PatternKind
from ringfence.policy.effective import HostRule, Policy
from ringfence.policy.globs import Glob, components
from ringfence.policy.hosts import HostTable
from ringfence.policy.judges.finding import Finding, built_in, reason
from ringfence.policy.paths import BINDING
from ringfence.policy.schema import escaped

_AMBIGUOUS = re.compile(r"(?:^|/)\.{1,2}(?:/|;|$)|//|\\|;")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")


class ConnectJudge:
    """The host rules of a policy."""

    def __init__(self, policy: Policy) -> None:
        self._network = policy.network
        self._table = HostTable(policy.network.rules)
        self._globs: dict[str, Glob] = {text: Glob(text) for rule in policy.network.rules for text in rule.paths}

    def needs_request(self, host: str, port: int) -> bool:
        """Whether any rule about a destination asks for a method or path."""
        return any(rule.methods or rule.paths for rule in self._table.rules(parse_host(host), port))

    def may_be_private(self, action: ConnectAction) -> bool:
        """Whether a rule that allows it says that the name may lead to an address of one's own network."""
        return any(
            rule.private and rule.opens and rule.verdict is Verdict.ALLOW and self._applies(rule, action) is True
            for rule in self._table.rules(parse_host(action.host), action.port)
        )

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
        return Finding(reasons=self._reasons(action, host), effects=(effect,))

    def _reasons(self, action: ConnectAction, host: Host) -> tuple[Reason, ...]:
        speaking: list[tuple[HostRule, Reason]] = []
        unseen: list[Reason] = []
        for rule in self._table.rules(host, action.port):
            if not _means(rule, host, action.port):
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
        if not any(rule.opens or rule.verdict is Verdict.DENY for rule, _ in speaking):
            return (*reasons, *_not_public(host), self._default(host), *unseen)
        return (*reasons, *self._floor(host, speaking))

    def _applies(self, rule: HostRule, action: ConnectAction) -> bool | None:
        """Whether a rule speaks about this request; nothing where that cannot be seen."""
        if not rule.methods and not rule.paths:
            return True
        if (rule.methods and action.method is None) or (rule.paths and action.path is None):
            return None
        if rule.methods and (action.method or "").upper() not in rule.methods:
            return False
        return not rule.paths or self._path(rule, action.path or "")

    def _path(self, rule: HostRule, path: str) -> bool | None:
        # SECURITY: `/repos/..%2fadmin` is one path to us and another to the server; such a path is never the one
        # that a rule allows, and always one that a rule denies.
        plain = path.partition("?")[0]
        decoded = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), plain)
        if _AMBIGUOUS.search(decoded) or _ESCAPE.search(decoded) or not decoded.isascii() or not plain.startswith("/"):
            return None if rule.verdict is not Verdict.ALLOW else False
        names = components(decoded)
        return any(self._globs[text].matches(names) for text in rule.paths)

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


def _not_public(host: Host) -> tuple[Reason, ...]:
    """A denial for an address of this machine, its network or its cloud: nobody is asked about those by accident."""
    if host.address is None or ip_address(host.address).is_global:
        return ()
    text = f"address `{host}` is not public; only a rule that names it, or a range with it, opens it"
    return (built_in("address.private", Verdict.DENY, text),)


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
    return escaped(" and ".join(part for part in (", ".join(rule.methods), " ".join(rule.paths)) if part))
