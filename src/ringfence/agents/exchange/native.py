"""The effective policy as an agent's own managed settings: the files, and everything that they do not hold.

Nothing looser than the policy is ever written: where an agent has no words for a rule, the rule is listed as unmapped,
and where only a broader restriction can be said, that is written and listed as stricter.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import StrEnum

import msgspec

from ringfence.agents.exchange.draft import Note, Unmapped
from ringfence.agents.exchange.effect_words import worded
from ringfence.model.decision import Verdict
from ringfence.policy.effective import CommandRule, HostRule, McpRule, PathRule, Policy, Unseen
from ringfence.policy.schema import escaped

POLICY = "policy"
"""The origin of what stands in no file of its own."""

_POLICY_FIELDS = frozenset(
    [
        *("preset", "filesystem", "network", "commands", "environment", "layers", "tests", "inactive", "origins"),
        *("digest", "mcp", "soft", "observed", "control_files"),
    ]
)
_COMMAND_FIELDS = frozenset({"id", "prefix", "verdict", "reason", "match", "not_match", "origin", "enforcement"})
_HOST_FIELDS = frozenset({"id", "hosts", "methods", "paths", "verdict", "reason", "origin", "opens", "enforcement"})
_PATH_FIELDS = frozenset({"pattern", "access", "origin", "reason"})
_NETWORK_FIELDS = frozenset(
    {"default", "default_origin", "rules", "host_ports", "floor", "floor_origin", "pass_through"}
)


class NativeAgent(StrEnum):
    """The agents that have managed settings."""

    CODEX = "codex"
    CLAUDE = "claude"
    GEMINI = "gemini"
    OPENCODE = "opencode"


class NativeFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of managed settings."""

    name: str
    place: str
    """Where the agent reads it, on Linux."""
    content: str


