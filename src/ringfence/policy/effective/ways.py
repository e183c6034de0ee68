"""Ways between a sandbox and the host, each shut unless somebody opened it."""

from __future__ import annotations

import msgspec

from ringfence.policy.effective.origins import Origin


class SshAgentWay(msgspec.Struct, frozen=True, kw_only=True):
    """Keys of the person's ssh-agent that may sign inside, and for which hosts."""

    keys: tuple[str, ...]
    """Fingerprints, `SHA256:...`."""
    hosts: tuple[str, ...]
    """Names as `known_hosts` has them, each with `[NAME]:PORT` where the port is another."""
    origin: Origin


class BusWay(msgspec.Struct, frozen=True, kw_only=True):
    """Names on one of the person's message buses that may be called from inside."""

    bus: str
    """`session` or `system`."""
    talk: tuple[str, ...]
    """Well-known names; one that ends in `.*` means every name below."""
    origin: Origin


class PublishedPort(msgspec.Struct, frozen=True, kw_only=True):
    """A port of the host's loopback that leads to one of the sandbox's."""

    host: int
    inside: int


class WayPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Ways between a sandbox and the host, each shut unless somebody opened it."""

    sockets: tuple[str, ...] = ()
    """Absolute paths of the host's unix sockets, which appear at the same place."""
    devices: tuple[str, ...] = ()
    """Device nodes below `/dev`."""
    publish: tuple[PublishedPort, ...] = ()
    ssh_agent: tuple[SshAgentWay, ...] = ()
    dbus: tuple[BusWay, ...] = ()
    nested_namespaces: bool = False
    """Whether programs inside may make user namespaces, as agents with a sandbox of their own do."""
    outside: bool = False
    """Whether a command's profile may place it outside."""
