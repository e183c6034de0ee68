"""Judges the first bytes that arrive at a published port: a web page of somebody else must not speak with the server
inside through the person's browser. Pure: bytes in, a verdict out.

A browser names the site in `Host`, whatever address that name was made to stand for, and keeps one connection to one
site. What is no HTTP comes from no web page and passes.
"""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

LARGEST_HEAD = 64 * 1024

_METHOD = re.compile(rb"[A-Z][A-Z-]{1,15} ")
_BEGINNING = re.compile(rb"[A-Z][A-Z-]{0,15}")
_SAME_MACHINE = re.compile(
    r"(?:(?:[a-z0-9-]+\.)*localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]{1,5})?\.?", re.IGNORECASE
)
_HTTP2 = b"PRI * HTTP/2.0\r\n"


class Kind(StrEnum):
    """What becomes of the bytes."""

    MORE = "more"
    PASS = "pass"  # noqa: S105 - a verdict
    REFUSE = "refuse"


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict about the first bytes of a client."""

    kind: Kind
    why: str = ""
    answer: bytes = b""
    """What a refused client is told."""


def judge(data: bytes, *, ended: bool = False) -> Judged:
    """The verdict about what a client has sent so far; `ended`: nothing more will come."""
    if not _METHOD.match(data):
        begins = bool(_BEGINNING.fullmatch(data)) and len(data) <= 16
        return Judged(kind=Kind.MORE if begins and not ended else Kind.PASS)
    if data.startswith(_HTTP2[: len(data)]):
        return Judged(kind=Kind.PASS if len(data) >= len(_HTTP2) or ended else Kind.MORE)
    head, end, _ = data.partition(b"\r\n\r\n")
    if not end:
        if ended or len(data) > LARGEST_HEAD:
            return _refused(b"431 Request Header Fields Too Large", "the head of the request has no end")
        return Judged(kind=Kind.MORE)
    return _head(head)


def _head(head: bytes) -> Judged:
    fields = [line.partition(b":") for line in re.split(rb"\r?\n|\r", head)[1:]]
    named = [(name.strip().lower(), value.strip().decode("latin-1")) for name, _, value in fields]
    hosts = [value for name, value in named if name == b"host"]
    if len(hosts) != 1:
        return _refused(b"400 Bad Request", f"the request names {len(hosts)} hosts")
    if not _SAME_MACHINE.fullmatch(hosts[0]):
        # SECURITY: a page of that site, whose name was made to stand for the loopback: DNS rebinding.
        return _refused(b"421 Misdirected Request", f"the request is for `{hosts[0][:100]}`, which is not this machine")
    for origin in (value for name, value in named if name == b"origin"):
        if not _SAME_MACHINE.fullmatch(re.sub(r"^https?://", "", origin)):
            return _refused(b"403 Forbidden", f"the request comes from a page of `{origin[:100]}`")
    return Judged(kind=Kind.PASS)


def _refused(status: bytes, why: str) -> Judged:
    body = f"ringfence: refused: {why}\n".encode(errors="replace")
    head = b"HTTP/1.1 " + status + b"\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    return Judged(kind=Kind.REFUSE, why=why, answer=head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
