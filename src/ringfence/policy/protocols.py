"""What may be spoken on a connection, beside HTTP and TLS: the words of `protocol` in a rule, and what each implies.

A rule without one opens HTTP and TLS alone, in which the gateway reads the host's name. How a protocol is told from
another is the gateway's business.
"""

from __future__ import annotations

from enum import StrEnum


class Protocol(StrEnum):
    """What a rule may open."""

    SSH = "ssh"
    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    REDIS = "redis"
    TCP = "tcp"
    """Whatever a client says."""


HTTP, TLS = "http", "tls"
"""What is spoken where no rule names a protocol."""

PORTS = {Protocol.SSH: 22, Protocol.POSTGRESQL: 5432, Protocol.MYSQL: 3306, Protocol.REDIS: 6379}
"""The port that a rule means where its host has none."""

WEB_PORTS = (80, 443, 8080, 8443)
"""Where nothing but HTTP and TLS is expected; a destination with another port was named for what listens there."""


def usual(port: int | None) -> str:
    """What is meant by whoever names a port and says no more; nothing where that is the web."""
    if port is None or port in WEB_PORTS:
        return ""
    return next((protocol for protocol, known in PORTS.items() if known == port), Protocol.TCP).value


NAMES = {
    HTTP: "HTTP",
    TLS: "TLS",
    Protocol.SSH: "SSH",
    Protocol.POSTGRESQL: "PostgreSQL",
    Protocol.MYSQL: "MySQL",
    Protocol.REDIS: "Redis",
    Protocol.TCP: "anything else",
}
"""As people write them."""
