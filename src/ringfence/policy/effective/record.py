"""Which agents may run, and what the record holds of what they do."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ringfence.policy.effective.origins import Origin


class AgentPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Which agents may run."""

    allowed: tuple[tuple[tuple[str, ...], Origin], ...] = ()
    """Lists of names, each of which has to hold the agent; none means any."""


class ToolArguments(StrEnum):
    """What is recorded of the arguments of tool calls, most first."""

    FULL = "full"
    DIGEST = "digest"


class ModelContent(StrEnum):
    """What is recorded of what is said to models and by them, most first."""

    FULL = "full"
    DIGEST = "digest"


class TelemetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What the record holds."""

    tool_arguments: ToolArguments = ToolArguments.FULL
    redact: tuple[str, ...] = ()
    """Globs; each word of the record that matches is replaced by a keyed hash."""
    model_content: ModelContent = ModelContent.DIGEST
