"""Requests and answers as the header lists of HTTP/2, in both directions. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

from ringfence.egress.ends import ServerFailed
from ringfence.egress.http_fields import Said, answer_fields
from ringfence.egress.http_forward import host
from ringfence.egress.http_head import HeadInvalid, RequestHead, assembled
from ringfence.egress.http_response import ResponseHead
from ringfence.egress.inspection import Fields
from ringfence.egress.refusal import Refusal
from ringfence.model.host import Destination

_MOST_FIELDS = 256
_STATUS = re.compile(rb"[1-5][0-9][0-9]")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"[\x20-\x7e\x80-\xff\t]*")
_UNKNOWN = 2
_GRPC = {400: 3, 403: 7, 408: 4, 431: 8, 502: 14, 503: 14, 504: 14}
"""The statuses of gRPC for ours: invalid argument, permission denied, deadline exceeded, too much, unavailable."""
_PRINTABLE = "".join(chr(one) for one in range(0x20, 0x7F) if chr(one) != "%")
_NOT_IN_TRAILERS = frozenset(
    (b"content-length", b"transfer-encoding", b"host", b"connection", b"content-encoding", b"content-type", b"trailer")
)


def read_request(headers: Iterable[tuple[bytes, bytes]], *, empty: bool, port: int) -> RequestHead:
    """The request that a client sends; `HeadInvalid` where it means none, or more than one."""
    named, fields = _apart(headers)
    if set(named) - {b":method", b":path", b":scheme", b":authority"}:
        raise HeadInvalid("the request has a pseudo-header field that none has")
    if named.get(b":scheme") != b"https":
        raise HeadInvalid("the request is for another scheme than `https`")
    authority = named.get(b":authority") or next((value for name, value in fields if name == b"host"), b"")
    method, path = named.get(b":method", b""), named.get(b":path", b"")
    return assembled(method, path, authority, fields, empty=empty, default_port=port)


def write_request(
    head: RequestHead, header: Said, destination: Destination, *, length: int | None
) -> list[tuple[bytes, bytes]]:
    """The same for a server, with the length of the body as it goes out: None where it is not known, -1 for no body.
    `header` is what the head says."""
    written = [
        (b":method", head.method.encode("ascii")),
        (b":scheme", b"https"),
        (b":authority", host(destination, secure=True)),
        (b":path", (head.path + head.query).encode("ascii")),
        *header.passed,
    ]
    if any(name == b"te" and b"trailers" in value.lower() for name, value in head.fields):
        written.append((b"te", b"trailers"))
    if length is not None and length >= 0:
        written.append((b"content-length", b"%d" % length))
    return written


def read_answer(headers: Iterable[tuple[bytes, bytes]], method: str) -> ResponseHead:
    """The head of an answer to a request with that method; `ServerFailed` where it is none."""
    named, fields = _apart(headers)
    status = named.get(b":status", b"")
    if set(named) != {b":status"} or not _STATUS.fullmatch(status) or status == b"101":
        raise ServerFailed("the answer has no status that HTTP/2 knows")
    _acceptable(fields)
    lengths = {value for name, value in fields if name == b"content-length"}
    if len(lengths) > 1 or any(not _LENGTH.fullmatch(one) for one in lengths):
        raise ServerFailed("the answer's content length is not one number")
    code = int(status)
    bodyless = method == "HEAD" or code in (204, 304) or code < 200
    length = 0 if bodyless else int(lengths.pop()) if lengths else None
    return ResponseHead(status=code, fields=fields, length=length, chunked=length is None)


def write_answer(head: ResponseHead, *, length: int | None, bodyless: bool) -> list[tuple[bytes, bytes]]:
    """The same for a client."""
    written = [(b":status", b"%d" % head.status), *answer_fields(head.fields, bodyless=bodyless)]
    if length is not None and not bodyless and not head.interim:
        written.append((b"content-length", b"%d" % length))
    return written


def refused(reason: Refusal, head: RequestHead | None) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """How a refusal is told: the header, and the body behind it. gRPC reads neither a body nor a status of HTTP; it has
    a status and a message of its own, in an answer that is all head."""
    header, body = reason.as_fields()
    if head is None or not _field(head, b"content-type").startswith(b"application/grpc"):
        return header, b"" if head is not None and head.method == "HEAD" else body
    return [
        (b":status", b"200"),
        (b"content-type", b"application/grpc"),
        *(field for field in header if field[0].startswith(b"x-ringfence-")),
        (b"grpc-status", b"%d" % _GRPC.get(reason.status, _UNKNOWN)),
        (b"grpc-message", quote(reason.text.strip(), safe=_PRINTABLE).encode("ascii")),
    ], b""


def read_trailers(headers: Iterable[tuple[bytes, bytes]]) -> Fields:
    """The fields behind an answer's body, without those that would speak about its framing."""
    _, fields = _apart(headers)
    _acceptable(fields)
    return tuple(field for field in fields if field[0] not in _NOT_IN_TRAILERS)


def _field(head: RequestHead, name: bytes) -> bytes:
    return next((value for one, value in head.fields if one == name), b"")


def _apart(headers: Iterable[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], Fields]:
    plain = [(bytes(name), bytes(value)) for name, value in headers]
    named = {name: value for name, value in plain if name.startswith(b":")}
    return named, tuple(field for field in plain if not field[0].startswith(b":"))


def _acceptable(fields: Fields) -> None:
    if len(fields) > _MOST_FIELDS:
        raise ServerFailed(f"it has more than {_MOST_FIELDS} header fields")
    if any(not _NAME.fullmatch(name) or not _VALUE.fullmatch(value) for name, value in fields):
        raise ServerFailed("it has a malformed header field")
