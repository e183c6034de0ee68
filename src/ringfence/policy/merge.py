"""All layers into one policy: what each says, what it may say, and a notice for every line that does not count.

Pure. A layer of the administrator (managed defaults, requirements) is never loosened by a person's; a project that is
not trusted only tightens; a preset's rule is replaced by one of the same id, because presets are ours and not binding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from ringfence.model.canonical import digest
from ringfence.model.decision import Verdict
from ringfence.model.host import HOST_LOOPBACK
from ringfence.policy.documents import Document, label
from ringfence.policy.effective import (
    Access,
    ApprovalPolicy,
    CommandPolicy,
    CommandRule,
    EnvironmentPolicy,
    HostRule,
    NetworkPolicy,
    Origin,
    PathRule,
    Policy,
)
from ringfence.policy.layers import Layer
from ringfence.policy.paths import covers
from ringfence.policy.sections.settings import PRESETS

DEFAULT_PRESET = "workspace"

_Rule = TypeVar("_Rule", HostRule, CommandRule)
_Value = TypeVar("_Value")

_NO_ORIGIN = Origin(layer="built-in", source="ringfence")
_TIERS = ("C", "B", "A")


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the meaning of paths depends on."""

    home: str
    workspace: str


def choose_preset(documents: Iterable[Document], choice: str | None) -> tuple[str, tuple[str, ...]]:
    """The preset that applies, and notices where it is not the one that was asked for."""
    notices: list[str] = []
    name, by = DEFAULT_PRESET, "the default"
    allowed: tuple[tuple[str, ...], Origin] | None = None
    for document in _ordered(documents):
        if document.allowed_presets is not None:
            allowed = document.allowed_presets
        if document.extends is None:
            continue
        wanted, origin = document.extends
        if not document.trusted and PRESETS.index(wanted) > PRESETS.index(name):
            notices.append(f"{origin.source}: preset `{wanted}` is not applied: {_UNTRUSTED}")
        else:
            name, by = wanted, origin.source
    if choice is not None:
        name, by = choice, "the command line"
    if allowed is not None and name not in allowed[0]:
        nearest = _nearest(name, allowed[0])
        notices.append(f"preset `{name}` ({by}) is not permitted by {allowed[1].source}; `{nearest}` applies")
        name = nearest
    return name, tuple(notices)


def merge(documents: Iterable[Document], *, facts: Facts, notices: Iterable[str] = ()) -> Policy:
    """The effective policy of some documents, one of which is the preset."""
    merging = _Merging(tuple(_ordered(documents)), facts)
    policy = msgspec.structs.replace(merging.policy(), notices=(*notices, *merging.notices))
    return msgspec.structs.replace(policy, digest=digest(policy))


_UNTRUSTED = "an untrusted project only tightens; read the file and trust it with `ringfence trust`"
_ORDER = (Layer.PRESET, Layer.MANAGED, Layer.USER, Layer.PROJECT, Layer.SESSION, Layer.REQUIREMENTS)


def _ordered(documents: Iterable[Document]) -> list[Document]:
    return sorted(documents, key=lambda document: _ORDER.index(document.layer))


def _nearest(name: str, allowed: tuple[str, ...]) -> str:
    """The loosest permitted preset that is stricter than the one asked for, else the strictest of all."""
    stricter = [preset for preset in PRESETS[: PRESETS.index(name)] if preset in allowed]
    return stricter[-1] if stricter else next(preset for preset in PRESETS if preset in allowed)


