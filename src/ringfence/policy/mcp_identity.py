"""What an MCP server is, beside its name: the digest of its argument vector, or its address in one spelling. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from ringfence.model.canonical import digest, text_from_os
from ringfence.model.host import parse_host

STARTED = "command:"
"""How the identity of a server that is started begins."""
_PORTS = {"http": 80, "https": 443}


def command_identity(argv: Sequence[str]) -> str:
    """The identity of a server that is started."""
    return f"{STARTED}{digest([text_from_os(word) for word in argv])}"


def address(url: str) -> str | None:
    """The identity of a server that is reached: its address without query; nothing where it is no such address."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
        if parts.scheme not in _PORTS or port is None or parts.username is not None or parts.query or parts.fragment:
            return None
        host = parse_host(parts.hostname or "").name
    except ValueError:
        return None
    return address_of(host, port, parts.path, secure=parts.scheme == "https")


def address_of(host: str, port: int, path: str, *, secure: bool) -> str:
    """The same of a request that goes there."""
    scheme = "https" if secure else "http"
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}{'' if port == _PORTS[scheme] else f':{port}'}{path or '/'}"
