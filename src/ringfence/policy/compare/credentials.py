"""Which credential can be sent to which host, and which hosts with a credential are passed without inspection.

The questions are about a typed description. What today's documents cannot say, such as a credential bound to a host,
is empty in it, and an answer says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ringfence.model.action import ConnectAction
from ringfence.model.decision import Verdict
from ringfence.model.host import parse_host
from ringfence.model.host_pattern import HostPattern
from ringfence.policy.compare.environment import is_credential, variable_kinds
from ringfence.policy.compare.network import Judged
from ringfence.policy.effective import EnvironmentPolicy, Policy


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """A credential that the gateway adds to requests to some hosts."""

    credential: str
    hosts: tuple[str, ...]
    """Host patterns."""


class Handling(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy says about credentials and about looking into connections."""

    bindings: tuple[Binding, ...] = ()
    passed_through: tuple[str, ...] = ()
    """Patterns of hosts whose connections are not looked into."""

    def patterns(self) -> tuple[str, ...]:
        """Every host pattern in it."""
        return (*(host for binding in self.bindings for host in binding.hosts), *self.passed_through)


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """A connection that can newly carry a credential."""

    credential: str
    action: ConnectAction
    before: Verdict
    after: Verdict


def handling_of(policy: Policy) -> Handling:
    """What the documents of a policy say. They can neither bind a credential nor leave a host uninspected yet."""
    return Handling()


def newly_uninspected(cases: Iterable[Judged], before: Handling, after: Handling) -> Iterator[Carried]:
    """One example for each credential that can newly pass to its host without inspection."""
    found: dict[str, Carried] = {}
    for case in cases:
        action = case.connection.action
        here = _Held(case, action)
        if not here.means(after.passed_through):
            continue
        for binding in after.bindings:
            if here.means(binding.hosts):
                same = [one for one in before.bindings if one.credential == binding.credential]
                was = here.means(before.passed_through) and any(here.means(one.hosts) for one in same)
                here.note(found, binding.credential, was=was)
    yield from found.values()


def newly_carried(cases: Iterable[Judged], before: Handling, after: Handling) -> Iterator[Carried]:
    """One example for each credential that can newly reach a host to which it is bound."""
    found: dict[str, Carried] = {}
    for case in cases:
        here = _Held(case, case.connection.action)
        for binding in after.bindings:
            if here.means(binding.hosts):
                same = [one for one in before.bindings if one.credential == binding.credential]
                here.note(found, binding.credential, was=any(here.means(one.hosts) for one in same))
    yield from found.values()


def newly_carried_variables(
    cases: Iterable[Judged], before: EnvironmentPolicy, after: EnvironmentPolicy
) -> Iterator[Carried]:
    """One example for each kind of variable named like a credential that a program inside can newly send somewhere."""
    found: dict[str, Carried] = {}
    kinds = [kind for kind in variable_kinds(before, after) if kind.after and is_credential(kind.example)]
    for case in cases if kinds else ():
        here = _Held(case, case.connection.action)
        for kind in kinds:
            here.note(found, kind.example, was=kind.before)
    yield from found.values()


class _Held:
    """One connection and the verdicts about it."""

    def __init__(self, case: Judged, action: ConnectAction) -> None:
        self._case = case
        self._action = action

    def means(self, patterns: Iterable[str]) -> bool:
        host = parse_host(self._action.host)
        return any(HostPattern.parse(text).matches(host, self._action.port) for text in patterns)

    def note(self, found: dict[str, Carried], credential: str, *, was: bool) -> None:
        """Note it where the credential can go there less strictly than before; `was`: it could go there at all."""
        before = self._case.before.verdict if was else Verdict.DENY
        after = self._case.after.verdict
        if after.strictness < before.strictness:
            found.setdefault(
                credential, Carried(credential=credential, action=self._action, before=before, after=after)
            )
