"""Small sections: `extends`, `[environment]`, `[approvals]`, `[limits]`, `[agents]`, `[telemetry]`, and which presets
may be chosen."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from ringfence.model.shown import PlacedFile
from ringfence.policy.effective import ModelContent, Origin, Remember, ToolArguments
from ringfence.policy.layers import Layer
from ringfence.policy.schema import Table, escaped
from ringfence.policy.sections.answering import AnsweringSection, answering
from ringfence.policy.sections.names import take_people
from ringfence.policy.sections.reviewer import ReviewerSection, reviewer

PRESETS = ("read-only", "workspace", "full-access")
"""The presets that a person can pick by name, strictest first."""

BUNDLES = ("python", "node", "rust", "go", "jvm", "debian", "github", "gitlab", "models")
"""What a person adds to a preset by name."""

AGENTS = ("claude", "codex", "copilot", "gemini", "opencode", "generic")
"""Agents that have a profile, and `generic` for every other program."""

_Value = TypeVar("_Value")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PROFILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_LITERAL = re.compile(r"[^*?\[\]]")


class Extension(msgspec.Struct, frozen=True, kw_only=True):
    """One name that a document starts from: a preset, a bundle or a profile."""

    name: str
    origin: Origin
    column: int = 1


class EnvironmentSection(msgspec.Struct, frozen=True, kw_only=True):
    """What one document says about variables."""

    keep: tuple[tuple[str, Origin], ...] = ()
    set: tuple[tuple[str, str, Origin], ...] = ()
    remove: tuple[tuple[str, Origin], ...] = ()
    files: tuple[tuple[PlacedFile, Origin], ...] = ()
    """Not written in any document: what the session found out that programs have to be told by a file."""


class ApprovalSection(msgspec.Struct, frozen=True, kw_only=True):
    """What one document says about questions."""

    timeout_seconds: tuple[int, Origin] | None = None
    remember: tuple[Remember, Origin] | None = None
    remember_days: tuple[int, Origin] | None = None
    approvers: tuple[tuple[str, ...], Origin] | None = None
    overriders: tuple[tuple[str, ...], Origin] | None = None
    answering: AnsweringSection = AnsweringSection()
    reviewer: ReviewerSection = ReviewerSection()


class LimitSection(msgspec.Struct, frozen=True, kw_only=True):
    """What one document says about limits."""

    wall_seconds: tuple[int, Origin] | None = None
    processes: tuple[int, Origin] | None = None
    open_files: tuple[int, Origin] | None = None
    file_mb: tuple[int, Origin] | None = None
    memory_mb: tuple[int, Origin] | None = None
    cpu_percent: tuple[int, Origin] | None = None
    disk_mb: tuple[int, Origin] | None = None


class TelemetrySection(msgspec.Struct, frozen=True, kw_only=True):
    """What one document says about the record."""

    tool_arguments: tuple[ToolArguments, Origin] | None = None
    redact: tuple[tuple[str, Origin], ...] = ()
    model_content: tuple[ModelContent, Origin] | None = None


def extends(top: Table, layer: Layer) -> tuple[Extension, ...]:
    """What a document starts from."""
    about = "A preset, bundles (such as `python`) and profiles that this document starts from."
    written = top.take_names("extends", about=about)
    if written and layer in {Layer.REQUIREMENTS, Layer.PRESET}:
        top.fault(
            "extends", "`extends` chooses a preset, which this file cannot do; requirements have `allowed_presets`"
        )
        return ()
    found: list[Extension] = []
    for path, name in written:
        line, column = top.faults.place(path)
        if not _PROFILE.fullmatch(name):
            top.faults.add(path, f"`{escaped(name)}` is not the name of a preset, bundle or profile")
        elif any(name == known.name for known in found):
            top.faults.add(path, f"`{name}` is named twice")
        elif name in PRESETS and any(known.name in PRESETS for known in found):
            top.faults.add(path, "only one preset can be the start; add bundles and profiles to it")
        else:
            origin = Origin(layer=top.faults.layer, source=f"{top.faults.file}:{line}")
            found.append(Extension(name=name, origin=origin, column=column))
    return tuple(found)


def environment(table: Table, layer: Layer) -> EnvironmentSection:
    """Read `[environment]`."""
    if layer is Layer.REQUIREMENTS:
        for key in ("keep", "set"):
            if table.has(key):
                table.fault(
                    key, f"`{key}` lets a variable in, and requirements only tighten; write it in `policy.toml`"
                )
    keep = _variables(table, "keep", "Variables of yours that are passed on; `NAME_*` for all that begin so.")
    remove = _variables(table, "remove", "Variables that are never passed on, whoever keeps or sets them.")
    pairs = table.take_table("set", about="Variables with a value of their own.")
    written = tuple(
        (name, value, table.faults.origin(pairs.at(name))) for name, value in pairs.take_pairs() if _names(pairs, name)
    )
    table.finish()
    return EnvironmentSection(keep=keep, set=written, remove=remove)


def approvals(table: Table, layer: Layer) -> ApprovalSection:
    """Read `[approvals]`."""
    about = "An unanswered question is a deny after this."
    timeout = table.take_integer("timeout_seconds", least=1, most=7 * 24 * 3600, about=about)
    remember = table.take_choice("remember", Remember, about="The widest scope that an answer may have.")
    about = "How many days an answer for a repository lasts at most."
    days = table.take_integer("remember_days", least=1, most=30, about=about)
    approvers = take_people(table, "approvers", "Users, and groups as `@GROUP`, of this machine who may approve.")
    overriders = take_people(table, "overriders", "Likewise, who may override a rule that is enforced softly.")
    answers = answering(table)
    about = "Who reviews what is not worth a person's time."
    reviews = reviewer(table.take_table("reviewer", about=about), layer)
    table.finish()
    return ApprovalSection(
        timeout_seconds=_written(table, "timeout_seconds", timeout),
        remember=_written(table, "remember", remember),
        remember_days=_written(table, "remember_days", days),
        approvers=approvers,
        overriders=overriders,
        answering=answers,
        reviewer=reviews,
    )


def limits(table: Table) -> LimitSection:
    """Read `[limits]`."""
    wall = table.take_integer("wall_seconds", least=1, most=30 * 24 * 3600, about="A session ends after this.")
    about = "Processes and threads that a session has at once."
    processes = table.take_integer("processes", least=16, most=1_000_000, about=about)
    about = "Files that one process has open at once."
    open_files = table.take_integer("open_files", least=256, most=1_000_000, about=about)
    about = "Megabytes (of 1,048,576 bytes) that one file written in a session can have."
    file_mb = table.take_integer("file_mb", least=1, most=1024 * 1024, about=about)
    about = "Megabytes of memory that a session has at once; files in its own `/tmp` are memory too."
    memory = table.take_integer("memory_mb", least=64, most=1024 * 1024, about=about)
    about = "Share of a processor that a session has; `200` is two processors."
    cpu = table.take_integer("cpu_percent", least=1, most=100 * 1024, about=about)
    about = "Megabytes that a session writes to disks in all; it ends after that."
    disk = table.take_integer("disk_mb", least=1, most=1024 * 1024 * 1024, about=about)
    table.finish()
    return LimitSection(
        wall_seconds=_written(table, "wall_seconds", wall),
        processes=_written(table, "processes", processes),
        open_files=_written(table, "open_files", open_files),
        file_mb=_written(table, "file_mb", file_mb),
        memory_mb=_written(table, "memory_mb", memory),
        cpu_percent=_written(table, "cpu_percent", cpu),
        disk_mb=_written(table, "disk_mb", disk),
    )


def agents(table: Table) -> tuple[tuple[str, ...], Origin] | None:
    """Read `[agents]`."""
    found = []
    about = "Agents that may run; `generic` stands for every program without a profile."
    for path, name in table.take_texts("allowed", about=about):
        if name in AGENTS:
            found.append(name)
        else:
            listed = ", ".join(f"`{one}`" for one in AGENTS)
            table.faults.add(path, f"`{escaped(name)}` is not an agent; the agents are {listed}")
    if table.is_empty("allowed"):
        table.fault("allowed", "`allowed` is empty: nothing could run")
    table.finish()
    return (tuple(found), table.faults.origin(table.at("allowed"))) if found else None


def telemetry(table: Table) -> TelemetrySection:
    """Read `[telemetry]`."""
    about = "What is recorded of the arguments of tool calls: all of them, or only their digest."
    arguments = table.take_choice("tool_arguments", ToolArguments, about=about)
    about = "Always true: a session without a record does not run, and `false` is refused."
    if table.take_flag("require_record", about=about) is False:
        table.fault("require_record", "`require_record` cannot be false: what cannot be put on record does not happen")
    about = "Globs; a word of the record that matches one is replaced by a keyed hash."
    redact = []
    for path, glob in table.take_texts("redact", about=about):
        if len(_LITERAL.findall(glob)) < 4 or any(character.isspace() for character in glob):
            text = f"`{escaped(glob)}` would hide too much; it needs four characters that are no wildcard, and no space"
            table.faults.add(path, text)
        else:
            redact.append((glob, table.faults.origin(path)))
    about = "What is recorded of prompts and refusals that are read off the wire: their text, or its length and digest."
    content = table.take_choice("model_content", ModelContent, about=about)
    table.finish()
    return TelemetrySection(
        tool_arguments=_written(table, "tool_arguments", arguments),
        redact=tuple(redact),
        model_content=_written(table, "model_content", content),
    )


def allowed_presets(top: Table, layer: Layer) -> tuple[tuple[str, ...], Origin] | None:
    """Which presets people may choose; only requirements say so."""
    names = []
    about = "Only in requirements: the presets that may be chosen."
    for path, name in top.take_texts("allowed_presets", about=about):
        if name in PRESETS:
            names.append(name)
        else:
            listed = ", ".join(f"`{preset}`" for preset in PRESETS)
            top.faults.add(path, f"`{escaped(name)}` is not a preset; the presets are {listed}")
    if not top.has("allowed_presets"):
        return None
    if layer is not Layer.REQUIREMENTS:
        top.fault("allowed_presets", "`allowed_presets` belongs in the requirements of the administrator")
        return None
    if top.is_empty("allowed_presets"):
        top.fault("allowed_presets", "`allowed_presets` is empty: nothing could run")
    return tuple(names), top.faults.origin(top.at("allowed_presets"))


def _written(table: Table, key: str, value: _Value | None) -> tuple[_Value, Origin] | None:
    return None if value is None else (value, table.faults.origin(table.at(key)))


def _variables(table: Table, key: str, about: str) -> tuple[tuple[str, Origin], ...]:
    return tuple(
        (name, table.faults.origin(path))
        for path, name in table.take_texts(key, about=about)
        if _keeps(table, path, name)
    )


def _keeps(table: Table, path: tuple[str | int, ...], name: str) -> bool:
    if _NAME.fullmatch(name.removesuffix("*")):
        return True
    table.faults.add(path, f"`{escaped(name)}` is not the name of a variable, nor its beginning followed by `*`")
    return False


def _names(table: Table, name: str) -> bool:
    if _NAME.fullmatch(name):
        return True
    table.fault(name, f"`{escaped(name)}` is not the name of a variable")
    return False
