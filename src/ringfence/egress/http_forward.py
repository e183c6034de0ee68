"""Turns a request that was made to a proxy into the one that its server gets: re-issued, never passed through.

The connection is closed after one request, so that a second one is judged like the first.
"""

from __future__ import annotations

from ringfence.egress.http_head import RequestHead
from ringfence.model.host import Destination

_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"http2-settings", b"host", b"content-length")
)


def server_head(head: RequestHead, destination: Destination) -> bytes:
    """The head for the server at `destination`: origin form, one Host, our own framing, without what was for us."""
    named = {
        token.strip().lower() for name, value in head.fields if name == b"connection" for token in value.split(b",")
    }
    lines = [f"{head.method} {head.path}{head.query} HTTP/1.1".encode(), b"Host: " + _host(destination)]
    for name, value in head.fields:
        if name in _HOP_BY_HOP or name.startswith(b"proxy-") or name == b"transfer-encoding" or name in named:
            continue
        lines.append(name + b": " + value)
    if head.chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif any(name == b"content-length" for name, _ in head.fields):
        lines.append(f"Content-Length: {head.length}".encode())
    lines.append(b"Connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _host(destination: Destination) -> bytes:
    text = destination.host.authority if destination.port == 80 else str(destination)
    return text.encode("ascii")
