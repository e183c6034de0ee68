"""An action in one line of words, the same wherever a person meets it: denials, summaries, the timeline."""

from __future__ import annotations

from typing import assert_never

from ringfence.model.action import Action, CommandAction, ConnectAction, FileAction, McpAction, OpaqueAction
from ringfence.model.display import visible, visible_argv


def action_text(action: Action) -> str:
    """The action in one line, with nothing invisible left in it."""
    match action:
        case CommandAction(shell=str(script)):
            return visible(script)
        case CommandAction():
            return visible_argv(action.argv)
        case FileAction():
            return f"{action.operation.value} {visible(action.path)}"
        case ConnectAction():
            request = f"{action.method} {visible(action.path or '/')} on " if action.method else ""
            return f"{request}{visible(action.host)}:{action.port}"
        case McpAction():
            return f"{visible(action.tool)} of MCP server {visible(action.server)}"
        case OpaqueAction():
            return visible(action.tool)
        case _:
            assert_never(action)
