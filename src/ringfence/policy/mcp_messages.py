"""Messages of MCP as JSON objects: whether one calls a tool, for servers that read keys in any spelling.

Pure, and it judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

CALL = "tools/call"
"""The method that calls a tool."""
_MARKS = (b'"jsonrpc"', b"tools/call", b"tools\\/call", b"\\u")
_KEYS = frozenset(("jsonrpc", "method", "params"))
_OF_CALLS = frozenset(("name", "arguments"))


def may_call(content: bytes) -> bool:
    """Whether a text may hold a message that calls a tool, without reading it."""
    lower = content.lower()
    return any(one in lower for one in _MARKS)


def misspelt(message: dict[str, object]) -> bool:
    """Whether this is a message to servers to which capitals in keys make no difference, and none as it stands.

    A call of a tool has to name the tool, and its arguments, as it is written.
    """
    # SECURITY: programs in Go take `Method` for `method`, `param\u017f` too, and of two spellings the last.
    of_message = _folded(message, _KEYS)
    means = {value for key, value in message.items() if key.casefold() == "method" and isinstance(value, str)}
    if CALL not in means:
        is_message = "2.0" in [value for key, value in message.items() if key.casefold() == "jsonrpc"]
        return bool(of_message) and bool(means) and is_message
    inner = [value for key, value in message.items() if key.casefold() == "params" and isinstance(value, dict)]
    return bool(of_message) or any(_folded(each, _OF_CALLS) for each in inner)


def _folded(keys: Iterable[str], known: frozenset[str]) -> list[str]:
    return [key for key in keys if key not in known and key.casefold() in known]
