"""`[filesystem]`: which paths can be read, written, or neither."""

from __future__ import annotations

from ringfence.policy.effective import Access, Origin, PathRule, WorkspaceMode
from ringfence.policy.layers import Layer
from ringfence.policy.paths import check_pattern
from ringfence.policy.schema import Table

MAX_PATHS = 100_000

_ABOUT = {
    Access.READ: "Paths that can be read.",
    Access.WRITE: "Paths that can be read and written.",
    Access.DENY: "Paths and globs that can be neither read nor written.",
}


def rules(table: Table, layer: Layer) -> tuple[PathRule, ...]:
    """The path rules of a document, in no order that matters."""
    found: list[PathRule] = []
    for access in Access:
        if layer is Layer.REQUIREMENTS and access is not Access.DENY and table.has(access.value):
            table.fault(
                access.value, f"`{access.value}` opens a path, and requirements only tighten; write it in `policy.toml`"
            )
        found.extend(_paths(table, access))
    table.finish()
    if len(found) > MAX_PATHS:
        table.faults.add(table.path, f"`filesystem` has {len(found)} paths; the limit is {MAX_PATHS} in one file")
    return tuple(found)


def workspace_mode(table: Table) -> tuple[WorkspaceMode, Origin] | None:
    """Where changes of the workspace go; read before the rules, which finish the table."""
    about = "Whether changes go to the workspace at once, or wait in a layer until somebody applies them."
    mode = table.take_choice("workspace", WorkspaceMode, about=about)
    return None if mode is None else (mode, table.faults.origin(table.at("workspace")))


def _paths(table: Table, access: Access) -> list[PathRule]:
    found = []
    for path, pattern in table.take_texts(access.value, about=_ABOUT[access]):
        fault = check_pattern(pattern)
        if fault:
            table.faults.add(path, fault)
        else:
            found.append(PathRule(pattern=pattern, access=access, origin=table.faults.origin(path)))
    return found
