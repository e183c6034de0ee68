"""The edit of a file that a request is about, as a diff, where the tool call says what it is.

It comes from the arguments of the call: those that are asked about, or, where only the file is, those that the agent
reported last for that file. It is shown beside the question and is no part of what is approved.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Iterator, Mapping

import msgspec

from ringfence.approvals.objects import Request
from ringfence.model.action import FileAction, McpAction, OpaqueAction
from ringfence.model.display import visible
from ringfence.model.event import ToolCallRequested
from ringfence.session.sources import user
from ringfence.telemetry.reader import LedgerReader, Wanted

MOST_LINES = 400
_MOST_BYTES = 400_000
_PATHS = ("file_path", "path", "notebook_path", "filename", "filePath")
_OLD = ("old_string", "old_str", "oldText", "oldString")
_NEW = ("new_string", "new_str", "newText", "newString", "new_source")
_WHOLE = ("content", "contents", "file_text")
_PATCH = ("patch", "diff")


def edit_lines(request: Request, ledger: str) -> list[str]:
    """The diff with a line that says where it comes from; empty where the action edits no file, or does not say how."""
    action = request.action
    if isinstance(action, FileAction):
        found, origin = _reported(request, action.path, ledger), "as the agent reported it; only the file is approved"
    elif isinstance(action, McpAction | OpaqueAction):
        found, origin = _decoded(action.arguments), "from the arguments above"
    else:
        return []
    lines = [line for one in _edits(found) for line in _diff(request, one)]
    if not lines:
        return []
    cut = [f"           ... {len(lines) - MOST_LINES} lines are not shown"] if len(lines) > MOST_LINES else []
    return [f"  edit     {origin}", *(f"    {line}" for line in lines[:MOST_LINES]), *cut]


def _edits(arguments: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Each edit that a call makes: some name one file, and a list of edits to it."""
    yield arguments
    several = arguments.get("edits")
    for one in several if isinstance(several, list) else []:
        if isinstance(one, dict):
            yield {**{name: arguments[name] for name in _PATHS if name in arguments}, **one}


def _diff(request: Request, arguments: Mapping[str, object]) -> list[str]:
    patch = _text(arguments, _PATCH)
    if patch is not None:
        return [visible(line) for line in patch.split("\n")]
    path = _text(arguments, _PATHS)
    before, after, whole = _text(arguments, _OLD), _text(arguments, _NEW), _text(arguments, _WHOLE)
    if before is None and after is None:
        if path is None or whole is None:
            return []
        before, after = _on_disk(request, path), whole
    name = visible(path or "the file")
    changed = difflib.unified_diff(_lines(before or ""), _lines(after or ""), name, name, lineterm="")
    return list(changed)


def _lines(text: str) -> list[str]:
    return [visible(line) for line in text.split("\n")] if text else []


def _on_disk(request: Request, path: str) -> str:
    """What the file holds now, where it is a file of this machine of reasonable size."""
    if request.host not in {"", user().host}:
        return ""
    try:
        # SECURITY: the agent names the file; a pipe must not make the screen wait.
        handle = os.open(os.path.join(request.workspace, path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return ""
    with open(handle, "rb") as file:
        return file.read(_MOST_BYTES).decode("utf-8", "replace") if stat.S_ISREG(os.fstat(handle).st_mode) else ""


def _reported(request: Request, path: str, ledger: str) -> Mapping[str, object]:
    """The arguments of the last call about a file that was reported before the question."""
    found: Mapping[str, object] = {}
    if not os.path.exists(ledger):
        return found
    reader = LedgerReader(ledger)
    try:
        for entry in reader.events(Wanted(session=request.session, event="tool.requested")):
            if not isinstance(entry.body, ToolCallRequested) or entry.time_ns > request.created_ns:
                continue
            arguments = _decoded(entry.body.arguments)
            named = _text(arguments, _PATHS)
            if named is not None and os.path.normpath(os.path.join(request.workspace, named)) == path:
                found = arguments
    finally:
        reader.close()
    return found


def _decoded(arguments: str) -> Mapping[str, object]:
    try:
        found: object = msgspec.json.decode(arguments)
    except msgspec.MsgspecError:
        return {}  # The record cuts what is too long: then there is no diff.
    return found if isinstance(found, dict) else {}


def _text(arguments: Mapping[str, object], names: tuple[str, ...]) -> str | None:
    return next((found for name in names if isinstance(found := arguments.get(name), str)), None)
