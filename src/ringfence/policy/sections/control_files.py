"""`[control_files]`: more names that an agent cannot change, names that are reported, and exceptions from the table."""

from __future__ import annotations

import msgspec

from ringfence.policy.control_files import CONTROL_FILES, ControlFile, Direct
from ringfence.policy.effective import Origin
from ringfence.policy.globs import is_glob
from ringfence.policy.layers import Layer
from ringfence.policy.schema import Table, escaped

MAX_NAMES = 1_000

_NEVER = (".git", "ringfence.toml")
"""SECURITY: whoever can write these gets code run outside the sandbox, or changes what governs it: nobody may ask for
that in a file."""


class ControlFileSection(msgspec.Struct, frozen=True, kw_only=True):
    """What one document says about control files."""

    rows: tuple[tuple[ControlFile, Origin], ...] = ()
    exempt: tuple[tuple[str, Origin], ...] = ()


def section(table: Table, layer: Layer) -> ControlFileSection:
    """Read `[control_files]`."""
    if layer is Layer.REQUIREMENTS and table.has("exempt"):
        table.fault("exempt", "`exempt` opens a file, and requirements only tighten; write it in `policy.toml`")
    found = (
        *_rows(
            table, "protect", Direct.PROTECT, "Files and folders of the workspace that no session changes or makes."
        ),
        *_rows(table, "report", Direct.REPORT, "Files whose change is told when the session ends; `**/NAME` anywhere."),
    )
    exempt = _exempt(table)
    table.finish()
    return ControlFileSection(rows=found, exempt=exempt)


def _rows(table: Table, key: str, direct: Direct, about: str) -> list[tuple[ControlFile, Origin]]:
    found = []
    written = table.take_texts(key, about=about)
    if len(written) > MAX_NAMES:
        table.fault(key, f"`{key}` has {len(written)} names; the limit is {MAX_NAMES} in one file")
        return []
    for path, name in written:
        fault = _fault(name, anywhere=direct is Direct.REPORT)
        if fault:
            table.faults.add(path, fault)
            continue
        origin = table.faults.origin(path)
        row = ControlFile(
            pattern=name.rstrip("/"),
            why="a policy names it",
            direct=direct,
            is_folder=name.endswith("/"),
        )
        found.append((row, origin))
    return found


def _fault(name: str, *, anywhere: bool) -> str | None:
    plain = name.removeprefix("**/") if anywhere else name
    shown = escaped(name)
    if not plain.strip("/") or plain.startswith(("/", "~", ":")):
        return f"`{shown}` is not a path of the workspace; write it relative to it, such as `deploy/prod.sh`"
    if not name.isprintable():
        return f"`{shown}` has a character that cannot be seen"
    if any(part in {"", ".", ".."} for part in plain.rstrip("/").split("/")):
        return f"`{shown}` has a component that is empty, `.` or `..`; write the path that is meant"
    if is_glob(plain) and not (anywhere and "**" not in plain and "?" not in plain and "[" not in plain):
        return f"`{shown}` has a wildcard; " + (
            "only `**/` in front and `*` inside a name are understood" if anywhere else "name each path to protect"
        )
    return None


def _exempt(table: Table) -> tuple[tuple[str, Origin], ...]:
    found = []
    known = {row.pattern for row in CONTROL_FILES}
    for path, pattern in table.take_texts("exempt", about="Rows of the table of control files that do not hold here."):
        plain = pattern.rstrip("/")
        first = plain.removeprefix("**/").partition("/")[0]
        if first in _NEVER:
            table.faults.add(path, f"`{escaped(pattern)}` cannot be exempted: it decides what runs outside a session")
        elif plain not in known:
            table.faults.add(path, f"`{escaped(pattern)}` is no row of the table of control files, word for word")
        else:
            found.append((plain, table.faults.origin(path)))
    return tuple(found)
