"""Calls of tools on MCP servers over HTTP, read off the body of a request. Pure; it judges nothing.

A server that is reached over HTTP is known by its host: what an agent's settings call it is the agent's word.
"""

from __future__ import annotations

import msgspec

from ringfence.egress.request_body import BodyUnread, plain
from ringfence.model.action import McpAction, ServerFacts
from ringfence.model.canonical import json_text, text_from_os
from ringfence.policy.graphql import read_json
from ringfence.policy.mcp_messages import CALL, may_call, misspelt
from ringfence.policy.operations import may_be_json

_MENTION = b'"jsonrpc"'


class CallsUnread(BodyUnread):
    """The body may call tools, and cannot be read."""


def tool_calls(
    server: str, content: bytes, *, complete: bool, coding: bytes = b"", media: bytes = b"", address: str = ""
) -> tuple[McpAction, ...]:
    """The calls in a body that goes to an address; `BodyUnread` where there may be some that cannot be seen.

    `coding` and `media` are its Content-Encoding and Content-Type."""
    content, complete = plain(content, coding, media, complete=complete)
    likely = may_be_json(content, media.decode("latin-1").lower(), complete=complete)
    if not complete:
        # SECURITY: what is padded with white space calls a tool behind the part that is read.
        if likely or _MENTION in content.lower():
            raise CallsUnread("a body that may call a tool is longer than what is read of it")
        return ()
    if likely and b"\0" in content:
        raise CallsUnread("a JSON text that is not UTF-8")
    if not may_call(content):
        return ()
    try:
        value = read_json(content)
    except ValueError as error:
        if likely or _MENTION in content.lower():
            raise CallsUnread(f"a message of MCP that cannot be read: {error}") from None
        return ()
    messages = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]
    if any(map(misspelt, messages)):
        raise CallsUnread("a message of MCP whose keys are spelled in a way that servers differ on")
    return tuple(_call(server, address, one) for one in messages if one.get("method") == CALL)


def _call(server: str, address: str, message: dict[str, object]) -> McpAction:
    parameters = message.get("params")
    name = parameters.get("name") if isinstance(parameters, dict) else None
    if not isinstance(parameters, dict) or not isinstance(name, str):
        raise CallsUnread("a call that names no tool")
    facts = ServerFacts(identity=address) if address else msgspec.UNSET
    arguments = json_text(parameters.get("arguments", {}))
    return McpAction(server=server, tool=text_from_os(name), arguments=arguments, facts=facts)
