"""Turns a request into the one that its server gets, and an answer into the one that its client gets: re-issued, never
passed through. The framing is always ours."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from ringfence.egress.http_head import RequestHead
from ringfence.egress.http_response import ResponseHead
from ringfence.model.host import Destination

_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"http2-settings", b"host", b"content-length")
)

_NOT_FOR_CLIENTS = frozenset((b"transfer-encoding", b"alt-svc"))
"""Other ways to the same server go past the gateway, or nowhere."""

NOTHING: frozenset[bytes] = frozenset()


def server_head(head: RequestHead, destination: Destination) -> bytes:
    """The head for the server at `destination`: origin form, one Host, our own framing, without what was for us."""
    sized = any(name == b"content-length" for name, _ in head.fields)
    length = None if head.chunked else head.length if sized or head.length else -1
    return reissued(head, destination, length=length, keep=False)


def reissued(
    head: RequestHead,
    destination: Destination,
    *,
    length: int | None,
    keep: bool,
    secure: bool = False,
    upgrade: bool = False,
) -> bytes:
    """The same with the framing of a body that may have been changed: None for chunks, -1 for no body at all.

    `keep`: the connection is kept for the next request. `upgrade`: it becomes a WebSocket.
    """
    lines = [f"{head.method} {head.path}{head.query} HTTP/1.1".encode(), b"Host: " + host(destination, secure=secure)]
    for name, value in request_fields(head):
        if upgrade and name == b"sec-websocket-extensions":
            continue  # what is compressed by agreement of the two cannot be looked into
        lines.append(name + b": " + value)
    if length is None:
        lines.append(b"Transfer-Encoding: chunked")
    elif length >= 0:
        lines.append(b"Content-Length: %d" % length)
    if upgrade:
        lines.append(b"Connection: Upgrade\r\nUpgrade: websocket")
    elif not keep:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n"


def answered(head: ResponseHead, *, length: int | None, chunked: bool, keep: bool, bodyless: bool) -> bytes:
    """The head for the client: our framing, without what was for us. `bodyless`: the length is not that of what
    follows, but the server's word about the resource."""
    lines = [b"HTTP/1.1 %d %b" % (head.status, head.phrase)]
    lines += [name + b": " + value for name, value in answer_fields(head, bodyless=bodyless)]
    switching = head.status == 101
    if switching:
        lines.append(b"Connection: Upgrade\r\nUpgrade: websocket")
    elif chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif length is not None and not bodyless:
        lines.append(b"Content-Length: %d" % length)
    if not keep and not switching and not head.interim:
        lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n"


def for_server(head: RequestHead) -> RequestHead:
    """The head without the fields that its Connection header takes off: a server never gets them.

    SECURITY: what satisfies a rule has to be sent too, so this comes before whoever judges the head."""
    named = connection_tokens(head.fields) - _HOP_BY_HOP - _NOT_FOR_CLIENTS
    kept = tuple(field for field in head.fields if field[0] not in named)
    return head if len(kept) == len(head.fields) else msgspec.structs.replace(head, fields=kept)


def request_fields(head: RequestHead) -> list[tuple[bytes, bytes]]:
    """What goes on of a request's header, whatever protocol carries it: neither framing nor what was for us."""
    named = connection_tokens(head.fields)
    return [
        (name, value)
        for name, value in head.fields
        if not (name in _HOP_BY_HOP or name.startswith(b"proxy-") or name == b"transfer-encoding" or name in named)
    ]


def answer_fields(head: ResponseHead, *, bodyless: bool) -> list[tuple[bytes, bytes]]:
    """What goes on of an answer's header. `bodyless`: its length is the server's word about the resource."""
    named = connection_tokens(head.fields)
    return [
        (name, value)
        for name, value in head.fields
        if not (
            name in _HOP_BY_HOP or name in _NOT_FOR_CLIENTS or name.startswith(b"proxy-connection") or name in named
        )
        or (bodyless and name == b"content-length")
    ]


def connection_tokens(fields: tuple[tuple[bytes, bytes], ...]) -> frozenset[bytes]:
    """What the Connection header names, in lower case."""
    tokens = NOTHING
    for name, value in fields:
        if name == b"connection":
            tokens |= {token.strip().lower() for token in value.split(b",")}
    return tokens


@lru_cache(maxsize=256)
def host(destination: Destination, *, secure: bool) -> bytes:
    """How a request names its host."""
    usual = 443 if secure else 80
    text = destination.host.authority if destination.port == usual else str(destination)
    return text.encode("ascii")
