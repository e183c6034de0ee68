"""Which credential can be sent in which request, and which hosts with a credential are passed without inspection.

The questions are about a typed description, which says what the documents of a policy say. Credentials are compared
by where their value comes from: under another name it is the same one, and of another source it is another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ringfence.model.action import ConnectAction
from ringfence.model.decision import Verdict
from ringfence.model.host import parse_host
from ringfence.model.host_pattern import HostPattern
from ringfence.policy.compare.destinations import Named
from ringfence.policy.compare.environment import is_credential, variable_kinds
from ringfence.policy.compare.network import Judged
from ringfence.policy.credentials import WEB_PORTS, CredentialTable, host_means
from ringfence.policy.effective import (
    BUILT_IN,
    CredentialForm,
    CredentialPolicy,
    CredentialRule,
    CredentialSource,
    EnvironmentPolicy,
    NoCredentials,
    Policy,
    SourceKind,
)
from ringfence.policy.layers import Layer
from ringfence.policy.paths import BINDING


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """A credential that the gateway adds to some requests."""

    credential: str
    hosts: tuple[str, ...]
    """Host patterns."""
    methods: tuple[str, ...] = ()
    """Upper case; empty means any."""
    paths: tuple[str, ...] = ()
    """Globs; empty means any."""
    source: str = ""
    """Where its value comes from: two of one source are one credential. Of its name's own where it is empty."""


