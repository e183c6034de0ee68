"""Where a URL, a Git remote or a `user@host:port` leads, as the programs that take them read it."""

from __future__ import annotations

import re
from typing import NamedTuple

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SCP_FORM = re.compile(r"(?:[^/:@\s]+@)?(\[[^\]]+\]|[^/:@\s]+):(?!//)")
_PORTS = {
    "http": 80, "https": 443, "ws": 80, "wss": 443, "ftp": 21, "ftps": 990, "ssh": 22, "sftp": 22, "scp": 22,
    "git": 9418, "rsync": 873, "telnet": 23, "ldap": 389, "ldaps": 636, "smtp": 25, "smtps": 465, "imap": 143,
    "imaps": 993, "pop3": 110, "pop3s": 995, "dict": 2628, "gopher": 70, "tftp": 69, "mqtt": 1883, "smb": 445,
    "postgres": 5432, "postgresql": 5432, "mysql": 3306, "redis": 6379, "rediss": 6379, "mongodb": 27017,
    "amqp": 5672, "amqps": 5671, "svn": 3690, "rtmp": 1935, "rtsp": 554, "docker": 443, "oci": 443, "sparse": 443,
}  # fmt: skip


class Destination(NamedTuple):
    """A host and a port; port 0 where nothing says it."""

    host: str
    port: int

    @property
    def shown(self) -> str:
        """As effects write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port else host


def scheme_of(text: str) -> str:
    """The scheme of a URL in lower case, or nothing."""
    match = _SCHEME.match(text)
    return match[1].lower() if match else ""


def of_url(text: str, *, default: str = "http") -> Destination | None:
    """Where a URL leads; without a scheme it is taken for one of the default. Nothing where it names no host."""
    scheme = scheme_of(text)
    rest = text[len(scheme) + 3 :] if scheme else text
    # SECURITY: clients differ about `\`; what may end the host ends it here, and what is left is judged as a name.
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    first, _, last = (scheme or default).partition("+")
    port = _PORTS.get(last or first, _PORTS.get(first, 0))
    return of_host(authority, port=port)


def of_host(text: str, *, port: int = 0) -> Destination | None:
    """Where `user@host:port` leads."""
    host = text.rpartition("@")[2]
    if host.startswith("["):
        name, _, tail = host[1:].partition("]")
        return Destination(name, _port(tail.removeprefix(":"), port)) if name else None
    if host.count(":") > 1:
        return Destination(host, port)
    name, _, written = host.partition(":")
    return Destination(name, _port(written, port)) if name else None


def _port(text: str, default: int) -> int:
    return int(text) if text.isdecimal() and len(text) < 6 else default


def scp_form(text: str) -> str | None:
    """The host of `user@host:path`, or nothing where the text is a path."""
    if scheme_of(text):
        return None
    match = _SCP_FORM.match(text)
    return match[1].strip("[]") if match else None
