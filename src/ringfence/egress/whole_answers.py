"""Answers of HTTP/1.1 that came whole and say nothing about their connection: most of those to small requests.

What such an answer comes to is what `parse_response` and `answered` make of it, with the names of its fields spelled as
its server spells them, for a fraction of the work. Whatever is unusual is read there, field by field.
"""

from __future__ import annotations

import re

_MOST_FIELDS = 256
_FEW_BYTES = 4 * _MOST_FIELDS
"""A head of less has no more fields than that: each takes four bytes."""
_TEXT = rb"[\x20-\x7e\x80-\xff\t]*"
_KEEPS = rb"(?:[Cc]onnection: ?[Kk]eep-[Aa]live|[Kk]eep-[Aa]live:" + _TEXT + rb")\r\n"
"""The only words about a connection that nothing follows from. They end here."""
# SECURITY: what tells how to read the message, or who the client is for its whole connection, is not overlooked here.
_SPEAKS = (
    rb"connection|keep-alive|te|trailer|upgrade|http2-settings|host|content-length|transfer-encoding|alt-svc"
    rb"|authorization|www-authenticate|proxy-[^:]*"
)
# SECURITY: each line that the pattern may take back is held until it has matched, a hundred times the line's length.
_FIELDS = (
    rb"((?:(?!(?i:" + _SPEAKS + rb"):)[!#$%&'*+.^_`|~0-9A-Za-z-]+:" + _TEXT + rb"\r\n|" + _KEEPS + rb"){0,"
    rb"" + b"%d" % _MOST_FIELDS + rb"})"
)
# SECURITY: the length is sent as it came, and some read one that begins with a zero by eights.
_WHOLE = re.compile(
    rb"HTTP/1\.1 (?!204|304)([2-5][0-9][0-9]) (" + _TEXT + rb")\r\n"
    rb"" + _FIELDS + rb"[Cc]ontent-[Ll]ength: ?(0|[1-9][0-9]{0,17})\r\n" + _FIELDS + rb"\r\n"
)
_KEPT = re.compile(rb"^" + _KEEPS, re.MULTILINE)


def passed_on(data: bytes) -> bytes | None:
    """The answer for a client that keeps its connection; None where `data` is not one plain answer, and all of it.

    Not for an answer to HEAD, whose length is not that of what follows.
    """
    match = _WHOLE.match(data)
    if match is None:
        return None
    status, phrase, before, length, behind = match.groups()
    end = match.end()
    # SECURITY: an answer with anything behind it would answer the next request as well.
    if int(length) != len(data) - end or (end >= _FEW_BYTES and data.count(b"\n", 0, end) > _MOST_FIELDS + 2):
        return None
    fields = before + behind
    if b"eep-" in fields:
        fields = _KEPT.sub(b"", fields)
    return b"HTTP/1.1 %b %b\r\n%bContent-Length: %b\r\n\r\n%b" % (status, phrase, fields, length, data[end:])
