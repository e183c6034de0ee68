"""Runs in a network namespace in which every address is local, with a real DNS server that changes its mind: the
machine's own resolver asks it, and a gateway dials what it says. Prints what came of each attempt.

Started by `test_rebinding`.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import struct
import tempfile
from pathlib import Path
from typing import cast

from tests.egress.gatewaying import allow
from tests.egress.inside import _enter as own_network

from ringfence.egress import Gateway
from ringfence.egress.resolver import SystemResolver
from ringfence.model.decision import Decision
from ringfence.sandbox import netlink

_NEW_MOUNTS, _BIND, _PRIVATE, _RECURSIVE = 0x20000, 4096, 1 << 18, 16384
_PUBLIC, _METADATA, _OWN = "93.184.216.34", "169.254.169.254", "10.1.2.3"


_STEPS = (
    ("first", "turns.test"),
    ("again", "turns.test"),
    ("later", "turns.test"),
    ("both", "both.test"),
    ("own", "own.test"),
)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return int(self.now * 1e9)


class Names(asyncio.DatagramProtocol):
    """A DNS server: the answers of each name, one list after the other, and the last for ever."""

    def __init__(self, answers: dict[str, list[list[str]]]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        name, end = _name(data)
        (kind,) = struct.unpack_from(">H", data, end)
        addresses = []
        if kind == 1:
            self.asked.append(name)
            left = self.answers[name]
            addresses = left.pop(0) if len(left) > 1 else left[0]
        records = [struct.pack(">HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(one) for one in addresses]
        head = data[:2] + struct.pack(">HHHHH", 0x8180, 1, len(records), 0, 0)
        self._transport.sendto(head + data[12 : end + 4] + b"".join(records), address)


def _name(query: bytes) -> tuple[str, int]:
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels).lower(), at + 1


def main() -> None:
    """Make the namespaces, then try."""
    own_network()
    netlink.loopback_up()
    netlink.take_every_address()
    libc = ctypes.CDLL(None, use_errno=True)
    assert not libc.unshare(_NEW_MOUNTS)
    assert not libc.mount(None, b"/", None, _PRIVATE | _RECURSIVE, None)
    with tempfile.TemporaryDirectory() as folder:
        for path, text in (("/etc/resolv.conf", "nameserver 127.0.0.1\n"), ("/etc/nsswitch.conf", "hosts: dns\n")):
            file = Path(folder, os.path.basename(path))
            file.write_text(text)
            assert not libc.mount(str(file).encode(), path.encode(), None, _BIND, None), path
        print(json.dumps(asyncio.run(_attempts())))


async def _attempts() -> dict[str, object]:
    loop = asyncio.get_running_loop()
    answers = {
        "turns.test": [[_PUBLIC], [_METADATA]],
        "both.test": [[_OWN, _PUBLIC]],
        "own.test": [[_OWN]],
    }
    transport, names = await loop.create_datagram_endpoint(lambda: Names(answers), local_addr=("127.0.0.1", 53))
    dialled: list[str] = []

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialled.append(writer.get_extra_info("sockname")[0])
        writer.close()

    server = await asyncio.start_server(serve, "0.0.0.0", 8080)
    clock, refused = Clock(), list[Decision]()
    gateway = Gateway(allow, resolver=SystemResolver(clock), on_refused=refused.append)
    proxy = socket.create_server(("127.0.0.1", 0))
    gateway.listen("proxy", proxy)
    said = {}
    for step, name in _STEPS:
        if step == "later":
            clock.now += 3600
        said[step] = await _connect(proxy.getsockname()[1], name)
    gateway.close()
    server.close()
    transport.close()
    rules = [decision.reasons[0].rule for decision in refused]
    return {"said": said, "dialled": dialled, "asked": names.asked, "refused": rules}


async def _connect(port: int, name: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"CONNECT {name}:8080 HTTP/1.1\r\nHost: {name}:8080\r\n\r\n".encode())
    line = await reader.readline()
    await reader.read()
    writer.close()
    return line.decode().split(" ")[1]


if __name__ == "__main__":
    main()
