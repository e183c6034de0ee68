"""Reads the head of an HTTP/1 request, strictly: what two programs could read differently is refused.

Bytes in, a `RequestHead` or `HeadInvalid` out. Sizes and times are the caller's business, and so is what the request is
allowed to do.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import msgspec

from ringfence.model.host import Destination, parse_destination, shown

END = b"\r\n\r\n"
_MOST_FIELDS = 128
_LONG = 4096
_REQUEST_LINE = re.compile(rb"([A-Z][A-Z-]{0,31}) ([\x21-\x7e]+) HTTP/1\.([01])")
# SECURITY: the white space around the value is stripped and not matched: two patterns that may both take it would have
# to try every way to share it, and a line of spaces would hold everybody up for minutes.
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\x20-\x7e\x80-\xff\t]*)")
_METHOD = re.compile(rb"[A-Z][A-Z-]{0,31}")
_TARGET = re.compile(rb"[\x21-\x7e]+")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\x20-\x7e\x80-\xff\t]*[\x21-\x7e\x80-\xff])?)?")
_OF_A_CONNECTION = frozenset((b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"http2-settings"))
_LENGTH = re.compile(rb"[0-9]{1,18}")
_ESCAPE = re.compile(r"%(..?)?", re.DOTALL)
# SECURITY: a group for each segment would hold hundreds of bytes for each slash of the path until it has matched.
_PLAIN = re.compile(
    rb"(?!CONNECT )([A-Z][A-Z-]{0,31}) (?![^? ]*/\.)"
    rb"(/[A-Za-z0-9_~!$&'()*+,;=:@./-]*)(\?[\x21-\x7e]*)? HTTP/1\.1\r\n",
)
"""A request line with a path that has one spelling only, nothing escaped and no segment that begins with a dot."""
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class HeadInvalid(ValueError):
    """The head is malformed or ambiguous; the message says how, for the one who sent it."""


class Target(StrEnum):
    """The form in which a request names its target."""

    AUTHORITY = "authority"
    """`CONNECT host:port`."""
    ABSOLUTE = "absolute"
    """`GET http://host/path`, as a proxy is asked."""
    ORIGIN = "origin"
    """`GET /path`, as a server is asked."""


class RequestHead(msgspec.Struct, frozen=True, kw_only=True):
    """A request's head that means one thing only."""

    method: str
    target: Target
    destination: Destination | None
    """Where it goes: the target and the Host header, which agree. None only for an HTTP/1.0 request without Host."""
    path: str
    """The path in its one spelling, without query; empty for CONNECT."""
    query: str
    """The query with its question mark, as it came; empty where there is none."""
    fields: tuple[tuple[bytes, bytes], ...]
    """The header fields in order, the names in lower case."""
    length: int = 0
    """The length of the body; 0 where there is none."""
    chunked: bool = False
    """Whether the body comes in chunks instead."""
    minor: int = 1
    """The minor version: 0 or 1."""


def parse_head(head: bytes, *, default_port: int = 80) -> RequestHead:
    """The request whose head, up to and including the empty line, is `head`; `HeadInvalid` where it is not one.

    `default_port` is the one that a Host header without a port means."""
    # SECURITY: a bare CR or LF ends a line for some parsers and not for others; so does a folded line.
    if not head.endswith(END):
        raise HeadInvalid("the request's head has no end")
    plain = _PLAIN.match(head)
    if plain is not None:
        rest = head[plain.end() :]
        fields, length, chunked, host = _header_again(rest) if len(rest) < _LONG else _header(rest)
        if host is not None:
            method, path, query = plain.groups()
            return RequestHead(
                method=method.decode("ascii"),
                target=Target.ORIGIN,
                destination=_destination(host, default_port),
                path=path.decode("ascii"),
                query=query.decode("ascii") if query else "",
                fields=fields,
                length=length,
                chunked=chunked,
            )
    line, _, rest = head.partition(b"\r\n")
    request = _REQUEST_LINE.fullmatch(line)
    if request is None:
        raise HeadInvalid(f"the request line {_show(line)} is not `METHOD target HTTP/1.1`")
    fields, length, chunked, host = _header_again(rest) if len(rest) < _LONG else _header(rest)
    text, target, version = request.groups()
    minor, method = 0 if version == b"0" else 1, text.decode("ascii")
    if chunked and not minor:
        raise HeadInvalid("the transfer encoding `chunked` is not accepted in HTTP/1.0")
    if host is None and minor and method != "CONNECT":
        raise HeadInvalid("the request has no Host header")
    form, destination, path, query = _target(method, target.decode("ascii"), host, default_port)
    return RequestHead(
        method=method,
        target=form,
        destination=destination,
        path=path,
        query=query,
        fields=fields,
        length=length,
        chunked=chunked,
        minor=minor,
    )


