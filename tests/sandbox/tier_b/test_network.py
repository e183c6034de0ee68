from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.sandbox.boxes import Box, Place

from ringfence.sandbox.launch import Sandbox

REPLY = b"gateway"


@contextmanager
def answered(box: Box) -> Iterator[list[str]]:
    """Answers every connection that arrives, and names them."""
    arrived: list[str] = []

    def take(kind: str, made: socket.socket) -> None:
        arrived.append(kind)
        with made:
            if kind != "dns_packets":
                made.send(REPLY)

    box.sandbox.take_arrivals(take)
    yield arrived


@pytest.mark.parametrize(
    ("address", "port", "kind"),
    [
        ("93.184.216.34", 443, "capture4 93.184.216.34 443"),
        ("93.184.216.34", 31337, "capture4 93.184.216.34 31337"),
        ("2606:4700::1111", 443, "capture6 2606:4700::1111 443"),
        ("::ffff:10.1.2.3", 80, "capture4 10.1.2.3 80"),
        ("127.0.0.1", 3128, "proxy"),
        ("::1", 3128, "proxy"),
        ("10.255.255.53", 53, "dns_tcp"),
        ("127.0.0.53", 53, "dns_tcp"),
    ],
)
@pytest.mark.parametrize("mode", ["blocking", "non-blocking", "registered before"])
async def test_every_connection_arrives_at_the_gateway(
    bare: Box, address: str, port: int, kind: str, mode: str
) -> None:
    script = f"""
import select, socket
made = socket.socket(socket.AF_INET6 if ":" in {address!r} else socket.AF_INET)
poll = select.epoll()
if {mode!r} == "registered before": poll.register(made.fileno(), select.EPOLLIN)
if {mode!r} != "blocking": made.setblocking(False)
code = made.connect_ex(({address!r}, {port}))
assert code in (0, 115), code
if {mode!r} != "registered before": poll.register(made.fileno(), select.EPOLLIN)
assert poll.poll(5), "nothing came"
assert made.getblocking() == ({mode!r} == "blocking")
print(made.recv(100).decode(), made.connect_ex(({address!r}, {port})))
"""
    with answered(bare) as arrived:
        done = await bare.python(script)

    assert (done.code, done.out) == (0, "gateway 106\n"), done.err
    assert arrived == [kind]


