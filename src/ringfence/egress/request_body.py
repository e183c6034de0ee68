"""The body of a request in a form in which its server reads it too: unpacked, in UTF-8. Pure; it judges nothing.

What a server could read and we cannot is `BodyUnread`, never an empty body.
"""

from __future__ import annotations

import re
import zlib

MOST_BODY = 1 << 20
"""How much of a body is read to know what a request does; of a longer one it is not known."""

ONCE = frozenset((b"content-encoding", b"content-type"))
"""What a request says once about its body: of two values, one server takes the first and another the last."""

_PLAIN = (b"", b"identity")
_GZIP = (b"gzip", b"x-gzip")
_CHARSET = re.compile(rb"charset[^=;,]*=\s*[\"']*([^;,\"'\s]*)")
_UTF8 = frozenset((b"utf-8", b"utf8", b"us-ascii", b"ascii"))


class BodyUnread(ValueError):
    """The body cannot be read as its server may read it."""


def plain(content: bytes, coding: bytes, kind: bytes, *, complete: bool) -> tuple[bytes, bool]:
    """As much of a body as is read, unpacked, and whether that is all. `kind` is its Content-Type."""
    # SECURITY: `+AHs-` is a brace in UTF-7: nothing of a JSON text need look like one in another charset.
    if any(one not in _UTF8 for one in _CHARSET.findall(kind.lower())):
        raise BodyUnread("the body is a text in another charset than UTF-8")
    if coding.strip().lower() in _PLAIN:
        return content, complete
    return unpacked(content, coding.strip().lower(), complete=complete)


def unpacked(content: bytes, coding: bytes, *, complete: bool) -> tuple[bytes, bool]:
    """As much of a compressed body as is read, and whether that is all."""
    if not content and complete:
        return b"", True
    if coding not in (*_GZIP, b"deflate"):
        raise BodyUnread("the body is compressed in a way that cannot be looked into")
    unpacking = zlib.decompressobj(47 if coding in _GZIP else zlib.MAX_WBITS)
    try:
        found = unpacking.decompress(content, MOST_BODY)
    except zlib.error:
        raise BodyUnread("the body is not compressed as it says") from None
    if unpacking.unused_data:
        raise BodyUnread("there is more behind the end of the compressed body")
    return found, complete and unpacking.eof and not unpacking.unconsumed_tail
