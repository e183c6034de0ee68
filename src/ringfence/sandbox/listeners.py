"""The sockets that stand inside the sandbox's network and are served from outside it.

They are made here, handed out, and closed here: no process of ours inside carries traffic.
"""

from __future__ import annotations

from _socket import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPV6_RECVPKTINFO,
    IPV6_V6ONLY,
    SOCK_CLOEXEC,
    SOCK_DGRAM,
    SOCK_NONBLOCK,
    SOCK_STREAM,
    socket,
)

PROXY_PORT = 3128
CAPTURE_PORT = 3129
DNS_PORT = 53
HOOK_PATH = "/run/ringfence/hook.sock"
_IP_PKTINFO = 8
BACKLOG = 1024


def network(host_ports: list[int], *, ipv6: bool) -> dict[str, socket]:
    """Every listener of the network: proxy, capture, resolver, and the host's ports that were let in."""
    # SO_REUSEADDR and SO_REUSEPORT stay off: with them something inside could share a port with the gateway.
    made = {
        "proxy": _tcp(AF_INET, "127.0.0.1", PROXY_PORT),
        "capture4": _tcp(AF_INET, "0.0.0.0", CAPTURE_PORT),  # noqa: S104 - of the sandbox's own network
        "dns_udp": _udp(AF_INET, "0.0.0.0"),  # noqa: S104
        "dns_tcp": _tcp(AF_INET, "0.0.0.0", DNS_PORT),  # noqa: S104
    }
    if ipv6:
        made["capture6"] = _tcp(AF_INET6, "::", CAPTURE_PORT)
        made["dns_udp6"] = _udp(AF_INET6, "::")
        made["dns_tcp6"] = _tcp(AF_INET6, "::", DNS_PORT)
    for port in host_ports:
        made[f"host:{port}"] = _tcp(AF_INET, "127.0.0.1", port)
        if ipv6:
            made[f"host6:{port}"] = _tcp(AF_INET6, "::1", port)
    return made


def hook() -> socket:
    """The socket on which agents' hooks ask; to be made when the new root stands."""
    made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
    made.bind(HOOK_PATH)
    made.listen(BACKLOG)
    return made


def _tcp(family: int, address: str, port: int) -> socket:
    made = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
    if family == AF_INET6:
        made.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)
    _bind(made, address, port)
    made.listen(BACKLOG)
    return made


def _udp(family: int, address: str) -> socket:
    made = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
    if family == AF_INET6:
        made.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)
        made.setsockopt(IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    else:
        made.setsockopt(IPPROTO_IP, _IP_PKTINFO, 1)
    _bind(made, address, DNS_PORT)
    return made


def _bind(made: socket, address: str, port: int) -> None:
    try:
        made.bind((address, port))
    except OSError as error:
        raise OSError(error.errno, f"listen on {address} port {port}: {error.strerror}") from error
