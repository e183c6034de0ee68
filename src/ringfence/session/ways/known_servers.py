"""The keys of the SSH servers that rules open: what programs inside are told of, so that they ask nobody.

The gateway checks the keys anyway. A rule with fingerprints only is completed from the person's own `known_hosts`; a
host that is in neither stays unknown inside.
"""

from __future__ import annotations

from collections.abc import Iterable

from ringfence.model.decision import Verdict
from ringfence.model.host_pattern import HostPattern, PatternKind
from ringfence.policy.effective import HostRule
from ringfence.policy.host_keys import ANY_KEY, HostKey, fingerprint, parse_key, published
from ringfence.policy.protocols import PORTS, Protocol
from ringfence.session.ways.ssh_agent import own_keys


def known_servers(rules: Iterable[HostRule], home: str) -> dict[str, tuple[bytes, ...]]:
    """The keys of each host, under the name that `known_hosts` has for it."""
    found: dict[str, tuple[bytes, ...]] = {}
    for rule in rules:
        if rule.verdict is Verdict.DENY or not rule.opens:
            continue
        for pattern in map(HostPattern.parse, rule.hosts):
            if rule.protocol == Protocol.SSH or (rule.protocol == Protocol.TCP and published(pattern.name)):
                name = _name(pattern)
                keys = _keys(rule, pattern, name, home)
                if keys:
                    found[name] = (*found.get(name, ()), *keys)
    return found


def _name(pattern: HostPattern) -> str:
    host = str(pattern).rpartition(":")[0].strip("[]")
    if pattern.kind is PatternKind.DOMAIN:
        names = [pattern.name, f"*.{pattern.name}"]
    elif pattern.kind is PatternKind.ANY or "/" in host:
        return ""
    else:
        names = [host]
    usual = pattern.port == PORTS[Protocol.SSH]
    return ",".join(name if usual else f"[{name}]:{pattern.port}" for name in names)


def _keys(rule: HostRule, pattern: HostPattern, name: str, home: str) -> list[bytes]:
    if not name:
        return []
    written = [parse_key(text) for text in rule.host_keys if text != ANY_KEY]
    if not rule.host_keys:
        return [key.blob for key in published(pattern.name)]
    own = [key for keys in own_keys(name.split(","), home).values() for key in keys]
    meant = own if ANY_KEY in rule.host_keys else [key for key in own if fingerprint(key) in written]
    return [*(key.blob for key in written if isinstance(key, HostKey)), *meant]
