"""Calls of tools on MCP servers over HTTP, read off the body of a request. Pure; it judges nothing.

A server that is reached over HTTP is known by its host: what an agent's settings call it is the agent's word.
"""

from __future__ import annotations

from ringfence.model.action import McpAction
from ringfence.model.canonical import canonical_json
from ringfence.policy.operations import read_json

_MENTION = b'"jsonrpc"'
_WIDE = (b"{\0", b"\0{", b"[\0", b"\0[", b"\xff\xfe", b"\xfe\xff")


class CallsUnread(ValueError):
    """The body may call tools, and cannot be read."""


def tool_calls(server: str, content: bytes, *, complete: bool, plain: bool) -> tuple[McpAction, ...]:
    """The calls in a body; `CallsUnread` where there may be some that cannot be seen."""
    if not complete:
        if _MENTION in content:
            raise CallsUnread("a call of a tool is longer than what is read of it")
        return ()
    if not plain:
        raise CallsUnread("the body is compressed, so that calls of tools in it cannot be seen")
    if content[:2] in _WIDE:
        raise CallsUnread("a JSON text that is not UTF-8")
    if _MENTION not in content and b"\\u" not in content:
        return ()
    try:
        value = read_json(content)
    except ValueError as error:
        if _MENTION in content:
            raise CallsUnread(f"a message of MCP that cannot be read: {error}") from None
        return ()
    messages = value if isinstance(value, list) else [value]
    calls = [one for one in messages if isinstance(one, dict) and one.get("method") == "tools/call"]
    return tuple(_call(server, one) for one in calls if one.get("jsonrpc") == "2.0")


def _call(server: str, message: dict[str, object]) -> McpAction:
    parameters = message.get("params")
    name = parameters.get("name") if isinstance(parameters, dict) else None
    if not isinstance(parameters, dict) or not isinstance(name, str):
        raise CallsUnread("a call that names no tool")
    return McpAction(server=server, tool=name, arguments=canonical_json(parameters.get("arguments", {})).decode())
