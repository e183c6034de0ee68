"""Reads the head of an HTTP/1 response, strictly where two readers could disagree about where it ends.

Bytes in, a `ResponseHead` or `ResponseInvalid` out. A response is re-issued like a request, so what is read here is all
that the client ever sees.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import msgspec

from ringfence.egress.http_fields import SPEAKING, Field, answer_line, binds, connection_tokens
from ringfence.egress.http_head import END, FIELD

_MOST_FIELDS = 256
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_SHORT = 2048


class ResponseInvalid(ValueError):
    """The server's answer is malformed or ambiguous; the message says how."""


class ResponseHead(msgspec.Struct, frozen=True, kw_only=True):
    """A response's head that means one thing only."""

    status: int
    phrase: bytes = b""
    fields: tuple[Field, ...]
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
    written: tuple[tuple[Field, ...], bytes] | None = None
    """Fields, and how HTTP/1 writes what goes on of them, with names as the server spells them.

    SECURITY: whoever changes `fields` leaves this behind, so it holds only where it is about those very `fields`."""

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
    lines = head[:-4].split(b"\r\n")
    if len(lines) > _MOST_FIELDS + 1:
        raise ResponseInvalid(f"the response has more than {_MOST_FIELDS} header fields")
    # Most lines come again and again in the same words.
    again = len(head) < _SHORT
    line = lines.pop(0)
    minor, code, phrase = _status_again(line) if again else _status(line)
    known = tuple(map(_line_again if again else _line, lines))
    if None in known:
        raise ResponseInvalid("the response has a malformed header line")
    fields, tells, written = zip(*known, strict=True) if known else ((), (), ())
    telling = tuple(filter(None, tells))
    length, chunked, closes, bound = _framing_again(telling, minor) if again else _framing(telling, minor)
    if code in _BODYLESS or code < 200 or method == "HEAD":
        length, chunked = 0, False
    return ResponseHead(
        status=code,
        phrase=phrase,
        fields=fields,
        length=length,
        chunked=chunked,
        minor=minor,
        closes=closes,
        binds=bound,
        written=None if None in written else (fields, b"".join(written)),
    )


_BODYLESS = (204, 304)


def _status(line: bytes) -> tuple[int, int, bytes]:
    status = _STATUS_LINE.fullmatch(line)
    if status is None:
        raise ResponseInvalid("the response does not begin with an HTTP/1 status line")
    return int(status[1]), int(status[2]), status[3] or b""


_Line: TypeAlias = tuple[Field, "Field | None", "bytes | None"]
"""A field, the same again where it tells how to go on, and how HTTP/1 writes it to a client; see `answer_line`."""


def _line(line: bytes) -> _Line | None:
    match = FIELD.fullmatch(line)
    if match is None:
        return None
    spelled, value = match.groups()
    name = spelled.lower()
    field = (name, value.strip(b" \t"))
    if name in SPEAKING or name[:6] == b"proxy-":
        return field, field if _tells(field) else None, answer_line(field)
    return field, None, b"%b: %b\r\n" % (spelled, field[1])


_status_again = lru_cache(maxsize=64)(_status)
_line_again = lru_cache(maxsize=2048)(_line)


def _tells(field: Field) -> bool:
    name = field[0]
    if name == b"connection":
        return b"close" in connection_tokens((field,))
    return name in (b"content-length", b"transfer-encoding") or binds(field)


class _Framing(NamedTuple):
    length: int | None
    chunked: bool
    closes: bool
    binds: bool


def _framing(telling: tuple[Field, ...], minor: int) -> _Framing:
    lengths, codings, closes, bound = set(), [], False, False
    for name, value in telling:
        if name == b"content-length":
            lengths.add(value)
        elif name == b"transfer-encoding":
            codings.append(value.lower())
        elif name == b"connection":
            closes = True
        else:
            bound = True
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


_framing_again = lru_cache(maxsize=256)(_framing)
