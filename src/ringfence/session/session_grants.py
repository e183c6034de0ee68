"""What the person at the keyboard, and the agent's profile, open for one session: a layer of the policy like others."""

from __future__ import annotations

import msgspec

from ringfence.model.decision import Verdict
from ringfence.model.host_pattern import HostPattern
from ringfence.model.situations import UsageInvalid
from ringfence.policy.documents import Document
from ringfence.policy.effective import Access, HostRule, ModelHost, Origin, PathRule, PublishedPort, WorkspaceMode
from ringfence.policy.layers import Layer
from ringfence.policy.paths import check_pattern
from ringfence.policy.protocols import usual
from ringfence.policy.sections.models import ModelSection
from ringfence.policy.sections.network import NetworkSection
from ringfence.policy.sections.settings import EnvironmentSection
from ringfence.policy.sections.ways import SandboxSection, published_port

COMMAND_LINE = "the command line"
"""Who opened what was opened with options."""


class SessionGrants(msgspec.Struct, frozen=True, kw_only=True):
    """What the person at the keyboard opens for one session; still under requirements."""

    allow_hosts: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    """Absolute paths, or patterns as in a policy."""
    write: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    """Names of variables that are kept."""
    host_ports: tuple[int, ...] = ()
    models: tuple[str, ...] = ()
    """Hosts on which the agent asks its model. It opens nothing: they are read where others are."""
    publish: tuple[str, ...] = ()
    """Ports of the sandbox that appear on the host's loopback: `3000`, `8080:3000`."""
    workspace_mode: WorkspaceMode | None = None
    source: str = COMMAND_LINE
    """Who opened it, for the reasons of decisions."""


def granted(grants: SessionGrants) -> Document:
    """The document of what was opened; `UsageInvalid` where it is not what a policy may say."""
    origin = Origin(layer=Layer.SESSION.value, source=grants.source)
    paths = [(Access.READ, path, "--read") for path in grants.read]
    paths += [(Access.WRITE, path, "--write") for path in grants.write]
    return Document(
        layer=Layer.SESSION,
        file=grants.source,
        filesystem=tuple(_granted_path(access, path, option, origin) for access, path, option in paths),
        workspace_mode=None if grants.workspace_mode is None else (grants.workspace_mode, origin),
        network=NetworkSection(
            rules=tuple(_granted_host(text, origin) for text in grants.allow_hosts),
            host_ports=tuple((port, origin) for port in grants.host_ports),
        ),
        model=ModelSection(hosts=tuple(ModelHost(hosts=one, named=False, origin=origin) for one in grants.models)),
        environment=EnvironmentSection(keep=tuple((name, origin) for name in grants.environment)),
        sandbox=SandboxSection(publish=tuple((_granted_port(text), origin) for text in grants.publish)),
    )


def _granted_path(access: Access, path: str, option: str, origin: Origin) -> PathRule:
    fault = check_pattern(path)
    if fault:
        raise UsageInvalid(f"`{option}`: {fault}")
    return PathRule(pattern=path, access=access, origin=origin, reason=f"granted with `{option}`")


def _granted_port(text: str) -> PublishedPort:
    port = published_port(text)
    if isinstance(port, str):
        raise UsageInvalid(f"`--publish`: {port}")
    return port


def _granted_host(text: str, origin: Origin) -> HostRule:
    try:
        parsed = HostPattern.parse(text)
    except ValueError as error:
        raise UsageInvalid(f"`--allow-host`: {error}") from None
    pattern = str(parsed)
    return HostRule(
        id=f"session:{pattern}",
        hosts=(pattern,),
        protocol=usual(parsed.port),
        verdict=Verdict.ALLOW,
        reason="granted for this session by " + origin.source,
        origin=origin,
    )
