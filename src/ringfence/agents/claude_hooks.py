"""What Claude Code hands to its hooks, in our words.

Tools that only talk to the person (a question, a plan to agree to) are opaque actions and are never answered with an
allowance: that would press the button in the person's place.
"""

from __future__ import annotations

from collections.abc import Mapping

from ringfence.agents import tool_arguments as read
from ringfence.agents.agent import HookCall, HookMoment, HookUnreadable
from ringfence.agents.tool_arguments import JsonObject
from ringfence.model.action import Action, FileOperation
from ringfence.model.canonical import json_text, text_from_os

EVENTS = {
    "PreToolUse": HookMoment.BEFORE_TOOL,
    "PostToolUse": HookMoment.AFTER_TOOL,
    "PostToolUseFailure": HookMoment.AFTER_TOOL,
    "UserPromptSubmit": HookMoment.PROMPT,
    "SessionStart": HookMoment.SESSION,
}
"""The hooks that are installed."""
REPORTS = {
    "PermissionRequest": HookMoment.PROMPTED,
    "PostToolBatch": HookMoment.BATCH,
    "Stop": HookMoment.TURN_END,
    "StopFailure": HookMoment.TURN_END,
    "SessionEnd": HookMoment.TURN_END,
}
"""Those that are installed as well where questions are left to Claude Code's own prompt."""
ASKING_MODES = frozenset({"default", "acceptEdits", "auto", "plan"})
"""The modes in which a hook that asks brings up the prompt, whatever the mode would do by itself."""
SILENT_OPTIONS = ("--dangerously-skip-permissions", "--permission-prompt-tool", "--permission-prompts")
"""Options that answer the prompt in the person's place."""

FOR_THE_PERSON = frozenset({"AskUserQuestion", "ExitPlanMode"})
"""Tools whose permission question is the point of the tool."""

_FILE_TOOLS: Mapping[str, tuple[FileOperation, str]] = {
    "Read": (FileOperation.READ, "file_path"),
    "NotebookRead": (FileOperation.READ, "notebook_path"),
    "Write": (FileOperation.WRITE, "file_path"),
    "Edit": (FileOperation.WRITE, "file_path"),
    "MultiEdit": (FileOperation.WRITE, "file_path"),
    "NotebookEdit": (FileOperation.WRITE, "notebook_path"),
}
_SEARCH_TOOLS = frozenset({"Glob", "Grep", "LS"})


def parse(event: str, payload: bytes, home: str) -> HookCall:
    """One call of a hook."""
    moment = EVENTS.get(event) or REPORTS.get(event)
    if moment is None:
        raise HookUnreadable(f"the hook event `{event}` is not one that was asked for")
    fields = read.read_object(payload)
    cwd = read.optional_text(fields, "cwd")
    if moment is HookMoment.PROMPT:
        return HookCall(event=event, moment=moment, cwd=cwd, prompt=text_from_os(read.text(fields, "prompt")))
    if moment in {HookMoment.SESSION, HookMoment.TURN_END}:
        return HookCall(event=event, moment=moment, cwd=cwd)
    if moment is HookMoment.BATCH:
        return HookCall(event=event, moment=moment, cwd=cwd, calls=_calls(fields))
    tool, arguments = read.text(fields, "tool_name"), fields.get("tool_input")
    success, result = _outcome(event, fields) if moment is HookMoment.AFTER_TOOL else (None, "")
    return HookCall(
        event=event,
        moment=moment,
        tool=tool,
        call=read.optional_text(fields, "tool_use_id"),
        cwd=cwd,
        actions=(_action(tool, arguments, cwd, home),) if moment is HookMoment.BEFORE_TOOL else (),
        arguments=json_text(arguments),
        own_prompt=_no_prompt(tool, fields),
        success=success,
        result=result,
    )


def _action(tool: str, arguments: object, cwd: str, home: str) -> Action:
    fields: JsonObject = arguments if isinstance(arguments, dict) else {}
    if tool in _FILE_TOOLS:
        operation, name = _FILE_TOOLS[tool]
        return read.file(operation, read.text(fields, name), cwd=cwd, home=home)
    if tool in _SEARCH_TOOLS:
        return read.file(FileOperation.READ, read.optional_text(fields, "path") or ".", cwd=cwd, home=home)
    if tool == "WebFetch":
        return read.connection(read.text(fields, "url"))
    if tool == "Bash" or (isinstance(fields.get("command"), str) and not tool.startswith("mcp__")):
        return read.command(read.text(fields, "command"), cwd)
    return read.other(tool, arguments)


def silent_start(argv: tuple[str, ...]) -> str:
    """Why a Claude Code that is started so asks nobody; empty where it asks."""
    words = argv[1:]
    for word in words:
        name = word.partition("=")[0]
        # SECURITY: any unambiguous beginning of an option is that option, and short ones come in bundles.
        short = len(word) > 1 and word[0] == "-" and word[1] != "-" and "p" in word[1:]
        if short or name == "--print" or any(one.startswith(name) for one in SILENT_OPTIONS if len(name) > 4):
            return f"Claude Code asks nobody when it is started with `{name}`"
    return ""


def _no_prompt(tool: str, fields: JsonObject) -> str:
    mode = read.optional_text(fields, "permission_mode")
    if mode not in ASKING_MODES:
        return f"Claude Code asks nobody in the permission mode `{text_from_os(mode)}`"
    if fields.get("agent_id"):
        return "it is a call of a subagent, whose prompts nobody may see"
    return "" if tool == "Bash" else "Claude Code's prompt shows our words for commands only"


def _calls(fields: JsonObject) -> tuple[str, ...]:
    calls = fields.get("tool_calls")
    found = [one.get("tool_use_id") for one in calls if isinstance(one, dict)] if isinstance(calls, list) else []
    return tuple(one for one in found if isinstance(one, str))


def _outcome(event: str, fields: JsonObject) -> tuple[bool, str]:
    if event == "PostToolUseFailure":
        return False, text_from_os(read.optional_text(fields, "error"))
    response = fields.get("tool_response")
    if isinstance(response, str):
        # The agent reports a failed call here too, as a sentence where a successful one has an object.
        return not response.startswith("Error:"), text_from_os(response)
    return True, json_text(response)
