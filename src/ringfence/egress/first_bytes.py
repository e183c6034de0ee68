"""Says what a client starts to speak inside a tunnel: TLS, plain HTTP, or something else.

Only as much is read as it takes to know; for TLS and HTTP that is the whole hello or head, so that the name in it can
be compared with the host that was authorised.
"""

from __future__ import annotations

import re
from typing import TypeAlias

import msgspec

from ringfence.egress.http_head import END, HeadInvalid, RequestHead, parse_head
from ringfence.egress.tls_hello import HelloInvalid, read_hello

# An HTTP method, blanks, and the target's first character. SECURITY: lenient servers take a method of any letters and
# length, any target, empty lines and blanks before it, and for a blank all that Unicode calls one; what one of them
# reads as a request must not pass as another protocol, because it may name another host.
_SPACES = b" \t\r\n\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0"
_SPACE = rb"[ \t\r\n\x0b\x0c\x1c-\x1f\x85\xa0]"
_BLANK = rb"(?:[ \t\x0b\x0c\x1c-\x1f\x85\xa0]|\r(?!\n))"
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_MAYBE_METHOD = re.compile(_SPACE + rb"*" + _TOKEN + rb"*" + _BLANK + rb"*")
_METHOD = re.compile(_SPACE + rb"*" + _TOKEN + rb"+" + _BLANK + rb"+[\x21-\x7e\x80-\xff]")
_OLDEST = re.compile(rb"GET" + _BLANK + rb"+(?:/|[A-Za-z][A-Za-z0-9+.-]*://)[^ \t]*[ \t\r]*$", re.IGNORECASE)
"""The whole of a request in HTTP/0.9, which some servers still answer: also for the host of a URL in it."""
_GIT = re.compile(rb"[0-9a-f]{4}git-[a-z-]+ [^\r\n\0]+\0host=")
"""What Git says to its own servers: words as in HTTP, no line's end, and a NUL that no request has."""
_LONGEST_LINE = 16_384
_VERSIONS = (b"\0\x02", *(bytes((3, minor)) for minor in range(5)))
_LONG_ENOUGH = 5
"""To know the beginning of an old hello."""


class Tls(msgspec.Struct, frozen=True):
    """A TLS client, and the server name it asks for."""

    server_name: bytes | None


class Http(msgspec.Struct, frozen=True):
    """A plain HTTP request, and what was sent behind its head."""

    head: RequestHead
    rest: bytes


class Other(msgspec.Struct, frozen=True):
    """A protocol in which we read no name."""


Spoken: TypeAlias = Tls | Http | Other


def look(data: bytes, *, ended: bool = False) -> Spoken | None:
    """What `data`, the first bytes of a client, is; None while that cannot be said yet.

    `HelloInvalid` or `HeadInvalid` where it is a malformed or ambiguous one. `ended`: no more bytes will come.
    """
    if data[:1] == b"\x16" and data[1:2] in (b"", b"\x03"):
        hello = read_hello(data)
        return Tls(hello.server_name) if hello else (Other() if ended else None)
    old = _old_hello(data)
    if old is None and not ended:
        return None
    if old:
        raise HelloInvalid("the TLS ClientHello is in the format of SSL 2, which names no host")
    if not ended and _MAYBE_METHOD.fullmatch(data):
        _require_end(data)
        return None
    if _METHOD.match(data) is None or _GIT.match(data) is not None:
        return Other()
    line, newline, _ = data.lstrip(_SPACES).partition(b"\n")
    if not newline and not ended:
        _require_end(line)
        return None
    if b"HTTP/" not in line.upper():
        if _OLDEST.match(line):
            raise HeadInvalid("a request without a version names no host, or any, and is answered all the same")
        return Other()
    head, end, rest = data.partition(END)
    if end or ended or b"\n\n" in data:
        return Http(parse_head(head + end), rest)
    return None


def _require_end(line: bytes) -> None:
    # SECURITY: some servers take a first line of any length, and what stands at its end makes it a request.
    if len(line) > _LONGEST_LINE:
        raise HeadInvalid(f"the first line is longer than {_LONGEST_LINE} bytes, and may be a request")


def _old_hello(data: bytes) -> bool | None:
    """Whether it is a ClientHello as before TLS, which servers of today still answer in TLS; None while that cannot be
    said yet."""
    may_be = data[:1] >= b"\x80" and b"\x01".startswith(data[2:3]) and any(v.startswith(data[3:5]) for v in _VERSIONS)
    return None if may_be and len(data) < _LONG_ENOUGH else may_be
