from __future__ import annotations

import os
import socket
import struct

import pytest
from tests.sandbox.boxes import Box, Place

from ringfence.sandbox.launch import Sandbox

ORIGINAL_DESTINATION = 80
CONNECT = (
    "import socket, sys\n"
    "s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET); s.settimeout(30)\n"
    "s.connect((sys.argv[1], int(sys.argv[2]))); print(s.recv(100).decode())"
)


@pytest.mark.parametrize(
    ("address", "port"),
    [("93.184.216.34", 80), ("10.1.2.3", 22), ("169.254.169.254", 80), ("2001:db8::7", 9418), ("fd00:ec2::254", 80)],
)
async def test_every_tcp_connection_arrives_at_the_gateway(box: Box, address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = box.sandbox.listeners["capture6" if family == socket.AF_INET6 else "capture4"]

    async with _answering(listener, lambda connection: _destination(connection, family)):
        answer = await box.run("/usr/bin/python3", "-c", CONNECT, address, str(port))

    assert answer.out == f"{address} {port}\n"


async def test_the_explicit_proxy_answers_on_loopback(box: Box) -> None:
    async with _answering(box.sandbox.listeners["proxy"], lambda _: "proxy"):
        answer = await box.run("/usr/bin/python3", "-c", CONNECT, "127.0.0.1", "3128")

    assert answer.out == "proxy\n"


async def test_names_are_asked_of_us_whatever_the_resolver(box: Box) -> None:
    listener = box.sandbox.listeners["dns_udp"]
    script = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(30)\n"
        "s.connect(('8.8.8.8', 53)); s.send(b'question'); print(s.recv(100).decode())"
    )

    async with _asked(listener):
        answer = await box.python(script)

    assert answer.out == "answer to question\n"


async def test_other_datagrams_are_refused_at_once(box: Box) -> None:
    script = (
        "import socket\n"
        "for family, address in ((2, '1.1.1.1'), (10, '2606:4700::1111')):\n"
        "    s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(30); s.connect((address, 443)); s.send(b'x')\n"
        "    try: s.recv(1)\n"
        "    except OSError as error: print(type(error).__name__)\n"
    )

    assert (await box.python(script)).out == "ConnectionRefusedError\n" * 2


async def test_the_hosts_loopback_is_not_the_sandboxs(box: Box) -> None:
    with socket.create_server(("127.0.0.1", 0)) as outside:
        port = outside.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()

        refused = await box.run("/usr/bin/python3", "-c", CONNECT, "127.0.0.1", str(port))

    assert "ConnectionRefusedError" in refused.err


async def test_programs_inside_talk_over_their_own_loopback(box: Box) -> None:
    script = (
        "import socket, threading; s = socket.create_server(('127.0.0.1', 8000))\n"
        "threading.Thread(target=lambda: s.accept()[0].send(b'hello')).start()\n"
        "print(socket.create_connection(('localhost', 8000)).recv(9).decode())"
    )

    assert (await box.run("/usr/bin/python3", "-c", script)).out == "hello\n"


async def test_a_host_port_has_a_listener_inside(place: Place) -> None:
    sandbox = await Sandbox.start(place.plan(host_ports=[5432]))
    try:
        async with _answering(sandbox.listeners["host:5432"], lambda _: "database"):
            answer = await Box(sandbox, place).run("/usr/bin/python3", "-c", CONNECT, "127.0.0.1", "5432")
    finally:
        await sandbox.close()

    assert answer.out == "database\n"


async def test_a_hook_reaches_its_socket_and_cannot_replace_it(box: Box) -> None:
    script = (
        "import socket; s = socket.socket(socket.AF_UNIX)\n"
        "s.connect('/run/ringfence/hook.sock'); print(s.recv(9).decode())"
    )
    async with _answering(box.sandbox.listeners["hook"], lambda _: "hook"):
        answer = await box.python(script)
    tried = await box.shell("rm -f /run/ringfence/hook.sock; mv /run/ringfence /run/x; touch /run/ringfence/y")

    assert answer.out == "hook\n"
    assert tried.err.count("Read-only file system") == 2 and "busy" in tried.err


async def test_the_listeners_cannot_be_taken_over(box: Box) -> None:
    script = (
        "import socket\n"
        "for port in (3128, 3129, 53):\n"
        "    s = socket.socket(); s.setsockopt(1, 2, 1); s.setsockopt(1, 15, 1)\n"
        "    try: s.bind(('127.0.0.1', port)); s.listen(); print('TAKEN', port)\n"
        "    except OSError as error: print('refused')\n"
    )

    assert (await box.python(script)).out == "refused\n" * 3


async def test_the_network_cannot_be_changed_from_inside(box: Box) -> None:
    tried = await box.shell(
        "ip route del local default; ip link set lo down; ip addr add 1.2.3.4 dev lo; cat /proc/net/route"
    )

    assert tried.err.count("Operation not permitted") >= 2
    assert os.path.exists("/proc/self/ns/net")


def _destination(connection: socket.socket, family: int) -> str:
    if family == socket.AF_INET:
        port, address = struct.unpack("!2xH4s8x", connection.getsockopt(socket.IPPROTO_IP, ORIGINAL_DESTINATION, 16))
    else:
        port, address = struct.unpack("!2xH4x16s4x", connection.getsockopt(41, ORIGINAL_DESTINATION, 28))
    return f"{socket.inet_ntop(family, address)} {port}"


class _answering:  # noqa: N801 - reads as a clause
    def __init__(self, listener: socket.socket, answer) -> None:  # type: ignore[no-untyped-def]
        self._listener, self._answer = listener, answer

    async def __aenter__(self) -> None:
        import asyncio

        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    async def __aexit__(self, *_: object) -> None:
        import asyncio

        asyncio.get_running_loop().remove_reader(self._listener.fileno())

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.send(self._answer(connection).encode())


class _asked(_answering):  # noqa: N801
    def __init__(self, listener: socket.socket) -> None:
        super().__init__(listener, None)

    def _accept(self) -> None:
        data, ancillary, _, client = self._listener.recvmsg(500, 200)
        asked = next(value[8:12] for level, kind, value in ancillary if (level, kind) == (socket.IPPROTO_IP, 8))
        source = struct.pack("=i4s4s", 0, asked, bytes(4))
        self._listener.sendmsg([b"answer to " + data], [(socket.IPPROTO_IP, 8, source)], 0, client)