class _Header(NamedTuple):
    """All lines of a head but the first."""

    fields: tuple[tuple[bytes, bytes], ...]
    length: int
    chunked: bool
    host: bytes | None


def _header(rest: bytes) -> _Header:
    fields = _fields(rest[: -len(END)].split(b"\r\n") if len(rest) > len(END) else [])
    length, chunked = _framing(fields)
    return _Header(fields, length, chunked, _host(fields))


def assembled(
    method: bytes,
    target: bytes,
    authority: bytes,
    fields: tuple[tuple[bytes, bytes], ...],
    *,
    empty: bool,
    default_port: int,
) -> RequestHead:
    """The request that HTTP/2 names in pseudo-header fields, held to the same rules; `HeadInvalid` where it is not one.

    `empty`: no body follows. A body without a length is one in chunks."""
    if not _METHOD.fullmatch(method) or not _TARGET.fullmatch(target):
        raise HeadInvalid(f"the method {_show(method)} or the path {_show(target)} is malformed")
    if len(fields) > _MOST_FIELDS:
        raise HeadInvalid(f"the request has more than {_MOST_FIELDS} header fields")
    for name, value in fields:
        # SECURITY: what ends a line, or names a protocol for one connection, becomes another request in HTTP/1.1.
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise HeadInvalid(f"the header field {_show(name)} is malformed")
        if name in _OF_A_CONNECTION or name.startswith(b"proxy-"):
            raise HeadInvalid(f"the header field {_show(name)} has no place in HTTP/2")
    named = [value for name, value in fields if name == b"host"]
    if len(named) > 1 or (named and _destination(named[0], default_port) != _destination(authority, default_port)):
        raise HeadInvalid("the Host header is not the authority of the request")
    length, _ = _framing(fields)
    if empty and length:
        raise HeadInvalid(f"the request ends with its header, and says that {length} bytes follow")
    unknown = not empty and not any(name == b"content-length" for name, _ in fields)
    form, destination, path, query = _target(method.decode("ascii"), target.decode("ascii"), authority, default_port)
    if form is not Target.ORIGIN:
        raise HeadInvalid(f"the path {_show(target)} does not begin with `/`")
    return RequestHead(
        method=method.decode("ascii"),
        target=form,
        destination=destination,
        path=path,
        query=query,
        fields=fields if named else ((b"host", authority), *fields),
        length=length,
        chunked=unknown,
    )


_header_again = lru_cache(maxsize=256)(_header)


