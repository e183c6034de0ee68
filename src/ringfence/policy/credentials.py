"""Which credentials are bound to a request, and whether its host takes no others.

Pure. A path that a server may read as another one than we do is never one that a credential is bound to.
"""

from __future__ import annotations

from collections.abc import Iterable

from ringfence.model.host import Host
from ringfence.model.host_pattern import HostPattern, PatternKind
from ringfence.policy.effective import CredentialForm, CredentialPolicy, CredentialRule, NoCredentials, Origin
from ringfence.policy.globs import Glob, components
from ringfence.policy.request_paths import plainly

WEB_PORTS = (80, 443)


class CredentialTable:
    """The credentials of a policy."""

    def __init__(self, policy: CredentialPolicy) -> None:
        rules = [(rule, _parsed(rule.hosts), [Glob(text) for text in rule.paths]) for rule in policy.rules]
        self._rules = [one for one in rules if one[0].form is not CredentialForm.POSTGRES]
        self._databases = [one for one in rules if one[0].form is CredentialForm.POSTGRES]
        self._forbidden = [(one, _parsed(one.hosts)) for one in policy.forbidden]

    def forbidding(self, host: Host, port: int) -> NoCredentials | None:
        """What says that no credential goes to a host."""
        return next((one for one, patterns in self._forbidden if _means(patterns, host, port)), None)

    def of_database(self, host: Host, port: int) -> tuple[CredentialRule, ...]:
        """Those with which the gateway logs in to a database."""
        if self.forbidding(host, port) is not None:
            return ()
        return tuple(rule for rule, patterns, _ in self._databases if _means(patterns, host, port))

    def of_host(self, host: Host, port: int) -> tuple[CredentialRule, ...]:
        """Those that some request to a host can carry."""
        if self.forbidding(host, port) is not None:
            return ()
        return tuple(rule for rule, patterns, _ in self._rules if _means(patterns, host, port))

    def of_request(self, host: Host, port: int, method: str, path: str) -> tuple[CredentialRule, ...]:
        """Those that are bound to exactly this request."""
        named = {rule.id for rule in self.of_host(host, port)}
        return tuple(
            rule for rule, _, globs in self._rules if rule.id in named and _fits(rule, globs, method.upper(), path)
        )

    def pinning(self, host: Host, port: int) -> tuple[CredentialRule, ...]:
        """Those because of which a host takes no other credential: on their own port, and where a web server listens
        that is most likely the same one."""
        if self.forbidding(host, port) is not None:
            return ()
        return tuple(
            rule
            for rule, patterns, _ in self._rules
            if _means(patterns, host, port)
            or (port in WEB_PORTS and any(one.matches(host, one.port or port) for one in patterns))
        )

    def pins(self, host: Host, port: int) -> bool:
        """Whether requests to a host may carry no credential but those of the policy, so that each has to be seen."""
        return self.forbidding(host, port) is not None or bool(self.pinning(host, port))

    def saying(self, host: Host, port: int) -> list[Origin]:
        """Where it is written that requests to a host have to be seen because of credentials."""
        forbidding = self.forbidding(host, port)
        return [rule.origin for rule in self.pinning(host, port)] + ([forbidding.origin] if forbidding else [])

    @property
    def is_empty(self) -> bool:
        """Whether no host is treated otherwise than without it."""
        return not (self._rules or self._databases or self._forbidden)


def host_means(patterns: Iterable[str], host: Host, port: int) -> bool:
    """Whether one of these patterns means a host and port."""
    return _means(_parsed(patterns), host, port)


def overlap(first: str, second: str) -> bool:
    """Whether there is a host and port that both patterns mean."""
    one, other = HostPattern.parse(first), HostPattern.parse(second)
    if one.port is not None and other.port is not None and one.port != other.port:
        return False
    if PatternKind.ANY in {one.kind, other.kind}:
        return True
    if one.network is not None or other.network is not None:
        return one.network is not None and other.network is not None and _share(one, other)
    return _reaches(one, other) or _reaches(other, one)


def _share(one: HostPattern, other: HostPattern) -> bool:
    first, second = one.network, other.network
    assert first is not None and second is not None
    return first.version == second.version and (
        int(first.network_address) <= int(second.broadcast_address)
        and int(second.network_address) <= int(first.broadcast_address)
    )


def _reaches(one: HostPattern, other: HostPattern) -> bool:
    """Whether the top of one pattern, or something just below it, lies within the other."""
    top = one.name if one.kind is not PatternKind.SUBDOMAINS else f"below.{one.name}"
    port = one.port or other.port or 443
    return other.matches(Host(name=top), port)


def _parsed(hosts: Iterable[str]) -> tuple[HostPattern, ...]:
    return tuple(HostPattern.parse(text) for text in hosts)


def _means(patterns: Iterable[HostPattern], host: Host, port: int) -> bool:
    return any(pattern.matches(host, port) for pattern in patterns)


def _fits(rule: CredentialRule, globs: list[Glob], method: str, path: str) -> bool:
    if rule.methods and method not in rule.methods:
        return False
    if not globs:
        return True
    names = _names(path)
    return names is not None and any(glob.matches(names) for glob in globs)


def _names(path: str) -> tuple[str, ...] | None:
    """The names in a path, or nothing where two programs could read it differently."""
    plain = plainly(path)
    return None if plain is None else components(plain)
