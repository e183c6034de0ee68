"""The effective policy itself, put together from its parts."""

from __future__ import annotations

import msgspec

from ringfence.model.decision import Verdict
from ringfence.policy.effective.approvals import ApprovalPolicy
from ringfence.policy.effective.commands import CommandPolicy
from ringfence.policy.effective.credentials import CredentialPolicy
from ringfence.policy.effective.files import ControlFilePolicy, EnvironmentPolicy, Limits, PathRule, WorkspaceMode
from ringfence.policy.effective.models import ModelPolicy
from ringfence.policy.effective.network import ContentPolicy, NetworkPolicy
from ringfence.policy.effective.origins import BUILT_IN, Inactive, Origin
from ringfence.policy.effective.record import AgentPolicy, TelemetryPolicy
from ringfence.policy.effective.tools import McpPolicy
from ringfence.policy.effective.ways import WayPolicy


class PolicyTest(msgspec.Struct, frozen=True, kw_only=True):
    """One question and the verdict it should get. The question has the keys of a line of `policy explain --stdin`."""

    question: tuple[tuple[str, str], ...]
    argv: tuple[str, ...] = ()
    arguments: tuple[tuple[str, str], ...] = ()
    expect: Verdict
    origin: Origin


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides, with the origin of each part."""

    preset: str
    filesystem: tuple[PathRule, ...]
    network: NetworkPolicy
    commands: CommandPolicy
    environment: EnvironmentPolicy
    approvals: ApprovalPolicy
    min_tier: str
    """`A`, `B` or `C`: below it nothing runs."""
    workspace_mode: WorkspaceMode = WorkspaceMode.DIRECT
    layers: tuple[str, ...]
    """The documents that were read, lowest first."""
    boundary: str = ""
    """What holds a session of tier C, as somebody declared it; nothing where nobody did."""
    control_files: ControlFilePolicy = ControlFilePolicy()
    mcp: McpPolicy = McpPolicy()
    credentials: CredentialPolicy = CredentialPolicy()
    content: ContentPolicy = ContentPolicy()
    limits: Limits = Limits()
    ways: WayPolicy = WayPolicy()
    agents: AgentPolicy = AgentPolicy()
    telemetry: TelemetryPolicy = TelemetryPolicy()
    model: ModelPolicy = ModelPolicy()
    soft: tuple[Origin, ...] = ()
    """Where the rules and values stand that somebody may override."""
    observed: Policy | None = None
    """The same with every rule that only observes in force; nothing where there is none."""
    tests: tuple[PolicyTest, ...] = ()
    """What the authors of the documents expect of the whole."""
    inactive: tuple[Inactive, ...] = ()
    """What was written and does not count, with its reason."""
    origins: tuple[tuple[str, Origin], ...] = ()
    """Who wrote each single value, by its key as documents spell it: `sandbox.min_tier`, `environment.keep.LANG`."""
    digest: str = ""
    """The digest of all the rest, filled in by the loader."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user has to be told."""
        unpriced = (self.model.unpriced,) if self.model.unpriced else ()
        return (*(str(one) for one in self.inactive if one.told), *unpriced)

    def origin_of(self, key: str) -> Origin:
        """Who wrote a single value; a value that nobody wrote is ours."""
        return dict(self.origins).get(key, BUILT_IN)
