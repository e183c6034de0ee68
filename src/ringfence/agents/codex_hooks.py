"""What Codex hands to its hooks, in our words.

Known gaps of the agent, which only the sandbox covers: text typed into a running shell (`write_stdin`) reaches no
hook, the JavaScript of code mode is not shown (the calls it makes are), and the working directory is the session's,
not the one a call may have asked for.
"""

from __future__ import annotations

from ringfence.agents import tool_arguments as read
from ringfence.agents.agent import HookCall, HookMoment, HookUnreadable
from ringfence.agents.tool_arguments import JsonObject
from ringfence.model.action import Action, CommandAction, FileOperation
from ringfence.model.canonical import json_text, text_from_os

EVENTS = {
    "PreToolUse": HookMoment.BEFORE_TOOL,
    "PostToolUse": HookMoment.AFTER_TOOL,
    "UserPromptSubmit": HookMoment.PROMPT,
    "SessionStart": HookMoment.SESSION,
}
"""The hooks that are installed."""

_PATCH_MARKS = ("*** Add File: ", "*** Update File: ", "*** Delete File: ", "*** Move to: ")


def parse(event: str, payload: bytes, home: str) -> HookCall:
    """One call of a hook."""
    moment = EVENTS.get(event)
    if moment is None:
        raise HookUnreadable(f"the hook event `{event}` is not one that was asked for")
    fields = read.read_object(payload)
    cwd = read.optional_text(fields, "cwd")
    if moment is HookMoment.PROMPT:
        return HookCall(event=event, moment=moment, cwd=cwd, prompt=text_from_os(read.text(fields, "prompt")))
    if moment is HookMoment.SESSION:
        return HookCall(event=event, moment=moment, cwd=cwd)
    tool, arguments = read.text(fields, "tool_name"), fields.get("tool_input")
    return HookCall(
        event=event,
        moment=moment,
        tool=tool,
        call=read.optional_text(fields, "tool_use_id"),
        cwd=cwd,
        actions=_actions(tool, arguments, cwd, home) if moment is HookMoment.BEFORE_TOOL else (),
        arguments=json_text(arguments),
        success=_success(tool, fields.get("tool_response")),
        result=_result(fields.get("tool_response")),
    )


def patched_files(patch: str) -> tuple[str, ...]:
    """The files that a patch names. A context line that looks like a mark counts as well: too many is the safe side."""
    found = []
    for line in patch.splitlines():
        for mark in _PATCH_MARKS:
            if line.strip().startswith(mark.strip()):
                found.append(line.strip().removeprefix(mark.strip()).strip())
    return tuple(dict.fromkeys(found))


def _actions(tool: str, arguments: object, cwd: str, home: str) -> tuple[Action, ...]:
    fields: JsonObject = arguments if isinstance(arguments, dict) else {}
    if tool == "apply_patch":
        return _patch(fields, cwd, home)
    if tool == "view_image":
        return (read.file(FileOperation.READ, read.text(fields, "path"), cwd=cwd, home=home),)
    script = fields.get("command")
    if isinstance(script, str):
        return (read.command(script, cwd),)
    if isinstance(script, list) and script and all(isinstance(word, str) for word in script):
        return (CommandAction(argv=tuple(text_from_os(word) for word in script), cwd=text_from_os(cwd)),)
    if tool in {"Bash", "shell", "exec_command"}:
        raise HookUnreadable("a command was announced without its text")
    return (read.other(tool, arguments),)


def _patch(fields: JsonObject, cwd: str, home: str) -> tuple[Action, ...]:
    patch = read.optional_text(fields, "command") or read.text(fields, "input")
    paths = patched_files(patch)
    if not paths:
        raise HookUnreadable("a patch was announced that names no file")
    return tuple(read.file(FileOperation.WRITE, path, cwd=cwd, home=home) for path in paths)


def _result(response: object) -> str:
    if response is None:
        return ""
    return text_from_os(response) if isinstance(response, str) else json_text(response)


def _success(tool: str, response: object) -> bool | None:
    """Known for a patch only: for a command the hook gets the output and not the exit code."""
    if tool == "apply_patch" and isinstance(response, str) and response.startswith("Exit code: "):
        return response.startswith("Exit code: 0\n")
    return None