def _fields(lines: list[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    if len(lines) > _MOST_FIELDS:
        raise HeadInvalid(f"the request has more than {_MOST_FIELDS} header fields")
    fields = []
    for line in lines:
        field = field_line(line)
        if field is None:
            raise HeadInvalid(f"the header line {_show(line)} is malformed")
        fields.append(field)
    return tuple(fields)


def field_line(line: bytes) -> tuple[bytes, bytes] | None:
    """The name in lower case and the value of a header line; None where it is malformed."""
    field = FIELD.fullmatch(line)
    return None if field is None else (field[1].lower(), field[2].strip(b" \t"))


def _framing(fields: tuple[tuple[bytes, bytes], ...]) -> tuple[int, bool]:
    """The body's length and whether it is chunked."""
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    # SECURITY: request smuggling lives on two framings of one body; every ambiguity is refused.
    if lengths and codings:
        raise HeadInvalid("the request has both Content-Length and Transfer-Encoding")
    if len(lengths) > 1 or len(codings) > 1:
        raise HeadInvalid("the request frames its body more than once")
    if codings:
        if codings[0].lower() != b"chunked":
            raise HeadInvalid(f"the transfer encoding {_show(codings[0])} is not accepted; only `chunked` is")
        return 0, True
    if not lengths:
        return 0, False
    if not _LENGTH.fullmatch(lengths[0]):
        raise HeadInvalid(f"the content length {_show(lengths[0])} is not a number")
    return int(lengths[0]), False


def _host(fields: tuple[tuple[bytes, bytes], ...]) -> bytes | None:
    hosts = [value for name, value in fields if name == b"host"]
    if len(hosts) > 1:
        raise HeadInvalid("the request has more than one Host header")
    return hosts[0] if hosts else None


def _target(
    method: str, target: str, host: bytes | None, default_port: int
) -> tuple[Target, Destination | None, str, str]:
    if method == "CONNECT":
        named = _destination(target, None)
        _agree(named, host)
        return Target.AUTHORITY, named, "", ""
    if target.startswith("/") or target == "*":
        path, question, query = target.partition("?")
        destination = None if host is None else _destination(host, default_port)
        return Target.ORIGIN, destination, _path(path), question + query
    scheme, separator, rest = target.partition("://")
    if separator != "://" or scheme.lower() != "http":
        raise HeadInvalid(f"the target {shown(target)} is neither a path nor an `http://` URL; use CONNECT for TLS")
    authority, path, query = _split_url(rest)
    named = _destination(authority, 80)
    _agree(named, host)
    return Target.ABSOLUTE, named, _path(path), query


def _split_url(rest: str) -> tuple[str, str, str]:
    if "#" in rest:
        raise HeadInvalid("the target has a fragment, which is never sent")
    before, question, query = rest.partition("?")
    authority, slash, path = before.partition("/")
    return authority, slash + path or "/", question + query


def _agree(named: Destination, host: bytes | None) -> None:
    # SECURITY: one server judges by the target, another by Host; where they differ, nobody may choose.
    if host is not None and _destination(host, named.port) != named:
        raise HeadInvalid(f"the Host header {_show(host)} is not the target `{named}`")


@lru_cache(maxsize=256)
def _destination(text: str | bytes, default_port: int | None) -> Destination:
    try:
        return parse_destination(text, default_port=default_port)
    except ValueError as error:
        raise HeadInvalid(str(error)) from None


def _path(path: str) -> str:
    """One spelling per path, so that a rule about a path cannot be evaded by another spelling of it."""
    if "#" in path or "\\" in path:
        raise HeadInvalid(f"the path {shown(path)} holds a character that has to be escaped")
    plain = _ESCAPE.sub(_unescape, path) if "%" in path else path
    # Clients remove dot segments before they send; only somebody who wants to be misread leaves them in.
    if ("/." in plain or plain[0] == ".") and any(segment in (".", "..") for segment in plain.split("/")):
        raise HeadInvalid(f"the path {shown(path)} holds a `.` or `..` segment")
    return plain


def _unescape(escape: re.Match[str]) -> str:
    digits = escape[1] or ""
    if len(digits) != 2 or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise HeadInvalid(f"the path has a malformed escape {shown(escape[0])}")
    character = chr(int(digits, 16))
    if character == "\0":
        raise HeadInvalid("the path holds an escaped NUL")
    return character if character in _UNRESERVED else f"%{digits.upper()}"


def _show(data: bytes) -> str:
    return shown(data.decode("latin-1"))
