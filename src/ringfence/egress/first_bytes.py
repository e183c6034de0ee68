"""Says what a client starts to speak inside a tunnel: TLS, plain HTTP, or something else.

Only as much is read as it takes to know; for TLS and HTTP that is the whole hello or head, so that the name in it can
be compared with the host that was authorised.
"""

from __future__ import annotations

import re
from typing import TypeAlias

import msgspec

from ringfence.egress.http_head import END, RequestHead, parse_head
from ringfence.egress.tls_hello import read_hello

# An HTTP method, then white space; lenient servers take lower case, empty lines before it and any white space.
_MAYBE_METHOD = re.compile(rb"[\r\n]*[!#$%&'*+.^_`|~0-9A-Za-z-]{0,32}")
_METHOD = re.compile(rb"[\r\n]*([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32})[ \t]+")
_TARGET_STARTS = b"/*hH"
_LONGEST_LINE = 16_384


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
    method = _METHOD.match(data)
    if method is None:
        return None if _MAYBE_METHOD.fullmatch(data) and not ended else Other()
    target = data[method.end() : method.end() + 1]
    if target and target not in _TARGET_STARTS and method[1].upper() != b"CONNECT":
        return Other()
    line, newline, _ = data.lstrip(b"\r\n").partition(b"\n")
    if not newline and len(line) < _LONGEST_LINE and not ended:
        return None
    if b"HTTP/" not in line.upper():
        return Other()
    head, end, rest = data.partition(END)
    if end or ended or b"\n\n" in data:
        return Http(parse_head(head + end), rest)
    return None
