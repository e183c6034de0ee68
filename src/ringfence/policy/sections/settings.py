"""The small sections: `extends`, `[environment]`, `[approvals]`, `[sandbox]`, and which presets may be chosen."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

from ringfence.policy.effective import Origin
from ringfence.policy.layers import Layer
from ringfence.policy.schema import Table, escaped

PRESETS = ("read-only", "workspace", "full-access")
"""The presets that a person can pick by name, strictest first."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Tier(StrEnum):
    """The strength of a sandbox, strongest first."""

    A = "A"
    B = "B"
    C = "C"


class Preset(StrEnum):
    """The presets as choices."""

    READ_ONLY = "read-only"
    WORKSPACE = "workspace"
    FULL_ACCESS = "full-access"


class EnvironmentSection(msgspec.Struct, frozen=True, kw_only=True):
    """What one document says about variables."""

    keep: tuple[tuple[str, Origin], ...] = ()
    set: tuple[tuple[str, str, Origin], ...] = ()


def extends(top: Table, layer: Layer) -> tuple[str, Origin] | None:
    """The preset that a document starts from."""
    chosen = top.take_choice("extends", Preset)
    if top.has("extends") and layer in {Layer.REQUIREMENTS, Layer.PRESET}:
        top.fault(
            "extends", "`extends` chooses a preset, which this file cannot do; requirements have `allowed_presets`"
        )
    return None if chosen is None else (chosen.value, top.faults.origin(top.at("extends")))


def environment(table: Table, layer: Layer) -> EnvironmentSection:
    """Read `[environment]`."""
    if layer is Layer.REQUIREMENTS:
        for key in ("keep", "set"):
            if table.has(key):
                table.fault(
                    key, f"`{key}` lets a variable in, and requirements only tighten; write it in `policy.toml`"
                )
    keep = tuple(
        (name, table.faults.origin(path)) for path, name in table.take_texts("keep") if _keeps(table, path, name)
    )
    pairs = table.take_table("set")
    written = tuple(
        (name, value, table.faults.origin(pairs.at(name))) for name, value in pairs.take_pairs() if _names(pairs, name)
    )
    table.finish()
    return EnvironmentSection(keep=keep, set=written)


def timeout(table: Table) -> tuple[int, Origin] | None:
    """Read `[approvals]`."""
    seconds = table.take_integer("timeout_seconds", least=1, most=7 * 24 * 3600)
    table.finish()
    return None if seconds is None else (seconds, table.faults.origin(table.at("timeout_seconds")))


def min_tier(table: Table) -> tuple[str, Origin] | None:
    """Read `[sandbox]`."""
    tier = table.take_choice("min_tier", Tier)
    table.finish()
    return None if tier is None else (tier.value, table.faults.origin(table.at("min_tier")))


def allowed_presets(top: Table, layer: Layer) -> tuple[tuple[str, ...], Origin] | None:
    """Which presets people may choose; only requirements say so."""
    if not top.has("allowed_presets"):
        return None
    if layer is not Layer.REQUIREMENTS:
        top.take_list("allowed_presets")
        top.fault("allowed_presets", "`allowed_presets` belongs in the requirements of the administrator")
        return None
    names = []
    for path, name in top.take_texts("allowed_presets"):
        if name in PRESETS:
            names.append(name)
        else:
            listed = ", ".join(f"`{preset}`" for preset in PRESETS)
            top.faults.add(path, f"`{escaped(name)}` is not a preset; the presets are {listed}")
    if top.is_empty("allowed_presets"):
        top.fault("allowed_presets", "`allowed_presets` is empty: nothing could run")
    return tuple(names), top.faults.origin(top.at("allowed_presets"))


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
