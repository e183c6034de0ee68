"""Runs in a network namespace of its own, as the sandbox does: hands out its listeners, then does what it is told.

Started by `test_capture`; its standard input is a Unix socket, on which it gets one attempt per message.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path

from ringfence.sandbox import listeners, netlink

_NEW_USER, _NEW_NET = 0x10000000, 0x40000000


def main() -> None:
    """Make the namespace, hand out the sockets, then answer attempts until there are no more."""
    control = socket.socket(fileno=0)
    host_ports = json.loads(control.recv(4096))
    _enter()
    netlink.loopback_up()
    ipv6 = netlink.take_every_address()
    netlink.redirect_tcp(listeners.CAPTURE_PORT)
    made = listeners.network(host_ports, ipv6=ipv6)
    socket.send_fds(control, [json.dumps(list(made)).encode()], [sock.fileno() for sock in made.values()])
    for sock in made.values():
        sock.close()
    while message := control.recv(65536):
        attempt = json.loads(message)
        try:
            result = _ATTEMPTS[attempt.pop("do")](**attempt)
        except OSError as error:
            result = f"{type(error).__name__}: {error.strerror or error}"
        control.send(json.dumps(result).encode())


def _enter() -> None:
    uid, gid = os.getuid(), os.getgid()
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_USER | _NEW_NET):
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def resolve(name: str, server: str = "127.0.0.53", kind: int = 1, *, tcp: bool = False) -> str:
    """The address of a name, asked of any server."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((server, 53))  # only an answer from this very address is received
        if tcp:
            sock.sendall(struct.pack(">H", len(query)) + query)
            (length,) = struct.unpack(">H", sock.recv(2))
            answer = sock.recv(length)
        else:
            sock.send(query)
            answer = sock.recv(512)
    if answer[7] == 0:
        return f"code {answer[3] & 15}"
    return socket.inet_ntop(
        socket.AF_INET if kind == 1 else socket.AF_INET6, answer[-4:] if kind == 1 else answer[-16:]
    )


def talk(host: str, port: int, say: str = "", *, name: bool = False, kind: int = 1, bind: str = "") -> str:
    """What comes back from a host and port until it closes."""
    address = resolve(host, kind=kind) if name else host
    with socket.create_connection((address, port), 5, source_address=(bind, 0) if bind else None) as sock:
        if say:
            sock.sendall(say.encode("latin-1"))
        data = b""
        while part := sock.recv(65536):
            data += part
        return data.decode("latin-1")


def tls(host: str, port: int, server_name: str) -> str:
    """How a TLS handshake with that name ends."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((resolve(host), port), 5) as sock:
        try:
            context.wrap_socket(sock, server_hostname=server_name).close()
        except ssl.SSLError as error:
            return str(error.reason)
    return "done"


def udp(host: str, port: int) -> str:
    """What a datagram to somewhere else gets."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((host, port))
        sock.send(b"x")
        return repr(sock.recv(10))


_ATTEMPTS: dict[str, Callable[..., str]] = {"resolve": resolve, "talk": talk, "tls": tls, "udp": udp}

if __name__ == "__main__":
    main()
