"""All layers into one policy: what each says, what it may say, and why each line that does not count does not.

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
    BUILT_IN,
    Access,
    ApprovalPolicy,
    CommandPolicy,
    CommandRule,
    EnvironmentPolicy,
    HostRule,
    Inactive,
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

_TIERS = ("C", "B", "A")


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the meaning of paths depends on."""

    home: str
    workspace: str


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The preset that applies, who chose it, and the choices that do not count."""

    name: str
    origin: Origin
    inactive: tuple[Inactive, ...] = ()


def choose_preset(documents: Iterable[Document], choice: str | None) -> Chosen:
    """The preset that applies. `choice` is the person's at the keyboard."""
    inactive: list[Inactive] = []
    name, by = DEFAULT_PRESET, BUILT_IN
    allowed: tuple[tuple[str, ...], Origin] | None = None
    for document in _ordered(documents):
        if document.allowed_presets is not None:
            allowed = document.allowed_presets
        if document.extends is None:
            continue
        wanted, origin = document.extends
        if not document.trusted and PRESETS.index(wanted) > PRESETS.index(name):
            inactive.append(Inactive(origin=origin, what=f"preset `{wanted}`", why=_UNTRUSTED))
        else:
            if wanted != name:
                inactive += _displaced(f"preset `{name}`", by, f"{origin.source} chooses `{wanted}`", origin)
            name, by = wanted, origin
    if choice is not None and choice != name:
        inactive += _displaced(f"preset `{name}`", by, f"{_COMMAND_LINE.source} chooses `{choice}`", _COMMAND_LINE)
    if choice is not None:
        name, by = choice, _COMMAND_LINE
    if allowed is not None and name not in allowed[0]:
        nearest = _nearest(name, allowed[0])
        why = f"{allowed[1].source} does not permit it; `{nearest}` applies"
        inactive.append(Inactive(origin=by, what=f"preset `{name}`", why=why, by=allowed[1]))
        name, by = nearest, allowed[1]
    return Chosen(name=name, origin=by, inactive=tuple(inactive))


def merge(documents: Iterable[Document], *, facts: Facts, chosen: Chosen | None = None) -> Policy:
    """The effective policy of some documents, one of which is the preset; `chosen` says how it became the one."""
    merging = _Merging(tuple(_ordered(documents)), facts)
    policy = merging.policy()
    if chosen is not None:
        merging.inactive[:0] = chosen.inactive
        merging.origins["extends"] = chosen.origin
    origins = tuple(sorted(merging.origins.items()))
    policy = msgspec.structs.replace(policy, inactive=tuple(merging.inactive), origins=origins)
    return msgspec.structs.replace(policy, digest=digest(policy))


_COMMAND_LINE = Origin(layer=Layer.SESSION.value, source="the command line")
_UNTRUSTED = "an untrusted project only tightens; read the file and trust it with `ringfence trust`"
_ORDER = (Layer.PRESET, Layer.MANAGED, Layer.USER, Layer.PROJECT, Layer.SESSION, Layer.REQUIREMENTS)


def _ordered(documents: Iterable[Document]) -> list[Document]:
    return sorted(documents, key=lambda document: _ORDER.index(document.layer))


def _nearest(name: str, allowed: tuple[str, ...]) -> str:
    """The loosest permitted preset that is stricter than the one asked for, else the strictest of all."""
    stricter = [preset for preset in PRESETS[: PRESETS.index(name)] if preset in allowed]
    return stricter[-1] if stricter else next(preset for preset in PRESETS if preset in allowed)


def _displaced(what: str, origin: Origin, why: str, by: Origin) -> tuple[Inactive, ...]:
    """A value in whose place its reader put another; nothing where nobody had written one."""
    if origin == BUILT_IN:
        return ()
    return (Inactive(origin=origin, what=what, why=why, by=by, told=False),)


