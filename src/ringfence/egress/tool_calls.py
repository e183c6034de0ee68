"""Calls of tools on MCP servers over HTTP, read off the body of a request. Pure; it judges nothing.

A server that is reached over HTTP is known by its host: what an agent's settings call it is the agent's word.
"""

from __future__ import annotations

import zlib

import msgspec

from ringfence.egress.facts import MOST_BODY
from ringfence.model.action import McpAction, ServerFacts
from ringfence.model.canonical import json_text, text_from_os
from ringfence.policy.operations import read_json

_MENTION = b'"jsonrpc"'
_WIDE = (b"{\0", b"\0{", b"[\0", b"\0[", b"\xff\xfe", b"\xfe\xff")


class CallsUnread(ValueError):
    """The body may call tools, and cannot be read."""


def tool_calls(
    server: str, content: bytes, *, complete: bool, coding: bytes = b"", media: bytes = b"", address: str = ""
) -> tuple[McpAction, ...]:
    """The calls in a body that goes to an address; `CallsUnread` where there may be some that cannot be seen."""
    if coding not in (b"", b"identity"):
        content, complete = unpacked(content, coding, media, complete=complete)
    if not complete:
        if _MENTION in content:
            raise CallsUnread("a call of a tool is longer than what is read of it")
        return ()
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
    return tuple(_call(server, address, one) for one in calls if one.get("jsonrpc") == "2.0")


def unpacked(content: bytes, coding: bytes, media: bytes, *, complete: bool) -> tuple[bytes, bool]:
    """As much of a compressed body as is read, and whether that is all; nothing of what is no JSON anyway."""
    if coding in (b"gzip", b"x-gzip", b"deflate"):
        unpacking = zlib.decompressobj(47 if coding != b"deflate" else zlib.MAX_WBITS)
        try:
            plain = unpacking.decompress(content, MOST_BODY)
        except zlib.error:
            raise CallsUnread("the body is not compressed as it says") from None
        if unpacking.unused_data:
            raise CallsUnread("there is more behind the end of the compressed body")
        return plain, complete and unpacking.eof and not unpacking.unconsumed_tail
    if media and b"json" not in media:
        return b"", True
    raise CallsUnread("the body is compressed so that calls of tools in it cannot be seen")


def _call(server: str, address: str, message: dict[str, object]) -> McpAction:
    parameters = message.get("params")
    name = parameters.get("name") if isinstance(parameters, dict) else None
    if not isinstance(parameters, dict) or not isinstance(name, str):
        raise CallsUnread("a call that names no tool")
    facts = ServerFacts(identity=address) if address else msgspec.UNSET
    arguments = json_text(parameters.get("arguments", {}))
    return McpAction(server=server, tool=text_from_os(name), arguments=arguments, facts=facts)
