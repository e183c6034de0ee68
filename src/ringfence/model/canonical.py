"""Canonical JSON (RFC 8785) and the digests made of it: one value, one byte string, one SHA-256.

Only what our types hold is accepted: objects with string keys, arrays, strings, booleans, null and integers inside
the range in which every JSON reader agrees (plus or minus 2**53 - 1). Floating point numbers are refused, because no
type of ours carries one and their canonical form is where implementations differ.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import msgspec

_SAFE_INTEGER = 2**53 - 1
_quoted = json.JSONEncoder(ensure_ascii=False).encode


def canonical_json(value: object) -> bytes:
    """The RFC 8785 form of plain data or of one of our Structs; `ValueError` for what has no canonical form."""
    return _write(msgspec.to_builtins(value, order=None)).encode("utf-8")


def digest(value: object) -> str:
    """`sha256:` and the hexadecimal SHA-256 of the canonical form."""
    return f"sha256:{hashlib.sha256(canonical_json(value)).hexdigest()}"


def text_from_os(value: str | bytes) -> str:
    """A text that JSON can carry for any file name or argument of the operating system, one to one.

    Bytes that are not UTF-8, and a literal U+FFFD, become U+FFFD followed by two hexadecimal digits per byte, so that
    two different names never get the same text.
    """
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
    if text.isascii():
        return text
    parts = []
    for character in text:
        if "\udc80" <= character <= "\udcff":
            parts.append(f"\ufffd{ord(character) - 0xDC00:02x}")
        elif character == "\ufffd":
            parts.append("\ufffdef\ufffdbf\ufffdbd")
        else:
            parts.append(character)
    return "".join(parts)


def json_text(value: object) -> str:
    """Any JSON value as text that the record and a digest can carry: sorted, without spaces, numbers as they came."""
    return text_from_os(json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")))


def _write(value: object) -> str:
    match value:
        case None:
            return "null"
        case True:
            return "true"
        case False:
            return "false"
        case int():
            if abs(value) > _SAFE_INTEGER:
                raise ValueError(f"integer {value} is outside the range that canonical JSON can carry")
            return str(value)
        case str():
            return _string(value)
        case Mapping():
            members = sorted(value.items(), key=lambda item: item[0].encode("utf-16-be"))
            return "{" + ",".join(f"{_string(key)}:{_write(item)}" for key, item in members) + "}"
        case Sequence():
            return "[" + ",".join(_write(item) for item in value) + "]"
        case _:
            raise ValueError(f"a {type(value).__name__} has no canonical JSON form")


def _string(value: str) -> str:
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("a lone surrogate has no canonical JSON form; use `text_from_os`")
    return _quoted(value)
