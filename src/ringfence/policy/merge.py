"""All layers into one policy: what each says, what it may say, and why each line that does not count does not.

Pure. A layer of the administrator (managed defaults, requirements) is never loosened by a person's; a project that is
not trusted only tightens; a preset's rule is replaced by one of the same id, because presets are ours and not binding.
How one part of a policy is merged stands in the `merge_*` module of its name; here they come together.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ringfence.model.canonical import digest
from ringfence.model.decision import Verdict
from ringfence.policy.choosing import ORDER, Chosen, distrust, ordered
from ringfence.policy.conditions import applies
from ringfence.policy.documents import Document, label
from ringfence.policy.effective import (
    AgentPolicy,
    CommandPolicy,
    Inactive,
    McpPolicy,
    ModelContent,
    Origin,
    Policy,
    TelemetryPolicy,
    ToolArguments,
    Unseen,
    WorkspaceMode,
)
from ringfence.policy.enforcement import holding, observes, soft_origins
from ringfence.policy.layers import Layer
from ringfence.policy.merge_approvals import merged_approvals
from ringfence.policy.merge_content import merged_content
from ringfence.policy.merge_credentials import merged_credentials
from ringfence.policy.merge_models import merged_models
from ringfence.policy.merge_network import merged_network, merged_rules
from ringfence.policy.merge_sandbox import (
    declared_boundary,
    merged_control_files,
    merged_environment,
    merged_filesystem,
    merged_limits,
)
from ringfence.policy.merge_ways import merged_profiles, merged_ways
from ringfence.policy.merging import Facts, Merging
from ringfence.policy.paths import BINDING

_TIERS = ("C", "B", "A")
_MODES = (WorkspaceMode.DIRECT, WorkspaceMode.STAGED)


def applicable(document: Document, facts: Facts) -> tuple[tuple[Document, ...], tuple[Inactive, ...]]:
    """A document without its sections, then those that apply here as documents of their own; and those that do not."""
    if not document.sections:
        return (document,), ()
    found = [msgspec.structs.replace(document, sections=())]
    inactive: list[Inactive] = []
    for section in document.sections:
        assert section.condition is not None
        outcome = applies(section.condition, facts.situation, home=facts.home, workspace=facts.workspace)
        if outcome.why_not:
            origin = Origin(layer=label(document.layer, document.file), source=section.place)
            inactive.append(Inactive(origin=origin, what="a section", why=outcome.why_not, told=False))
            continue
        distrust = document.distrust or (_CLAIMED if outcome.claimed else "")
        trusted = document.trusted and not outcome.claimed
        found.append(msgspec.structs.replace(section, trusted=trusted, distrust=distrust))
    return tuple(found), tuple(inactive)


def merge(documents: Iterable[Document], *, facts: Facts, chosen: Chosen | None = None) -> Policy:
    """The effective policy of some documents, the first of which is the preset; `chosen` says how it became the one.

    What only observes is left out of it, and is in force in the policy that it carries as `observed`.
    """
    parts = [applicable(document, facts) for document in documents]
    every = tuple(ordered(document for found, _ in parts for document in found))
    merging = Merging(tuple(map(holding, every)), facts)
    policy = _policy(merging)
    if chosen is not None:
        merging.inactive[:0] = chosen.inactive
        merging.origins["extends"] = chosen.origin
    merging.inactive += [one for _, skipped in parts for one in skipped]
    policy = msgspec.structs.replace(
        policy,
        inactive=tuple(sorted(merging.inactive, key=_place)),
        origins=tuple(sorted(merging.origins.items())),
        soft=soft_origins(every),
        observed=_policy(Merging(every, facts)) if any(map(observes, every)) else None,
    )
    return msgspec.structs.replace(policy, digest=digest(policy))


_CLAIMED = (
    "the section applies because of a remote that the repository names itself, so it only tightens; name the folder"
    " in `repositories` instead"
)


def _policy(merging: Merging) -> Policy:
    preset = next(document for document in merging.documents if document.layer is Layer.PRESET)
    tiers = [(document, document.sandbox.min_tier) for document in merging.documents]
    tier, _ = merging.scalar("sandbox.min_tier", tiers, _TIERS.index, "A")
    modes = [(document, document.workspace_mode) for document in merging.documents]
    mode, _ = merging.scalar("filesystem.workspace", modes, _MODES.index, WorkspaceMode.DIRECT)
    return Policy(
        preset=preset.file.removesuffix(".toml"),
        filesystem=merged_filesystem(merging),
        network=merged_network(merging),
        commands=CommandPolicy(
            rules=merged_rules(merging, [(one, one.command_rules) for one in merging.documents]),
            profiles=merged_profiles(merging.documents, merging.facts.home, merging.facts.workspace, merging.skip),
        ),
        control_files=merged_control_files(merging),
        mcp=_mcp(merging),
        credentials=merged_credentials(merging),
        content=merged_content(merging),
        environment=merged_environment(merging),
        approvals=merged_approvals(merging),
        limits=merged_limits(merging),
        ways=merged_ways(merging.documents, merging.facts.home, merging.skip, merging.origins),
        agents=AgentPolicy(allowed=tuple(one.agents for one in merging.documents if one.agents is not None)),
        telemetry=_telemetry(merging),
        model=merged_models(merging.documents, merging.scalar, merging.skip),
        min_tier=tier,
        workspace_mode=mode,
        boundary=declared_boundary(merging),
        # Those of presets and bundles are about what was shipped, not about what people made of it.
        tests=tuple(test for one in merging.documents if one.layer is not Layer.PRESET for test in one.tests),
        layers=tuple(f"{label(one.layer, one.file)} {one.place or one.file}{_trust(one)}" for one in merging.documents),
    )


def _mcp(merging: Merging) -> McpPolicy:
    written = [(document, document.mcp.default) for document in merging.documents]
    default, origin = merging.scalar("mcp.default", written, lambda verdict: verdict.strictness, Verdict.ALLOW)
    rules = merged_rules(merging, [(document, document.mcp.rules) for document in merging.documents])
    lists = [(document, document.mcp.changed) for document in merging.documents]
    changed, changed_origin = merging.scalar("mcp.changed", lists, lambda verdict: verdict.strictness, Verdict.ASK)
    starts = [(document, document.mcp.unseen) for document in merging.documents]
    unseen, unseen_origin = merging.scalar("mcp.unseen", starts, [*Unseen].index, Unseen.ALLOW)
    return McpPolicy(
        default=default,
        default_origin=origin,
        rules=rules,
        changed=changed,
        changed_origin=changed_origin,
        unseen=unseen,
        unseen_origin=unseen_origin,
        # What a server has to be only tightens, so that every layer may say it.
        servers=tuple(server for document in merging.documents for server in document.mcp.servers),
    )


def _telemetry(merging: Merging) -> TelemetryPolicy:
    order = list(ToolArguments)
    written = [(one, one.telemetry.tool_arguments if one.trusted else None) for one in merging.documents]
    arguments, origin = merging.scalar(
        "telemetry.tool_arguments", written, lambda one: -order.index(one), ToolArguments.FULL
    )
    redact: list[str] = []
    for document in merging.documents:
        said = document.telemetry
        if not document.trusted and said.tool_arguments is not None:
            merging.skip(said.tool_arguments[1], "`telemetry.tool_arguments`", distrust(document))
        for glob, at in said.redact:
            if not document.trusted:
                merging.skip(at, f"redacting `{glob}`", distrust(document))
            elif origin.layer in BINDING and arguments is ToolArguments.FULL and not document.layer.binds:
                merging.skip(at, f"redacting `{glob}`", f"{origin.source} wants the whole of the record", origin)
            else:
                redact.append(glob)
                merging.origins.setdefault(f"telemetry.redact.{glob}", at)
    said_content = [(one, one.telemetry.model_content if one.trusted else None) for one in merging.documents]
    contents = list(ModelContent)
    content, _ = merging.scalar("telemetry.model_content", said_content, contents.index, ModelContent.DIGEST)
    for document in merging.documents:
        if not document.trusted and document.telemetry.model_content is not None:
            merging.skip(document.telemetry.model_content[1], "`telemetry.model_content`", distrust(document))
    return TelemetryPolicy(tool_arguments=arguments, redact=tuple(dict.fromkeys(redact)), model_content=content)


def _place(inactive: Inactive) -> tuple[int, str, int]:
    """Where something stands, for sorting: by layer, file and line."""
    layer = inactive.origin.layer.partition(":")[0]
    file, _, line = inactive.origin.source.rpartition(":")
    order = next((at for at, one in enumerate(ORDER) if one.value == layer), -1)
    return order, file, int(line) if line.isdecimal() else 0


def _trust(document: Document) -> str:
    if document.trusted:
        return ""
    return " (not trusted: only tightens)" if document.layer is Layer.PROJECT else " (only tightens)"


__all__ = ["Facts", "applicable", "merge"]