class _Merging:
    def __init__(self, documents: tuple[Document, ...], facts: Facts) -> None:
        self.documents = documents
        self.facts = facts
        self.inactive: list[Inactive] = []
        self.origins: dict[str, Origin] = {}

    def skip(self, origin: Origin, what: str, why: str, by: Origin | None = None, *, told: bool = True) -> None:
        """Note that something that was written does not count."""
        self.inactive.append(Inactive(origin=origin, what=what, why=why, by=by, told=told))

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
        current, origin = default, BUILT_IN
        floor: tuple[_Value, Origin] | None = None
        for document, written in values:
            if written is None:
                continue
            value, at = written
            what = f"`{key} = {current}`"
            if document.layer is Layer.REQUIREMENTS:
                if strictness(value) > strictness(current):
                    self.skip(origin, what, f"{at.source} requires `{value}`", at)
                    current, origin = value, at
                continue
            limit = floor if document.trusted else (current, origin)
            if limit is not None and not document.layer.binds and strictness(value) < strictness(limit[0]):
                why = f"{limit[1].source} says `{limit[0]}`" if document.trusted else _UNTRUSTED
                self.skip(at, f"`{key} = {value}`", why, limit[1])
                continue
            if value != current:
                self.inactive += _displaced(what, origin, f"{at.source} says `{value}`", at)
            current, origin = value, at
            if document.layer.binds:
                floor = (value, at)
        self.origins[key] = origin
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
        what = f"`{rule.access.value}` of `{rule.pattern}`"
        if not document.trusted:
            self.skip(rule.origin, what, _UNTRUSTED)
            return False
        for deny in binding:
            if covers(deny.pattern, rule.pattern, home=self.facts.home, workspace=self.facts.workspace):
                self.skip(rule.origin, what, f"{deny.origin.source} denies `{deny.pattern}`", deny.origin)
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
            rule.id: rule.origin
            for document, rules in layers
            if document.layer in {Layer.MANAGED, Layer.USER, Layer.PROJECT} and document.trusted
            for rule in rules
        }
        kept: list[_Rule] = []
        for document, rules in layers:
            for rule in rules:
                what = f"rule `{rule.id}`"
                if document.layer is Layer.PRESET and rule.id in replaced:
                    by = replaced[rule.id]
                    self.skip(rule.origin, what, f"that of {by.source} takes its place", by, told=False)
                    continue
                if rule.verdict is Verdict.ALLOW and not document.trusted:
                    self.skip(rule.origin, what, _UNTRUSTED)
                    continue
                kept.append(rule)
        return tuple(kept)

    def _host_ports(self) -> dict[int, Origin]:
        ports: dict[int, Origin] = {}
        for document in self.documents:
            for port, origin in document.network.host_ports:
                if document.trusted:
                    ports.setdefault(port, origin)
                    self.origins.setdefault(f"network.host_ports.{port}", origin)
                else:
                    self.skip(origin, f"host port {port}", _UNTRUSTED)
        return dict(sorted(ports.items()))

    def _environment(self) -> EnvironmentPolicy:
        keep: list[str] = []
        values: dict[str, tuple[str, Document, Origin]] = {}
        for document in self.documents:
            for name, origin in document.environment.keep:
                if document.trusted:
                    keep.append(name)
                    self.origins.setdefault(f"environment.keep.{name}", origin)
                else:
                    self.skip(origin, f"keeping `{name}`", _UNTRUSTED)
            for name, value, origin in document.environment.set:
                known = values.get(name)
                what = f"setting `{name}`"
                if not document.trusted:
                    self.skip(origin, what, _UNTRUSTED)
                elif known is not None and known[1].layer.binds and not document.layer.binds:
                    self.skip(origin, what, f"{known[2].source} sets it", known[2])
                else:
                    if known is not None:
                        self.skip(known[2], what, f"{origin.source} sets it", origin, told=False)
                    values[name] = (value, document, origin)
                    self.origins[f"environment.set.{name}"] = origin
        return EnvironmentPolicy(
            keep=tuple(dict.fromkeys(keep)),
            set=tuple(sorted((name, value) for name, (value, _, _) in values.items())),
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
