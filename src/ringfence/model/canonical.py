"""Canonical JSON (RFC 8785) and the digests made of it: one value, one byte string, one SHA-256.

Only what our types hold is accepted: objects with string keys, arrays, strings, booleans, null and integers inside
the range in which every JSON reader agrees (plus or minus 2**53 - 1). Floating point numbers are refused, because no
type of ours carries one and their canonical form is where implementations differ.
"""

from __future__ import annotations

import hashlib
import json
from json.encoder import encode_basestring
from operator import itemgetter
from typing import cast

import msgspec

_SAFE_INTEGER = 2**53 - 1


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
    """Of what `to_builtins` makes: nothing but the plain types themselves. The most frequent ones come first."""
    kind = type(value)
    if kind is str:
        return _string(cast("str", value))
    if kind is dict:
        return _object(cast("dict[str, object]", value))
    if kind is list or kind is tuple:
        return "[" + ",".join(map(_write, cast("list[object]", value))) + "]"
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        number = cast("int", value)
        if abs(number) > _SAFE_INTEGER:
            raise ValueError(f"integer {number} is outside the range that canonical JSON can carry")
        return str(number)
    raise ValueError(f"a {kind.__name__} has no canonical JSON form")


def _object(members: dict[str, object]) -> str:
    # The order of UTF-16: that of the characters themselves, as long as none of them takes two words.
    if all(map(str.isascii, members)):
        ordered = sorted(members.items(), key=itemgetter(0))
    else:
        ordered = sorted(members.items(), key=_utf16)
    return "{" + ",".join([f"{_string(key)}:{_write(item)}" for key, item in ordered]) + "}"


def _utf16(member: tuple[str, object]) -> bytes:
    return member[0].encode("utf-16-be")


def _string(value: str) -> str:
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("a lone surrogate has no canonical JSON form; use `text_from_os`")
    return encode_basestring(value)
