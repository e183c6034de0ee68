"""Turns a request into the one that its server gets, and an answer into the one that its client gets: re-issued, never
passed through. The framing is always ours."""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from hashlib import sha1

from ringfence.egress.http_fields import Said, answer_lines, said, said_once
from ringfence.egress.http_head import RequestHead
from ringfence.egress.http_response import ResponseHead
from ringfence.model.host import Destination

_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_CLOSE = b"Connection: close\r\n"
_ACCEPTS = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What a server proves with that it understood: the key with this behind it, as a digest."""
_UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"


def server_head(head: RequestHead, destination: Destination) -> bytes:
    """The head for the server at `destination`: origin form, one Host, our own framing, without what was for us."""
    header = said(head.fields)
    length = None if head.chunked else head.length if header.sized or head.length else -1
    return reissued(head, destination, header, length=length, keep=False)


def reissued(
    head: RequestHead,
    destination: Destination,
    header: Said | None = None,
    *,
    length: int | None,
    keep: bool,
    secure: bool = False,
    upgrade: bool = False,
) -> bytes:
    """The same with the framing of a body that may have been changed: None for chunks, -1 for no body at all.

    `header` is what `said` makes of its fields, where that is known. `keep`: the connection is kept for the next
    request. `upgrade`: it becomes a WebSocket.
    """
    header = header or said(head.fields)
    target = f"{head.method} {head.path}{head.query} HTTP/1.1\r\n".encode()
    named, lines = _host_line(destination, secure=secure), header.lines
    if keep and length == -1 and not upgrade:
        return target + named + lines + b"\r\n"
    framing = b"" if length == -1 else _CHUNKED if length is None else b"Content-Length: %d\r\n" % length
    ending = _UPGRADE if upgrade else b"" if keep else _CLOSE
    if upgrade:
        # What is compressed by agreement of the two cannot be looked into.
        lines = said_once(tuple(one for one in head.fields if one[0] != b"sec-websocket-extensions")).lines
    return b"%b%b%b%b%b\r\n" % (target, named, lines, framing, ending)


def answered(head: ResponseHead, *, length: int | None, chunked: bool, keep: bool, bodyless: bool) -> bytes:
    """The head for the client: our framing, without what was for us. `bodyless`: the length is not that of what
    follows, but the server's word about the resource."""
    if keep and length is not None and not chunked and not bodyless and head.status >= 200:
        known = head.written
        lines = known[1] if known is not None and known[0] is head.fields else answer_lines(head.fields, bodyless=False)
        return b"HTTP/1.1 %d %b\r\n%bContent-Length: %d\r\n\r\n" % (head.status, head.phrase, lines, length)
    framing = ending = b""
    if head.status == 101:
        ending = _UPGRADE
    else:
        if chunked:
            framing = _CHUNKED
        elif length is not None and not bodyless:
            framing = b"Content-Length: %d\r\n" % length
        if not keep and not head.interim:
            ending = _CLOSE
    if head.written is not None and head.written[0] is head.fields and not bodyless:
        lines = head.written[1]
    else:
        lines = answer_lines(head.fields, bodyless=bodyless)
    return b"HTTP/1.1 %d %b\r\n%b%b%b\r\n" % (head.status, head.phrase, lines, framing, ending)


def upgraded(request: RequestHead, answer: ResponseHead) -> ResponseHead:
    """What a client hears of a server that took its WebSocket: nothing in it is the server's own words."""
    key, protocols = b"", set()
    for name, value in request.fields:
        if name == b"sec-websocket-key":
            key = value
        elif name == b"sec-websocket-protocol":
            protocols |= {one.strip() for one in value.split(b",")}
    accept = b64encode(sha1(key + _ACCEPTS, usedforsecurity=False).digest())
    chosen = answer.field(b"sec-websocket-protocol")
    more = () if chosen not in protocols or chosen is None else ((b"sec-websocket-protocol", chosen),)
    return ResponseHead(status=101, phrase=b"Switching Protocols", fields=((b"sec-websocket-accept", accept), *more))


@lru_cache(maxsize=256)
def host(destination: Destination, *, secure: bool) -> bytes:
    """How a request names its host."""
    usual = 443 if secure else 80
    text = destination.host.authority if destination.port == usual else str(destination)
    return text.encode("ascii")


@lru_cache(maxsize=256)
def _host_line(destination: Destination, *, secure: bool) -> bytes:
    return b"Host: %b\r\n" % host(destination, secure=secure)