async def test_a_port_of_the_host_is_reached_where_it_is_opened_and_no_other(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as host, socket.create_server(("127.0.0.1", 0)) as other:
        opened, closed = host.getsockname()[1], other.getsockname()[1]
        sandbox = await Sandbox.start(place.plan(host_ports=(opened,)), tier="B")
        box = Box(sandbox, place)
        with answered(box) as arrived:
            done = await box.python(
                "import socket\n"
                f"print(socket.create_connection(('127.0.0.1', {opened})).recv(9))\n"
                f"print(socket.socket().connect_ex(('127.0.0.1', {closed})))\n"
                f"print(socket.socket().connect_ex(('127.0.0.9', {opened})))\n"
                "print(socket.socket().connect_ex(('127.0.0.9', 3128)))\n"
            )
        await sandbox.close()

    assert (done.out, done.err) == ("b'gateway'\n" + "111\n" * 3, "")
    assert arrived == [f"host:{opened}"]


async def test_programs_inside_reach_each_other_and_nobody_outside_reaches_them(bare: Box) -> None:
    done = await bare.python(
        "import socket, threading\n"
        "def serve(listener):\n"
        "    client, _ = listener.accept(); client.send(b'hello'); client.close()\n"
        "ways = (2, '0.0.0.0', '127.0.0.1'), (2, '127.0.0.1', 'localhost'), (10, '::', '::1')\n"
        "for family, bound, dialled in ways:\n"
        "    listener = socket.socket(family); listener.bind((bound, 0)); listener.listen()\n"
        "    threading.Thread(target=serve, args=(listener,)).start()\n"
        "    port = listener.getsockname()[1]\n"
        "    print(socket.create_connection((dialled, port)).recv(9))\n"
        "    print(socket.socket(family).connect_ex((dialled, port + 1)))\n"
        "    own = listener.getsockname()[0].removeprefix('::ffff:')\n"
        "    print(own.startswith('127.'), own != '127.0.0.1')\n"
        "unbound = socket.socket(); unbound.listen(); print(unbound.getsockname()[0].startswith('127.'))\n"
        "first, second = socket.socket(2), socket.socket(10); second.setsockopt(41, 26, 1)\n"
        "first.bind(('', 45123)); second.bind(('::', 45123)); first.listen(); second.listen()\n"
        "try: socket.socket().bind(('192.0.2.9', 0))\n"
        "except OSError as error: print(error.errno)\n"
    )

    assert (done.code, done.err) == (0, "")
    assert done.out == "b'hello'\n111\nTrue True\n" * 3 + "True\n99\n"


async def test_datagrams_go_to_the_resolver_and_to_nobody_else(bare: Box) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
        outside.bind(("127.0.0.1", 0))
        outside.setblocking(False)
        with answered(bare) as arrived:
            done = await bare.python(
                "import socket\n"
                "made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                f"there = ('127.0.0.1', {outside.getsockname()[1]})\n"
                "def attempt(what):\n"
                "    try: what(); print('sent')\n"
                "    except OSError as error: print(error.errno)\n"
                "attempt(lambda: made.connect(there))\n"
                "attempt(lambda: made.sendto(b'x', there))\n"
                "attempt(lambda: made.sendmsg([b'x'], [], 0, there))\n"
                "own = socket.inet_aton('127.0.0.1')\n"
                "attempt(lambda: made.sendmsg([b'x'], [(0, 8, bytes(4) + own * 2)], 0, there))\n"
                "attempt(lambda: made.setsockopt(0, 4, b'\\x83\\x07\\x04' + own + b'\\0'))\n"
                "attempt(lambda: made.bind(('', 5353)))\n"
                "attempt(lambda: made.connect(('10.0.0.1', 53)))\n"
                "print(made.getpeername(), made.family.name)\n"
            )

        with pytest.raises(BlockingIOError):
            outside.recv(100)
    assert arrived == ["dns_packets"]
    lines = done.out.splitlines()
    assert lines[0] == "101"
    assert lines[4:] == ["1", "99", "sent", "('10.0.0.1', 53) AF_INET"], done.err


async def test_only_sockets_that_were_made_inside_are_connected_to(bare: Box) -> None:
    path = str(bare.place.workspace / "daemon.sock")
    abstract = f"\0ringfence-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as daemon, socket.socket(socket.AF_UNIX) as other:
        daemon.bind(path)
        daemon.listen()
        other.bind(abstract)
        other.listen()
        done = await bare.python(
            "import socket, os\n"
            "def attempt(name):\n"
            "    try: socket.socket(socket.AF_UNIX).connect(name); print('connected')\n"
            "    except OSError as error: print(error.errno)\n"
            f"attempt({path!r}); attempt({abstract!r}); attempt('daemon.sock')\n"
            "for name in ('own.sock', os.environ['TMPDIR'] + '/own.sock', '\\0own'):\n"
            "    listener = socket.socket(socket.AF_UNIX); listener.bind(name); listener.listen(); attempt(name)\n"
            "for name in ('.git/hooks/x', '/tmp/ringfence-test-own.sock'):\n"
            "    try: socket.socket(socket.AF_UNIX).bind(name); print('bound')\n"
            "    except OSError as error: print(error.errno)\n"
            "left, right = socket.socketpair(); left.send(b'x'); print(right.recv(1))\n"
            "try: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
            "except OSError as error: print(error.errno)\n",
            env=bare.sandbox.variables,
        )

    assert done.out == "13\n111\n13\nconnected\nconnected\nconnected\n13\n13\nb'x'\n93\n", done.err


async def test_the_hooks_socket_is_found_at_its_usual_place(bare: Box) -> None:
    hook = bare.sandbox.listeners["hook"]

    done = await bare.python("import socket; socket.socket(socket.AF_UNIX).connect('/run/ringfence/hook.sock')")

    assert (done.code, done.err) == (0, "")
    hook.accept()[0].close()


@pytest.mark.slow
async def test_more_sockets_than_are_held_are_connected_all_the_same(bare: Box) -> None:
    with answered(bare) as arrived:
        done = await bare.python(
            "import socket\n"
            "made = [socket.socket() for _ in range(700)]\n"
            "for each in made: each.connect(('93.184.216.34', 443)); assert each.recv(7) == b'gateway'\n"
        )

    assert (done.code, done.err) == (0, "")
    assert len(arrived) == 700
