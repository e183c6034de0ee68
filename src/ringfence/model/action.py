"""Actions: what an agent wants to do, in a form that can be judged, shown and bound to an approval.

An action is complete: its digest binds everything that decides what will happen, so that what was shown is what runs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

from ringfence.model.canonical import digest


class EffectKind(StrEnum):
    """What an action does to the world."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    EXECUTE = "execute"
    CONNECT = "connect"
    PUBLISH = "publish"
    CONFIGURE = "configure"
    DESTROY = "destroy"
    PRIVILEGE = "privilege"


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """One effect and its object."""

    kind: EffectKind
    object: str
    """A path, a host, a program: what the effect falls on."""


class CommandAction(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="command"):
    """A program to be run, by argument vector or as a shell string."""

    argv: tuple[str, ...]
    """The exact arguments; for a shell string, the shell and its options as they would be run."""
    cwd: str
    """The absolute working directory."""
    shell: str | None = None
    """The script, where the command came as a shell string."""
    environment: tuple[tuple[str, str], ...] = ()
    """Variables that this command changes, sorted by name."""
    executable: str | None = None
    """The resolved absolute path of the program, where it was resolved."""


class FileOperation(StrEnum):
    """What is done to a file."""

    READ = "read"
    WRITE = "write"


class FileAction(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="file"):
    """A file to be read or written by a tool of the agent, without a command."""

    operation: FileOperation
    path: str
    """The absolute path."""


class RequestFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What else is known about an HTTP request: only what a rule about its host asks for, because the rest is nobody's
    business and may be secret."""

    operations: tuple[str, ...] = ()
    """What it does, such as `read`, `git-push` or `graphql-mutation`."""
    query: tuple[tuple[str, str], ...] = ()
    """Keys of the query that rules name, with their values, decoded; a key may stand here more than once."""
    headers: tuple[tuple[str, str], ...] = ()
    """Header fields that rules name, in lower case, with their values."""


class ConnectAction(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="connect"):
    """A connection to a destination, or one HTTP request to it."""

    host: str
    """The normalised host name or address literal."""
    port: int
    method: str | None = None
    """The HTTP method, where the request can be seen."""
    path: str | None = None
    """The HTTP path without query, where the request can be seen."""
    facts: RequestFacts | msgspec.UnsetType = msgspec.UNSET
    """What rules ask about the request beyond that; left out where it was not looked for."""
    models: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    """The models that the request asks, where it was read for them; left out where it was not."""


class ServerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about an MCP server beside the name that an agent gives it."""

    identity: str
    """How it is started or reached: `command:` with the digest of its argument vector, or its address."""
    tools: str = ""
    """The digest of the list of tools that it gave last."""
    changed: str = ""
    """What is different in that list from the one that was taken before, in words; empty where nothing is."""
    listing: bool = False
    """Whether this is about that list itself, before the agent is shown it."""


class McpAction(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="mcp"):
    """A call of a tool on an MCP server."""

    server: str
    tool: str
    arguments: str = "{}"
    """The arguments, as canonical JSON text."""
    facts: ServerFacts | msgspec.UnsetType = msgspec.UNSET
    """What the server is and what its tools were; left out where nobody saw it start."""


class OpaqueAction(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="opaque"):
    """A tool call that we do not know; it is recorded as it came and judged by the policy's rule for unknown tools."""

    tool: str
    arguments: str = "{}"
    """The arguments, as canonical JSON text."""


Action: TypeAlias = CommandAction | FileAction | ConnectAction | McpAction | OpaqueAction


def action_digest(action: Action) -> str:
    """The digest that binds an approval to exactly this action."""
    return digest(action)
