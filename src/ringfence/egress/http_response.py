"""Reads the head of an HTTP/1 response, strictly where two readers could disagree about where it ends.

Bytes in, a `ResponseHead` or `ResponseInvalid` out. A response is re-issued like a request, so what is read here is all
that the client ever sees.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from ringfence.egress.http_fields import AGREEMENTS, Field, binds, connection_tokens
from ringfence.egress.http_head import END, field_line

_MOST_FIELDS = 256
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_TELLING = AGREEMENTS | {b"content-length", b"transfer-encoding", b"connection"}


class ResponseInvalid(ValueError):
    """The server's answer is malformed or ambiguous; the message says how."""


class ResponseHead(msgspec.Struct, frozen=True, kw_only=True):
    """A response's head that means one thing only."""

    status: int
    phrase: bytes = b""
    fields: tuple[tuple[bytes, bytes], ...]
    """The header fields in order, the names in lower case."""
    length: int | None = None
    """The length of the body; None where it comes in chunks, or ends with the connection."""
    chunked: bool = False
    """Whether the body comes in chunks."""
    minor: int = 1
    """The minor version: 0 or 1."""
    closes: bool = False
    """Whether the server ends its connection behind it."""
    binds: bool = False
    """Whether it is about who the client is for the whole connection, and not for one request."""

    def field(self, name: bytes) -> bytes | None:
        """The value of the first field of that name, in lower case; None where there is none."""
        return next((value for one, value in self.fields if one == name), None)

    @property
    def interim(self) -> bool:
        """Whether another response follows to the same request."""
        return self.status < 200 and self.status != 101


def parse_response(head: bytes, method: str) -> ResponseHead:
    """The response whose head, up to and including the empty line, is `head`, to a request with that method."""
    if not head.endswith(END):
        raise ResponseInvalid("the response's head has no end")
    line, *lines = head[: -len(END)].split(b"\r\n")
    status = _STATUS_LINE.fullmatch(line)
    if status is None:
        raise ResponseInvalid("the response does not begin with an HTTP/1 status line")
    fields = _fields(lines)
    code, minor = int(status[2]), int(status[1])
    framing = _framing(fields, minor)
    length, chunked = framing.length, framing.chunked
    if method == "HEAD" or code in (204, 304) or code < 200:
        length, chunked = 0, False
    return ResponseHead(
        status=code,
        phrase=status[3] or b"",
        fields=fields,
        length=length,
        chunked=chunked,
        minor=minor,
        closes=framing.closes,
        binds=framing.binds,
    )


def _fields(lines: list[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    if len(lines) > _MOST_FIELDS:
        raise ResponseInvalid(f"the response has more than {_MOST_FIELDS} header fields")
    fields = tuple([field_line(line) for line in lines])
    if None in fields:
        raise ResponseInvalid("the response has a malformed header line")
    return fields  # type: ignore[return-value]  # no None is in it


class _Framing(NamedTuple):
    length: int | None
    chunked: bool
    closes: bool
    binds: bool


def _framing(fields: tuple[Field, ...], minor: int) -> _Framing:
    lengths, codings, closes, bound = set(), [], False, False
    for field in fields:
        name, value = field
        if name not in _TELLING:
            continue
        if name == b"content-length":
            lengths.add(value)
        elif name == b"transfer-encoding":
            codings.append(value.lower())
        elif name == b"connection":
            closes = closes or b"close" in connection_tokens((field,))
        else:
            bound = bound or binds(field)
    # SECURITY: an answer with two ends lets its tail pass for the answer to the next request of the pool.
    if codings:
        if lengths or codings != [b"chunked"] or minor == 0:
            raise ResponseInvalid("the response frames its body in more than one way")
        return _Framing(None, True, closes, bound)
    if not lengths:
        return _Framing(None, False, closes, bound)
    length = lengths.pop()
    if lengths or not _LENGTH.fullmatch(length):
        raise ResponseInvalid("the response's content length is not one number")
    return _Framing(int(length), False, closes, bound)
