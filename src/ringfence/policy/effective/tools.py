"""What may be asked of MCP servers, and what they have to be."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ringfence.model.decision import Verdict
from ringfence.policy.effective.origins import BUILT_IN, Origin
from ringfence.policy.layers import Enforcement


class McpRule(msgspec.Struct, frozen=True, kw_only=True):
    """Tools of MCP servers and what may be done with them."""

    id: str
    servers: tuple[str, ...] = ("*",)
    """Globs over the name that the agent's settings give the server."""
    tools: tuple[str, ...] = ("*",)
    """Globs over the tool's name."""
    arguments: tuple[tuple[str, str], ...] = ()
    """Dotted keys of the arguments, each with a glob that its value has to match."""
    verdict: Verdict
    reason: str = ""
    origin: Origin
    enforcement: Enforcement | None = None


class McpServer(msgspec.Struct, frozen=True, kw_only=True):
    """What a server of this name has to be."""

    id: str
    name: str
    """As the agent's settings call it."""
    command: tuple[str, ...] = ()
    """The argument vector that starts it; nothing where an address says what it is."""
    url: str = ""
    """Its address, without query."""
    tools: tuple[str, ...] = ()
    """Digests of lists of tools that it may have; any where none is named."""
    reason: str = ""
    origin: Origin


class Unseen(StrEnum):
    """What happens with a session of which a server of tools starts without us in front of it, loosest first."""

    ALLOW = "allow"
    """It starts, and says which servers those are."""
    DENY = "deny"


class McpPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What may be asked of MCP servers."""

    default: Verdict = Verdict.ALLOW
    """For tools that no rule names; the sandbox holds them like everything else."""
    default_origin: Origin = BUILT_IN
    rules: tuple[McpRule, ...] = ()
    changed: Verdict = Verdict.ASK
    """For a server whose list of tools is another than the one that was taken before."""
    changed_origin: Origin = BUILT_IN
    unseen: Unseen = Unseen.ALLOW
    """For a session of an agent that starts a server which cannot be put behind us."""
    unseen_origin: Origin = BUILT_IN
    servers: tuple[McpServer, ...] = ()
