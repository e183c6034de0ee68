"""What all layers say about what is there inside a sandbox, as one: nobody opens what an administrator denies, and what
anybody removes is removed.
"""

from __future__ import annotations

from ringfence.model.shown import PlacedFile
from ringfence.policy.choosing import distrust
from ringfence.policy.documents import Document
from ringfence.policy.effective import Access, ControlFilePolicy, EnvironmentPolicy, Limits, Origin, PathRule
from ringfence.policy.merging import Merging
from ringfence.policy.paths import covers

_UNLIMITED = 1 << 40


def merged_filesystem(merging: Merging) -> tuple[PathRule, ...]:
    """The path rules that count."""
    binding = [
        rule
        for document in merging.documents
        if document.layer.binds
        for rule in document.filesystem
        if rule.access is Access.DENY
    ]
    kept: list[PathRule] = []
    for document in merging.documents:
        for rule in document.filesystem:
            if _path_counts(merging, document, rule, binding):
                kept.append(rule)
    return tuple(kept)


def _path_counts(merging: Merging, document: Document, rule: PathRule, binding: list[PathRule]) -> bool:
    if rule.access is Access.DENY or document.layer.binds:
        return True
    what = f"`{rule.access.value}` of `{rule.pattern}`"
    if not document.trusted:
        merging.skip(rule.origin, what, distrust(document))
        return False
    for deny in binding:
        if covers(deny.pattern, rule.pattern, home=merging.facts.home, workspace=merging.facts.workspace):
            merging.skip(rule.origin, what, f"{deny.origin.source} denies `{deny.pattern}`", deny.origin)
            return False
    return True


def merged_control_files(merging: Merging) -> ControlFilePolicy:
    """What is added to the table of control files, and taken out of it."""
    rows = [(row, origin) for document in merging.documents for row, origin in document.control_files.rows]
    exempt: list[str] = []
    for document in merging.documents:
        for pattern, origin in document.control_files.exempt:
            if document.trusted:
                exempt.append(pattern)
                merging.origins.setdefault(f"control_files.exempt.{pattern}", origin)
            else:
                merging.skip(origin, f"exempting `{pattern}`", distrust(document))
    return ControlFilePolicy(
        rows=tuple(row for row, _ in rows),
        origins=tuple(origin for _, origin in rows),
        exempt=tuple(dict.fromkeys(exempt)),
    )


def merged_environment(merging: Merging) -> EnvironmentPolicy:
    """The variables and settings that reach the sandbox."""
    keep: list[str] = []
    values: dict[str, tuple[str, Document, Origin]] = {}
    for document in merging.documents:
        for name, origin in document.environment.keep:
            if document.trusted:
                keep.append(name)
                merging.origins.setdefault(f"environment.keep.{name}", origin)
            else:
                merging.skip(origin, f"keeping `{name}`", distrust(document))
        for name, value, origin in document.environment.set:
            known = values.get(name)
            what = f"setting `{name}`"
            if not document.trusted:
                merging.skip(origin, what, distrust(document))
            elif known is not None and known[1].layer.binds and not document.layer.binds:
                merging.skip(origin, what, f"{known[2].source} sets it", known[2])
            else:
                if known is not None:
                    merging.skip(known[2], what, f"{origin.source} sets it", origin, told=False)
                values[name] = (value, document, origin)
                merging.origins[f"environment.set.{name}"] = origin
    removed = [written for document in merging.documents for written in document.environment.remove]
    for name, origin in removed:
        merging.origins.setdefault(f"environment.remove.{name}", origin)
        for gone in [one for one in values if one == name or (name[-1] == "*" and one.startswith(name[:-1]))]:
            merging.skip(values.pop(gone)[2], f"setting `{gone}`", f"{origin.source} removes it", origin)
            merging.origins.pop(f"environment.set.{gone}", None)
    files: dict[str, PlacedFile] = {}
    for document in merging.documents:
        for file, origin in document.environment.files:
            if document.trusted:
                files.setdefault(file.path, file)
            else:
                merging.skip(origin, f"the settings `{file.path}`", distrust(document))
    return EnvironmentPolicy(
        keep=tuple(dict.fromkeys(keep)),
        set=tuple(sorted((name, value) for name, (value, _, _) in values.items())),
        remove=tuple(sorted({name for name, _ in removed})),
        files=tuple(files.values()),
    )


def merged_limits(merging: Merging) -> Limits:
    """What a session may use up."""
    found = {}
    for key in Limits.__struct_fields__:
        written: list[tuple[Document, tuple[int, Origin] | None]] = [
            (document, getattr(document.limits, key)) for document in merging.documents
        ]
        value, _ = merging.scalar(f"limits.{key}", written, lambda most: -most, _UNLIMITED)
        found[key] = None if value == _UNLIMITED else value
    return Limits(**found)


def declared_boundary(merging: Merging) -> str:
    """What holds a session of tier C. Only who may loosen can declare it."""
    found = ""
    for document in merging.documents:
        if document.sandbox.boundary is None:
            continue
        text, at = document.sandbox.boundary
        if document.trusted:
            found = text
            merging.origins["sandbox.boundary"] = at
        else:
            merging.skip(at, "`sandbox.boundary`", distrust(document))
    return found