class Handling(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy says about credentials and about looking into connections."""

    bindings: tuple[Binding, ...] = ()
    forbidden: tuple[str, ...] = ()
    """Patterns of hosts to which no credential goes, neither a bound one nor one of the agent's."""
    passed_through: tuple[str, ...] = ()
    """Patterns of hosts whose connections are not looked into."""
    seen: tuple[str, ...] = ()
    """Patterns of hosts whose connections are looked into all the same."""

    def named(self) -> tuple[Named, ...]:
        """Every host, method and path that tells connections apart."""
        bound = [Named(hosts=one.hosts, methods=one.methods, paths=one.paths) for one in self.bindings]
        pinned = [str(_on(host, port)) for one in self.bindings for host in one.hosts for port in WEB_PORTS]
        return (
            *bound,
            Named(hosts=tuple(pinned)),
            Named(hosts=self.forbidden),
            Named(hosts=(*self.passed_through, *self.seen)),
        )


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """A connection that can newly carry a credential."""

    credential: str
    action: ConnectAction
    before: Verdict
    after: Verdict


def handling_of(policy: Policy) -> Handling:
    """What the documents of a policy say."""
    said = policy.credentials
    return Handling(
        bindings=tuple(
            Binding(
                credential=rule.id,
                hosts=rule.hosts,
                methods=rule.methods,
                paths=rule.paths,
                source=str(rule.source),
            )
            for rule in said.rules
        ),
        forbidden=tuple(host for one in said.forbidden for host in one.hosts),
        passed_through=policy.network.pass_through,
        seen=tuple(_required(policy)),
    )


def _required(policy: Policy) -> Iterator[str]:
    """What is looked into whoever passes it through: what requirements want, and what an administrator does where
    people alone pass anything through."""
    said = policy.credentials
    network = policy.network
    passing = (policy.origin_of(f"network.pass_through.{pattern}") for pattern in network.pass_through)
    above = {Layer.REQUIREMENTS} if any(origin.layer in BINDING for origin in passing) else BINDING
    for one in (*network.inspect, *network.http2, *network.limited):
        if one.origin.layer in above:
            yield one.hosts
    for none in said.forbidden:
        if none.origin.layer == Layer.REQUIREMENTS:
            yield from none.hosts
    for rule in said.rules:
        if rule.origin.layer == Layer.REQUIREMENTS:
            yield from rule.hosts
            yield from (str(_on(host, port)) for host in rule.hosts for port in WEB_PORTS)


def newly_uninspected(cases: Iterable[Judged], before: Handling, after: Handling) -> Iterator[Carried]:
    """One example for each credential that can newly pass to its host without inspection."""
    found: dict[str, Carried] = {}
    first, second = _Side(before), _Side(after)
    for case in cases:
        here = _Held(case)
        if not second.is_passed(here.action):
            continue
        was_passed = first.is_passed(here.action)
        for identity, name in second.of_host(here.action).items():
            here.note(found, name, was=was_passed and identity in first.of_host(here.action))
    yield from found.values()


def newly_carried(cases: Iterable[Judged], before: Handling, after: Handling) -> Iterator[Carried]:
    """One example for each credential that can newly be in a request."""
    found: dict[str, Carried] = {}
    first, second = _Side(before), _Side(after)
    for case in cases:
        here = _Held(case)
        for identity, name in second.of_request(here.action).items():
            here.note(found, name, was=identity in first.of_request(here.action))
    yield from found.values()


def newly_foreign(cases: Iterable[Judged], before: Handling, after: Handling) -> Iterator[Carried]:
    """One example of a host that took only our credentials, or none, and newly takes any that the agent has."""
    found: dict[str, Carried] = {}
    first, second = _Side(before), _Side(after)
    for case in cases:
        here = _Held(case)
        if first.pins(here.action) and not second.pins(here.action):
            here.note(found, FOREIGN, was=False)
    yield from found.values()


FOREIGN = "that the policy does not bind"
"""How a credential is called of which nothing is known but that it is none of ours."""


def newly_carried_variables(
    cases: Iterable[Judged], before: EnvironmentPolicy, after: EnvironmentPolicy
) -> Iterator[Carried]:
    """One example for each kind of variable named like a credential that a program inside can newly send somewhere."""
    found: dict[str, Carried] = {}
    kinds = [kind for kind in variable_kinds(before, after) if kind.after and is_credential(kind.example)]
    for case in cases if kinds else ():
        here = _Held(case)
        for kind in kinds:
            here.note(found, kind.example, was=kind.before)
    yield from found.values()


class _Side:
    """What one policy does with credentials, by the code that enforces it."""

    def __init__(self, handling: Handling) -> None:
        rules = tuple(_rule(number, one) for number, one in enumerate(handling.bindings))
        forbidden = tuple(NoCredentials(hosts=(host,), origin=BUILT_IN) for host in handling.forbidden)
        self._handling = handling
        self._table = CredentialTable(CredentialPolicy(rules=rules, forbidden=forbidden))

    def is_passed(self, action: ConnectAction) -> bool:
        """Whether nothing of it is looked into."""
        host, said = parse_host(action.host), self._handling
        return host_means(said.passed_through, host, action.port) and not host_means(said.seen, host, action.port)

    def pins(self, action: ConnectAction) -> bool:
        """Whether other credentials are refused there; in what is not looked into they cannot be."""
        return self._table.pins(parse_host(action.host), action.port) and not self.is_passed(action)

    def of_host(self, action: ConnectAction) -> dict[str, str]:
        """The credentials that some request to the host carries, by identity, each with its name."""
        return self._named(self._table.of_host(parse_host(action.host), action.port))

    def of_request(self, action: ConnectAction) -> dict[str, str]:
        """Those of one request; where its method or path is not seen, those that ask for neither. What is not looked
        into gets none."""
        if self.is_passed(action):
            return {}
        host = parse_host(action.host)
        return self._named(self._table.of_request(host, action.port, action.method or "", action.path or ""))

    def _named(self, rules: Iterable[CredentialRule]) -> dict[str, str]:
        bindings = [self._handling.bindings[int(rule.id)] for rule in rules]
        return {one.source or f"the name {one.credential}": one.credential for one in bindings}


def _on(host: str, port: int) -> HostPattern:
    return msgspec.structs.replace(HostPattern.parse(host), port=port)


def _rule(number: int, one: Binding) -> CredentialRule:
    return CredentialRule(
        id=str(number),
        source=CredentialSource(kind=SourceKind.KEYRING),
        form=CredentialForm.BEARER,
        hosts=one.hosts,
        methods=one.methods,
        paths=one.paths,
        origin=BUILT_IN,
    )


class _Held:
    """One connection and the verdicts about it."""

    def __init__(self, case: Judged) -> None:
        self._case = case
        self.action = case.connection.action

    def note(self, found: dict[str, Carried], credential: str, *, was: bool) -> None:
        """Note it where the credential can go there less strictly than before; `was`: it could go there at all."""
        before = self._case.before.verdict if was else Verdict.DENY
        after = self._case.after.verdict
        if after.strictness < before.strictness:
            found.setdefault(credential, Carried(credential=credential, action=self.action, before=before, after=after))
