"""Merges what documents open between a sandbox and the host, and the plans that they give to single commands.

Pure. Whatever opens counts only from a document that is trusted, and never what any document forbids.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

import msgspec

from ringfence.model.canonical import digest
from ringfence.policy.choosing import distrust
from ringfence.policy.documents import Document
from ringfence.policy.effective import Access, CommandProfile, Origin, PathRule, PublishedPort, WayPolicy
from ringfence.policy.paths import covers
from ringfence.policy.sections.ways import Way

_Value = TypeVar("_Value")


class Skip(Protocol):
    """Notes that something that was written does not count."""

    def __call__(self, origin: Origin, what: str, why: str, by: Origin | None = None, *, told: bool = True) -> None: ...


def merged_ways(documents: Iterable[Document], home: str, skip: Skip, origins: dict[str, Origin]) -> WayPolicy:
    """Every way that somebody opened and nobody forbids."""
    merging = _Ways(tuple(documents), skip, origins)
    sockets = merging.opened(
        Way.SOCKETS, [(one, [(_at(text, home), at) for text, at in one.sandbox.sockets]) for one in merging.documents]
    )
    devices = merging.opened(Way.DEVICES, [(one, list(one.sandbox.devices)) for one in merging.documents])
    agents = merging.opened(
        Way.SSH_AGENT, [(one, [(way, way.origin) for way in one.sandbox.ssh_agent]) for one in merging.documents]
    )
    buses = merging.opened(
        Way.DBUS, [(one, [(way, way.origin) for way in one.sandbox.dbus]) for one in merging.documents]
    )
    nested = [one.sandbox.nested_namespaces for one in merging.documents]
    return WayPolicy(
        sockets=tuple(dict.fromkeys(sockets)),
        devices=tuple(dict.fromkeys(devices)),
        publish=merging.ports(),
        ssh_agent=tuple(agents),
        dbus=tuple(buses),
        nested_namespaces=merging.flag(Way.NESTED_NAMESPACES, zip(merging.documents, nested, strict=True)),
        outside=merging.flag(Way.OUTSIDE, [(one, one.sandbox.outside) for one in merging.documents]),
    )


def merged_profiles(documents: Iterable[Document], home: str, workspace: str, skip: Skip) -> tuple[CommandProfile, ...]:
    """The profiles that count; from a document that only tightens, those that only take away."""
    documents = tuple(documents)
    forbidden = _forbidden(documents).get(Way.PROFILES)
    binding = [rule for one in documents if one.layer.binds for rule in one.filesystem if rule.access is Access.DENY]
    kept = []
    for document in documents:
        for profile in document.profiles:
            what = f"profile `{profile.id}`"
            if profile.widens and not document.trusted:
                skip(profile.origin, what, distrust(document))
            elif profile.widens and forbidden is not None:
                skip(profile.origin, what, f"{forbidden.source} forbids it", forbidden)
            else:
                paths = tuple(
                    rule
                    for rule in profile.paths
                    if document.layer.binds or _counts(rule, binding, home, workspace, skip)
                )
                kept.append(msgspec.structs.replace(profile, paths=paths))
    return tuple(kept)


def _counts(rule: PathRule, binding: Iterable[PathRule], home: str, workspace: str, skip: Skip) -> bool:
    if rule.access is Access.DENY:
        return True
    for deny in binding:
        if covers(deny.pattern, rule.pattern, home=home, workspace=workspace):
            what = f"`{rule.access.value}` of `{rule.pattern}`"
            skip(rule.origin, what, f"{deny.origin.source} denies `{deny.pattern}`", deny.origin)
            return False
    return True


def _forbidden(documents: Iterable[Document]) -> dict[str, Origin]:
    found: dict[str, Origin] = {}
    for document in documents:
        for way, origin in document.sandbox.forbid:
            found[way] = origin
    return found


class _Ways:
    def __init__(self, documents: tuple[Document, ...], skip: Skip, origins: dict[str, Origin]) -> None:
        self.documents = documents
        self._skip = skip
        self._origins = origins
        self._forbidden = _forbidden(documents)
        for way, origin in self._forbidden.items():
            origins[f"sandbox.forbid.{way}"] = origin

    def opened(self, way: Way, written: Iterable[tuple[Document, list[tuple[_Value, Origin]]]]) -> list[_Value]:
        """The entries of a list that count."""
        found = []
        for document, entries in written:
            for value, origin in entries:
                if self._stands(document, way, origin):
                    found.append(value)
                    name = value if isinstance(value, str) else digest(value)[7:15]
                    self._origins.setdefault(f"sandbox.{way}.{name}", origin)
        return found

    def flag(self, way: Way, written: Iterable[tuple[Document, tuple[bool, Origin] | None]]) -> bool:
        """Whether somebody who may opened it; who says false shuts it for the layers before."""
        value = False
        shut: Origin | None = None
        for document, one in written:
            if one is None or (one[0] and not self._stands(document, way, one[1])):
                continue
            if one[0] and shut is not None and not document.layer.binds:
                self._skip(one[1], f"`sandbox.{way}`", f"{shut.source} shuts it", shut)
                continue
            shut = one[1] if document.layer.binds and not one[0] else shut
            value = one[0]
            self._origins[f"sandbox.{way}"] = one[1]
        return value

    def ports(self) -> tuple[PublishedPort, ...]:
        """One for each port of the host; the first to be written stays."""
        found: dict[int, tuple[PublishedPort, Origin]] = {}
        for document in self.documents:
            for port, origin in document.sandbox.publish:
                if not self._stands(document, Way.PUBLISH, origin):
                    continue
                known = found.setdefault(port.host, (port, origin))
                self._origins.setdefault(f"sandbox.publish.{port.host}", origin)
                if known[0] != port:
                    what = f"publishing {port.inside} as {port.host}"
                    self._skip(origin, what, f"{known[1].source} publishes {known[0].inside} there", known[1])
        return tuple(port for _, (port, _) in sorted(found.items()))

    def _stands(self, document: Document, way: Way, origin: Origin) -> bool:
        what = f"`sandbox.{way}`"
        if not document.trusted:
            self._skip(origin, what, distrust(document))
            return False
        by = self._forbidden.get(way)
        if by is not None:
            self._skip(origin, what, f"{by.source} forbids it", by)
            return False
        return True


def _at(text: str, home: str) -> str:
    return f"{home}/{text[2:]}" if text.startswith("~/") else text
