"""What an import has found so far: the parts of a policy with their origins, and everything that did not fit.

A draft only collects. Agents' settings are read in `codex_settings`, `codex_rules` and `claude_settings`; the policy is
written in `policy_text`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from ringfence.model.decision import Verdict
from ringfence.model.host_pattern import HostPattern
from ringfence.model.situations import Diagnostic
from ringfence.policy.effective import Access
from ringfence.policy.paths import check_pattern
from ringfence.policy.sections.settings import PRESETS

_SLUG = re.compile(r"[^A-Za-z0-9._]+")


class Unmapped(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was written and is not carried over."""

    origin: str
    """`file:line`."""
    item: str
    reason: str
    restricts: bool
    """Whether it held the agent back, so that without it more passes than before."""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is carried over in another way than it was written."""

    origin: str
    item: str
    text: str


class CommandPart(msgspec.Struct, frozen=True, kw_only=True):
    """A command rule to be."""

    id: str
    prefix: tuple[tuple[str, ...], ...]
    verdict: Verdict
    reason: str
    match: tuple[str, ...]
    not_match: tuple[str, ...]
    origin: str


class HostPart(msgspec.Struct, frozen=True, kw_only=True):
    """A host rule to be."""

    hosts: tuple[str, ...]
    methods: tuple[str, ...]
    verdict: Verdict
    reason: str
    origin: str


class McpPart(msgspec.Struct, frozen=True, kw_only=True):
    """A rule about tools of MCP servers to be."""

    server: str
    tool: str
    verdict: Verdict
    origin: str


class PathPart(msgspec.Struct, frozen=True, kw_only=True):
    """A path rule to be."""

    pattern: str
    access: Access
    origin: str


class TestPart(msgspec.Struct, frozen=True, kw_only=True):
    """A command whose verdict the policy is tested for."""

    shell: str
    expect: Verdict
    origin: str


class Draft:
    """The growing policy. Every `add_` is the policy's; `unmapped`, `stricter` and `covered` are for the reader."""

    def __init__(self) -> None:
        self.extends: tuple[str, str] | None = None
        self.network_default: tuple[Verdict, str] | None = None
        self.commands: list[CommandPart] = []
        self.hosts: list[HostPart] = []
        self.mcp_default: tuple[Verdict, str] | None = None
        self.mcp: list[McpPart] = []
        self.paths: list[PathPart] = []
        self.tests: list[TestPart] = []
        self.keep: list[tuple[str, str]] = []
        self.remove: list[tuple[str, str]] = []
        self.set: list[tuple[str, str, str]] = []
        self.unmapped: list[Unmapped] = []
        self.stricter: list[Note] = []
        self.covered: list[Note] = []
        self.faults: list[Diagnostic] = []
        self._ids: set[str] = set()

    def fault(self, file: str, line: int, column: int, message: str) -> None:
        """Note that a file is not what its agent would accept: then nothing is imported."""
        self.faults.append(Diagnostic(file=file, line=line, column=column, message=message))

    def lose(self, origin: str, item: str, reason: str, *, restricts: bool) -> None:
        """List something that is not carried over."""
        self.unmapped.append(Unmapped(origin=origin, item=item, reason=reason, restricts=restricts))

    def tighten(self, origin: str, item: str, text: str) -> None:
        """Say what is stricter than it was written."""
        self.stricter.append(Note(origin=origin, item=item, text=text))

    def cover(self, origin: str, item: str, text: str) -> None:
        """Say why something needs no line."""
        self.covered.append(Note(origin=origin, item=item, text=text))

    def choose_preset(self, name: str, origin: str) -> None:
        """Start from a preset; the strictest of several."""
        if self.extends is None or PRESETS.index(name) < PRESETS.index(self.extends[0]):
            self.extends = name, origin

    def choose_default(self, verdict: Verdict, origin: str) -> None:
        """The verdict for hosts that no rule names; the strictest of several."""
        if self.network_default is None or verdict.strictness > self.network_default[0].strictness:
            self.network_default = verdict, origin

    def add_command(self, part: CommandPart) -> None:
        """A command rule."""
        self.commands.append(part)

    def add_host(
        self, host: str, verdict: Verdict, origin: str, item: str, *, reason: str = "", methods: Iterable[str] = ()
    ) -> None:
        """A host rule, or its loss where the host is none that we can write."""
        try:
            pattern = str(HostPattern.parse(host))
        except ValueError as error:
            self.lose(origin, item, str(error), restricts=verdict is not Verdict.ALLOW)
            return
        part = HostPart(hosts=(pattern,), methods=tuple(methods), verdict=verdict, reason=reason, origin=origin)
        self.hosts.append(part)

    def add_mcp(self, server: str, tool: str, verdict: Verdict, origin: str, item: str) -> None:
        """A rule about tools of a server, both with `*` for any text, or its loss where a name cannot be written."""
        if not all(name and name.isprintable() and not set(name) & set("?[]") for name in (server, tool)):
            restricts = verdict is not Verdict.ALLOW
            self.lose(
                origin, item, "the name of a server or tool has characters that stand for others", restricts=restricts
            )
            return
        self.mcp.append(McpPart(server=server, tool=tool, verdict=verdict, origin=origin))

    def add_path(self, pattern: str, access: Access, origin: str, item: str) -> bool:
        """A path rule, or its loss where the path is none that we can write."""
        fault = check_pattern(pattern)
        if fault is not None:
            self.lose(origin, item, fault, restricts=access is Access.DENY)
            return False
        self.paths.append(PathPart(pattern=pattern, access=access, origin=origin))
        return True

    def free_id(self, agent: str, words: Iterable[str]) -> str:
        """A rule id that is not taken, made of the words that it is about."""
        slug = _SLUG.sub("-", " ".join(words)).strip("-.")[:48].rstrip("-.") or "rule"
        name, number = f"{agent}-{slug}", 1
        while name in self._ids:
            number += 1
            name = f"{agent}-{slug}-{number}"
        self._ids.add(name)
        return name
