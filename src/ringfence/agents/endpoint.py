"""Where a person's own configuration places the model: a host to allow, or a port of the host's loopback.

Reads an address only; whether it may be reached is for policy and requirements to say.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from ringfence.model.host import parse_host


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The place an `http` or `https` address leads to."""

    host: str
    """The normalised host."""
    port: int
    path: str
    loopback: bool
    """Whether it is on this machine itself, where it is reached through a port of the host."""

    @property
    def destination(self) -> str:
        """As a host pattern with its port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def read_endpoint(address: str) -> Endpoint:
    """Read an address; `ValueError`, with words for a person, where it does not lead to one clear place."""
    try:
        parts = urlsplit(address.strip())
        port, name = parts.port, parts.hostname
    except ValueError as error:
        raise ValueError(f"`{address}` is not an address: {error}") from None
    if parts.scheme not in {"http", "https"} or not name:
        raise ValueError(f"`{address}` is not an `http://` or `https://` address")
    if parts.username is not None or parts.password is not None:
        # SECURITY: `https://api.example.com@evil.test/` is read in two ways by two programs.
        raise ValueError("the address holds a user name, which hides its host")
    host = parse_host(name)
    port = port or (443 if parts.scheme == "https" else 80)
    return Endpoint(host=host.name, port=port, path=parts.path or "/", loopback=_is_loopback(host.name))


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