class Native(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy comes to for one agent."""

    agent: NativeAgent
    files: tuple[NativeFile, ...]
    unmapped: tuple[Unmapped, ...]
    stricter: tuple[Note, ...]
    limits: tuple[str, ...]
    """What the agent's own enforcement does not see, whatever is written."""


class Losses:
    """What does not fit, while an agent's files are made."""

    def __init__(self) -> None:
        self._unmapped: dict[Unmapped, None] = {}
        self._stricter: dict[Note, None] = {}

    @property
    def unmapped(self) -> tuple[Unmapped, ...]:
        """What the files do not hold, each once."""
        return tuple(self._unmapped)

    @property
    def stricter(self) -> tuple[Note, ...]:
        """What they hold more strictly, each once."""
        return tuple(self._stricter)

    def lose(self, origin: str, item: str, reason: str, *, restricts: bool) -> None:
        """List something that the files do not hold."""
        self._unmapped[Unmapped(origin=origin, item=item, reason=reason, restricts=restricts)] = None

    def tighten(self, origin: str, item: str, text: str) -> None:
        """Say what the files hold more strictly."""
        self._stricter[Note(origin=origin, item=item, text=text)] = None


def lose_unseen(policy: Policy, losses: Losses) -> None:
    """List that servers which start unseen refuse a session: there all of them do."""
    if policy.mcp.unseen is Unseen.DENY:
        losses.lose(policy.mcp.unseen_origin.source, "mcp.unseen deny", "servers start by themselves", restricts=True)


def lose_mcp(policy: Policy, losses: Losses) -> None:
    """List what a policy says about tools of MCP servers, for agents that cannot be told."""
    lose_unseen(policy, losses)
    if policy.mcp.default is not Verdict.ALLOW:
        source = policy.mcp.default_origin.source
        losses.lose(source, f"mcp.default {policy.mcp.default.value}", "there is no such setting", restricts=True)
    for rule in policy.mcp.rules:
        restricts = rule.verdict is not Verdict.ALLOW
        losses.lose(
            rule.origin.source, mcp_item(rule), "tools of servers cannot be told apart there", restricts=restricts
        )


def mcp_item(rule: McpRule) -> str:
    """A rule about tools in one line."""
    return f"{rule.verdict.value} {' '.join(map(escaped, rule.servers))} / {' '.join(map(escaped, rule.tools))}"


def command_item(rule: CommandRule) -> str:
    """A command rule in one line."""
    words = " ".join(one[0] if len(one) == 1 else f"({'|'.join(one)})" for one in rule.prefix)
    return f"{rule.verdict.value} `{rule.id}`: {escaped(words)}" if words else f"{rule.verdict.value} `{rule.id}`"


def host_item(rule: HostRule) -> str:
    """A host rule in one line."""
    return f"{rule.verdict.value} {' '.join(map(escaped, rule.hosts))}"


def path_item(rule: PathRule) -> str:
    """A path rule in one line."""
    return f"{rule.access.value} `{escaped(rule.pattern)}`"


def expressible_commands(policy: Policy, losses: Losses) -> list[tuple[str, CommandRule]]:
    """The command rules in words; what words cannot say is listed. Each comes with the line it is listed under."""
    found: list[tuple[str, CommandRule]] = []
    for rule in policy.commands.rules:
        more = written_fields(rule, _COMMAND_FIELDS)
        if not rule.prefix:
            found.extend((command_item(rule), one) for one in _by_words(rule, losses))
        elif more and rule.verdict is Verdict.ALLOW:
            reason = f"agents do not know {_listed(more)}, and without it more would be allowed"
            losses.lose(rule.origin.source, command_item(rule), reason, restricts=False)
        else:
            found.append((command_item(rule), rule))
            if more:
                text = f"holds for every command with these words: agents do not know {_listed(more)}"
                losses.tighten(rule.origin.source, command_item(rule), text)
    return found


def _by_words(rule: CommandRule, losses: Losses) -> list[CommandRule]:
    """A rule about what a command does, as far as words say so."""
    origin, item = rule.origin.source, command_item(rule)
    if rule.verdict is Verdict.ALLOW:
        losses.lose(origin, item, "it is about what a command does, and words would allow more", restricts=False)
        return []
    reason = "where what a command does depends on its arguments, or no tool table knows it, words do not show it"
    losses.lose(origin, item, reason, restricts=True)
    found = worded(rule)
    if rule.unless:
        losses.tighten(origin, item, "agents know no exceptions")
    if rule.undoable:
        losses.tighten(origin, item, "agents ask where a snapshot would stand in for the question")
    return [msgspec.structs.replace(one, unless=()) for one in found]


def expressible_hosts(policy: Policy, losses: Losses) -> list[HostRule]:
    """The host rules without anything that no agent knows; the others are listed."""
    found = []
    for rule in policy.network.rules:
        more = written_fields(rule, _HOST_FIELDS)
        if more or rule.methods or rule.paths:
            names = [*more, *(["methods"] if rule.methods else []), *(["paths"] if rule.paths else [])]
            reason = f"it depends on {_listed(names)}, and agents decide by the host alone"
            losses.lose(rule.origin.source, host_item(rule), reason, restricts=rule.verdict is not Verdict.ALLOW)
        else:
            found.append(rule)
    return found


def lose_rest(policy: Policy, losses: Losses) -> None:
    """List every part of a policy that no agent has words for, also those that came after this was written."""
    for name in written_fields(policy, _POLICY_FIELDS):
        reason = "agents have no setting for it; it holds in sessions of Ringfence"
        losses.lose(POLICY, _key(name), reason, restricts=True)
    for name in written_fields(policy.network, _NETWORK_FIELDS):
        losses.lose(POLICY, f"network.{name}", "agents have no setting for it", restricts=True)
    reason = "files that decide what runs later are protected in sessions of Ringfence only"
    losses.lose(POLICY, "control files", reason, restricts=True)
    for origin in policy.soft:
        losses.tighten(origin.source, "a soft denial", "nobody can override it there")
    if policy.observed is not None:
        losses.lose(POLICY, "what only observes", "agents have no way to observe", restricts=False)
    for rule in policy.filesystem:
        more = written_fields(rule, _PATH_FIELDS)
        if more:
            losses.tighten(rule.origin.source, path_item(rule), f"agents do not know {_listed(more)}")
    for pattern in policy.network.pass_through:
        origin = policy.origin_of(f"network.pass_through.{pattern}")
        losses.lose(origin.source, f"network.pass_through {pattern}", "agents look into no connection", restricts=False)
    for port in policy.network.host_ports:
        reason = "agents have no setting for single ports of the host's loopback"
        losses.lose(POLICY, f"network.host_ports {port}", reason, restricts=False)


def lose_environment(policy: Policy, losses: Losses, *, settable: bool) -> None:
    """List the environment, for agents that hand all of it to their commands."""
    reason = "the agent hands its whole environment to commands; start it with a clean one"
    losses.lose(POLICY, "environment.keep", reason, restricts=True)
    for name in policy.environment.remove:
        losses.lose(POLICY, f"environment.remove {name}", reason, restricts=True)
    if not settable:
        for name, _ in policy.environment.set:
            losses.lose(POLICY, f"environment.set.{name}", "the agent sets no variables", restricts=False)


def written_fields(value: msgspec.Struct, known: Collection[str]) -> list[str]:
    """The fields beside the known ones that do not have their default."""
    return [
        field.name
        for field in msgspec.structs.fields(value)
        if field.name not in known and getattr(value, field.name) != _default(field)
    ]


def _default(field: msgspec.structs.FieldInfo) -> object:
    if field.default_factory is not msgspec.NODEFAULT:
        make: Callable[[], object] = field.default_factory
        return make()
    return field.default


def _key(name: str) -> str:
    return {"approvals": "approvals.timeout_seconds", "min_tier": "sandbox.min_tier"}.get(name, name)


def _listed(names: Collection[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)
