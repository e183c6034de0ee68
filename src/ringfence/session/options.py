"""What a person or a program asks of a session. Everything here stays under the policy's requirements."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ringfence.policy.effective import WorkspaceMode


class Ask(StrEnum):
    """Who answers when an action needs a person."""

    TERMINAL = "terminal"
    WEB = "web"
    QUEUE = "queue"
    DENY = "deny"
    DELEGATED = "delegated"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The options that `run`, `exec` and the Python API share."""

    workspace: str | None = None
    """A folder; None means the Git top level of the working directory, else the working directory."""
    policy: str | None = None
    """The name of a preset or the path of a policy file; None means the user's own policy."""
    min_tier: str | None = None
    image: str | None = None
    """A container image, or the folder of an unpacked one, that programs come from instead of the host."""
    oci_runtime: str | None = None
    """The OCI runtime that makes the sandbox's container; None means our own launcher."""
    allow_hosts: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    """Names of variables of the person's environment that reach the sandbox."""
    publish: tuple[str, ...] = ()
    """Ports of the sandbox that appear on this machine's loopback: `3000`, `8080:3000`."""
    workspace_mode: WorkspaceMode | None = None
    """None means what the policy says."""
    server: str | None = None
    """What rules call the command, where it is a server of tools that an agent outside speaks to."""
    ask: Ask = Ask.TERMINAL
