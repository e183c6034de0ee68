"""Runs inside the arena's namespace: sets it up, hands its listeners out, and waits until nobody needs it."""

import json
import socket
import subprocess
import sys
from typing import Any


def main(descriptor: int, spec: dict[str, Any]) -> None:
    """Set up, hand out, wait."""
    subprocess.run(("ip", "link", "set", "lo", "up"), check=True)
    for address in spec["addresses"]:
        # Without `nodad` the kernel takes a moment before anybody may listen there.
        length = ("/128", "nodad") if ":" in address else ("/32",)
        subprocess.run(("ip", "address", "add", address + length[0], "dev", "lo", *length[1:]), check=True)
    subprocess.run(("ip", "route", "add", "default", "dev", "lo"), check=True)
    control = socket.socket(fileno=descriptor)
    for name, (protocol, address, port) in spec["listeners"].items():
        try:
            listener = listen(protocol, address, port)
        except OSError:
            continue
        socket.send_fds(control, [name.encode()], [listener.fileno()])
        listener.close()
    control.send(b"ready")
    control.recv(1)


def listen(protocol: str, address: str, port: int) -> socket.socket:
    """A bound socket, listening where the protocol has that."""
    if protocol == "abstract":
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("\0" + address)
        listener.listen(16)
        return listener
    kind, number = {
        "tcp": (socket.SOCK_STREAM, 0),
        "udp": (socket.SOCK_DGRAM, 0),
        "udplite": (socket.SOCK_DGRAM, 136),
        "sctp": (socket.SOCK_STREAM, 132),
    }[protocol]
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind, number)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    if kind == socket.SOCK_STREAM:
        listener.listen(16)
    return listener


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
