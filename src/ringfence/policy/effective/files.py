"""What is there inside: paths, control files, variables, and how much a session may use up."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ringfence.model.shown import PlacedFile
from ringfence.policy.control_files import ControlFile
from ringfence.policy.effective.origins import Origin


class Access(StrEnum):
    """What a path rule gives. On the same path deny wins over write, and write over read."""

    READ = "read"
    WRITE = "write"
    DENY = "deny"


class PathRule(msgspec.Struct, frozen=True, kw_only=True):
    """One path or glob and what it gives. The most specific rule that matches a path decides."""

    pattern: str
    """As written, with tokens: `~/x`, `/x`, `:workspace`, `:workspace/x`, `:tmp`, `:home`, or a glob such as
    `**/*.pem`, which is relative to the workspace."""
    access: Access
    origin: Origin
    reason: str = ""


class ControlFilePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What policies add to the table of control files, and what they take out of it."""

    rows: tuple[ControlFile, ...] = ()
    origins: tuple[Origin, ...] = ()
    """Where each of the rows was written."""
    exempt: tuple[str, ...] = ()
    """Patterns of the table, or of a row that a person added, which are files like any other here."""


class EnvironmentPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Which variables of the person's environment reach the sandbox; every other one is removed before exec."""

    keep: tuple[str, ...] = ()
    """Names, or prefixes that end in `*`."""
    set: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()
    """Names, or prefixes that end in `*`, which are not let in whoever keeps or sets them."""
    files: tuple[PlacedFile, ...] = ()
    """Settings that exist inside only, one for each path."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a session may use up; nothing means no limit beyond the sandbox's own."""

    wall_seconds: int | None = None
    processes: int | None = None
    open_files: int | None = None
    file_mb: int | None = None
    memory_mb: int | None = None
    cpu_percent: int | None = None
    disk_mb: int | None = None


class WorkspaceMode(StrEnum):
    """Where a session's changes of the workspace go."""

    DIRECT = "direct"
    """To the real tree, at once."""
    STAGED = "staged"
    """To a layer over it, until somebody applies them."""
