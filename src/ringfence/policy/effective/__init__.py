"""The effective policy: what remains when every layer has been read, checked and merged. Frozen, and the same on every
machine for the same documents, so that its digest says exactly what was in force."""

from __future__ import annotations

from ringfence.policy.effective.approvals import (
    ApprovalPolicy,
    Assurance,
    Delegate,
    QuorumRule,
    Remember,
    ReviewerKind,
    ReviewerRule,
    StepRule,
    WebhookKind,
    WebhookRule,
)
from ringfence.policy.effective.commands import CommandPolicy, CommandProfile, CommandRule
from ringfence.policy.effective.credentials import (
    Attach,
    CredentialForm,
    CredentialPolicy,
    CredentialRule,
    CredentialSource,
    NoCredentials,
    SourceKind,
)
from ringfence.policy.effective.files import (
    Access,
    ControlFilePolicy,
    EnvironmentPolicy,
    Limits,
    PathRule,
    WorkspaceMode,
)
from ringfence.policy.effective.models import ModelHost, ModelList, ModelPolicy, ModelPrice, ModelRoute
from ringfence.policy.effective.network import ContentBudget, ContentPolicy, HostRule, Inspect, NetworkPolicy, OnSecret
from ringfence.policy.effective.origins import BUILT_IN, Inactive, Origin
from ringfence.policy.effective.policy import Policy, PolicyTest
from ringfence.policy.effective.record import AgentPolicy, ModelContent, TelemetryPolicy, ToolArguments
from ringfence.policy.effective.tools import McpPolicy, McpRule, McpServer, Unseen
from ringfence.policy.effective.ways import BusWay, PublishedPort, SshAgentWay, WayPolicy

__all__ = [
    "BUILT_IN",
    "Access",
    "AgentPolicy",
    "ApprovalPolicy",
    "Assurance",
    "Attach",
    "BusWay",
    "CommandPolicy",
    "CommandProfile",
    "CommandRule",
    "ContentBudget",
    "ContentPolicy",
    "ControlFilePolicy",
    "CredentialForm",
    "CredentialPolicy",
    "CredentialRule",
    "CredentialSource",
    "Delegate",
    "EnvironmentPolicy",
    "HostRule",
    "Inactive",
    "Inspect",
    "Limits",
    "McpPolicy",
    "McpRule",
    "McpServer",
    "ModelContent",
    "ModelHost",
    "ModelList",
    "ModelPolicy",
    "ModelPrice",
    "ModelRoute",
    "NetworkPolicy",
    "NoCredentials",
    "OnSecret",
    "Origin",
    "PathRule",
    "Policy",
    "PolicyTest",
    "PublishedPort",
    "QuorumRule",
    "Remember",
    "ReviewerKind",
    "ReviewerRule",
    "SourceKind",
    "SshAgentWay",
    "StepRule",
    "TelemetryPolicy",
    "ToolArguments",
    "Unseen",
    "WayPolicy",
    "WebhookKind",
    "WebhookRule",
    "WorkspaceMode",
]
