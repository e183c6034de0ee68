"""Reading what an agent hands to its hook: JSON of the right shape, absolute paths, arguments for the record.

Whatever is missing or of another type is `HookUnreadable`, because half a tool call cannot be judged.
"""

from __future__ import annotations

import os
from typing import TypeAlias

import msgspec

from ringfence.agents.agent import HookUnreadable
from ringfence.agents.endpoint import read_endpoint
from ringfence.model.action import (
    Action,
    CommandAction,
    ConnectAction,
    FileAction,
    FileOperation,
    McpAction,
    OpaqueAction,
)
from ringfence.model.canonical import json_text, text_from_os

JsonObject: TypeAlias = dict[str, object]


def read_object(payload: bytes) -> JsonObject:
    """The JSON object that a hook got on standard input."""
    try:
        value = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise HookUnreadable(f"the hook's input is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise HookUnreadable("the hook's input is not a JSON object")
    return value


def text(fields: JsonObject, name: str) -> str:
    """A text that has to be there."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise HookUnreadable(f"the hook's input has no text `{name}`")
    return value


def optional_text(fields: JsonObject, name: str) -> str:
    """A text that may be missing."""
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def absolute(path: str, *, cwd: str, home: str) -> str:
    """The path as the tool would open it; symbolic links are left for the sandbox to judge."""
    if "\0" in path:
        raise HookUnreadable("the path holds a NUL character")
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    whole = os.path.join(cwd, path)
    if not whole.startswith("/"):
        raise HookUnreadable("the path is relative and the working directory is not known")
    # A leading `//` is kept by the standard library and means the same as one.
    return "/" + os.path.normpath(whole).lstrip("/")


def command(script: str, cwd: str) -> CommandAction:
    """A shell string as the agents run it."""
    return CommandAction(argv=("bash", "-c", text_from_os(script)), shell=text_from_os(script), cwd=text_from_os(cwd))


def file(operation: FileOperation, path: str, *, cwd: str, home: str) -> FileAction:
    """A file that a tool opens by itself."""
    return FileAction(operation=operation, path=text_from_os(absolute(path, cwd=cwd, home=home)))


def connection(address: str) -> ConnectAction:
    """A page that a tool fetches by itself."""
    try:
        endpoint = read_endpoint(address)
    except ValueError as error:
        raise HookUnreadable(str(error)) from None
    return ConnectAction(host=endpoint.host, port=endpoint.port, method="GET", path=text_from_os(endpoint.path))


def other(tool: str, arguments: object) -> Action:
    """An MCP tool by its name, or a tool that we do not know."""
    prefix, server, name = (*tool.split("__", 2), "", "")[:3]
    if prefix == "mcp" and server and name:
        return McpAction(server=text_from_os(server), tool=text_from_os(name), arguments=json_text(arguments))
    return OpaqueAction(tool=text_from_os(tool), arguments=json_text(arguments))