class _Merging:
    def __init__(self, documents: tuple[Document, ...], facts: Facts) -> None:
        self.documents = documents
        self.facts = facts
        self.notices: list[str] = []

    def policy(self) -> Policy:
        preset = next(document for document in self.documents if document.layer is Layer.PRESET)
        timeouts = [(document, document.timeout_seconds) for document in self.documents]
        tiers = [(document, document.min_tier) for document in self.documents]
        seconds, _ = self._scalar("approvals.timeout_seconds", timeouts, lambda value: -value, 300)
        tier, _ = self._scalar("sandbox.min_tier", tiers, _TIERS.index, "A")
        return Policy(
            preset=preset.file.removesuffix(".toml"),
            filesystem=self._filesystem(),
            network=self._network(),
            commands=CommandPolicy(rules=self._rules([(one, one.command_rules) for one in self.documents])),
            environment=self._environment(),
            approvals=ApprovalPolicy(timeout_seconds=seconds),
            min_tier=tier,
            tests=tuple(test for document in self.documents for test in document.tests),
            layers=tuple(f"{label(one.layer, one.file)} {one.file}{_trust(one)}" for one in self.documents),
        )

    def _scalar(
        self,
        key: str,
        values: Iterable[tuple[Document, tuple[_Value, Origin] | None]],
        strictness: Callable[[_Value], int],
        default: _Value,
    ) -> tuple[_Value, Origin]:
        """The value that applies, where higher layers win and none loosens one that binds it."""
        current, origin = default, _NO_ORIGIN
        floor: tuple[_Value, Origin] | None = None
        for document, written in values:
            if written is None:
                continue
            value, at = written
            if document.layer is Layer.REQUIREMENTS:
                if strictness(value) > strictness(current):
                    self.notices.append(
                        f"{origin.source}: `{key} = {current}` is replaced: {at.source} requires `{value}`"
                    )
                    current, origin = value, at
                continue
            limit = floor if document.trusted else (current, origin)
            if limit is not None and not document.layer.binds and strictness(value) < strictness(limit[0]):
                why = f"{limit[1].source} says `{limit[0]}`" if document.trusted else _UNTRUSTED
                self.notices.append(f"{at.source}: `{key} = {value}` does not apply: {why}")
                continue
            current, origin = value, at
            if document.layer.binds:
                floor = (value, at)
        return current, origin

    def _filesystem(self) -> tuple[PathRule, ...]:
        binding = [
            rule
            for document in self.documents
            if document.layer.binds
            for rule in document.filesystem
            if rule.access is Access.DENY
        ]
        kept: list[PathRule] = []
        for document in self.documents:
            for rule in document.filesystem:
                if self._path_counts(document, rule, binding):
                    kept.append(rule)
        return tuple(kept)

    def _path_counts(self, document: Document, rule: PathRule, binding: list[PathRule]) -> bool:
        if rule.access is Access.DENY or document.layer.binds:
            return True
        written = f"{rule.origin.source}: `{rule.access.value}` of `{rule.pattern}` does not apply"
        if not document.trusted:
            self.notices.append(f"{written}: {_UNTRUSTED}")
            return False
        for deny in binding:
            if covers(deny.pattern, rule.pattern, home=self.facts.home, workspace=self.facts.workspace):
                self.notices.append(f"{written}: {deny.origin.source} denies `{deny.pattern}`")
                return False
        return True

    def _network(self) -> NetworkPolicy:
        defaults = [(document, document.network.default) for document in self.documents]
        default, origin = self._scalar("network.default", defaults, lambda verdict: verdict.strictness, Verdict.DENY)
        floors = [one.network.default for one in self.documents if one.layer is Layer.REQUIREMENTS]
        floor = next((written for written in floors if written is not None), None)
        ports = self._host_ports()
        return NetworkPolicy(
            default=default,
            default_origin=origin,
            rules=(
                *self._rules([(document, _opening(document)) for document in self.documents]),
                *(_port_rule(port, written) for port, written in ports.items()),
            ),
            host_ports=tuple(ports),
            floor=None if floor is None else floor[0],
            floor_origin=None if floor is None else floor[1],
        )

    def _rules(self, layers: list[tuple[Document, tuple[_Rule, ...]]]) -> tuple[_Rule, ...]:
        replaced = {
            rule.id
            for document, rules in layers
            if document.layer in {Layer.MANAGED, Layer.USER, Layer.PROJECT} and document.trusted
            for rule in rules
        }
        kept: list[_Rule] = []
        for document, rules in layers:
            for rule in rules:
                if document.layer is Layer.PRESET and rule.id in replaced:
                    continue
                if rule.verdict is Verdict.ALLOW and not document.trusted:
                    self.notices.append(f"{rule.origin.source}: rule `{rule.id}` does not apply: {_UNTRUSTED}")
                    continue
                kept.append(rule)
        return tuple(kept)

    def _host_ports(self) -> dict[int, Origin]:
        ports: dict[int, Origin] = {}
        for document in self.documents:
            for port, origin in document.network.host_ports:
                if document.trusted:
                    ports.setdefault(port, origin)
                else:
                    self.notices.append(f"{origin.source}: host port {port} does not apply: {_UNTRUSTED}")
        return dict(sorted(ports.items()))

    def _environment(self) -> EnvironmentPolicy:
        keep: list[str] = []
        values: dict[str, tuple[str, Document]] = {}
        for document in self.documents:
            for name, origin in document.environment.keep:
                if document.trusted:
                    keep.append(name)
                else:
                    self.notices.append(f"{origin.source}: keeping `{name}` does not apply: {_UNTRUSTED}")
            for name, value, origin in document.environment.set:
                known = values.get(name)
                if not document.trusted:
                    self.notices.append(f"{origin.source}: setting `{name}` does not apply: {_UNTRUSTED}")
                elif known is not None and known[1].layer.binds and not document.layer.binds:
                    self.notices.append(f"{origin.source}: setting `{name}` does not apply: {known[1].file} sets it")
                else:
                    values[name] = (value, document)
        return EnvironmentPolicy(
            keep=tuple(dict.fromkeys(keep)),
            set=tuple(sorted((name, value) for name, (value, _) in values.items())),
        )


def _opening(document: Document) -> tuple[HostRule, ...]:
    """The host rules of a document; those of a layer that only tightens cannot turn a default deny into a question."""
    if document.trusted and document.layer is not Layer.REQUIREMENTS:
        return document.network.rules
    return tuple(msgspec.structs.replace(rule, opens=False) for rule in document.network.rules)


def _trust(document: Document) -> str:
    return "" if document.trusted else " (not trusted: only tightens)"


def _port_rule(port: int, origin: Origin) -> HostRule:
    """A port of the host that was asked for is a destination that is allowed: one line of policy, not two."""
    return HostRule(
        id=f"network.host_ports.{port}",
        hosts=(f"{HOST_LOOPBACK}:{port}",),
        verdict=Verdict.ALLOW,
        reason="named in `network.host_ports`",
        origin=origin,
    )
