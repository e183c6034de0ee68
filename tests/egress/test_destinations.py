"""Where the gateway dials: what a name or an address may lead to, and what is said where nothing answers."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from ipaddress import ip_network

import pytest
from tests.egress.conversing import CHOSEN, CONNECTED, Server, connect, socks
from tests.egress.gatewaying import LOOPBACK, Names, allow, allow_loopback, answer, gateway_on, listening
from tests.egress.inspecting import inspecting

from ringfence.egress import Authorization, Cancel, Resolution
from ringfence.egress.dialling import Dialling
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision
from ringfence.model.event import ConnectionClosed

_SEGMENTS = 140
"""Where the kernel's `struct tcp_info` has how many segments were received."""


@pytest.mark.parametrize(
    ("addresses", "rule"),
    [
        (("127.0.0.1",), "address.loopback"),
        (("169.254.169.254",), "address.metadata"),
        (("10.0.0.1", "fd00::1"), "address.private"),
        (("64:ff9b::7f00:1",), "address.translated"),
        (("::ffff:127.0.0.1",), "address.loopback"),
        (("::ffff:a9fe:a9fe",), "address.metadata"),
        (("0.0.0.0",), "address.unspecified"),
        (("fe80::1%1",), "address.unknown"),
        (("nonsense",), "address.unknown"),
    ],
)
async def test_a_name_that_leads_inside_is_refused(
    server: Server, dials, addresses: tuple[str, ...], rule: str
) -> None:
    refused: list[Decision] = []
    names = Names({"a.test": addresses})
    async with gateway_on("proxy", allow, resolver=names, on_refused=refused.append) as gateway:
        client = await dials(gateway)
        client.says(connect("a.test", server.port))
        assert (await client.hears_all()).startswith(b"HTTP/1.1 403")

    assert [decision.reasons[0].rule for decision in refused] == [rule]
    assert server.unvisited


async def test_of_several_addresses_only_those_that_may_be_are_dialled_and_the_next_if_one_fails(
    server: Server, dials
) -> None:
    closed: list[ConnectionClosed] = []
    names = Names({"a.test": ("10.0.0.1", "127.0.0.2", "::1", "127.0.0.1")})
    async with gateway_on("proxy", allow_loopback, resolver=names, on_closed=closed.append) as gateway:
        client = await dials(gateway)
        client.says(connect("a.test", server.port))
        await client.hears(CONNECTED)
        client.leaves()
        await server.answers()

    assert [event.address for event in closed] == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("address", "dialled"),
    [
        ("10.0.0.1", True),
        ("100.64.0.1", True),
        ("fd00::1", True),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("100.100.100.200", False),
        ("fd00:ec2::254", False),
        ("198.18.0.1", False),
        ("64:ff9b::a00:1", False),
    ],
)
async def test_a_name_of_the_own_network_leads_there_and_not_to_this_machine_or_its_cloud(
    address: str, dialled: bool, dials, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No packet of a test leaves the machine: what would be dialled is told instead.
    monkeypatch.setattr(Dialling, "_dial_next", lambda made: made._unreachable(f"dialled {made._addresses}"))

    def authorize(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        done(answer(action, private=True, refused=(ip_network("10.0.0.0/8"), ip_network("100.64.0.0/10"))))
        return lambda: None

    def unrefused(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        done(answer(action, private=True))
        return lambda: None

    said = []
    for judge in (unrefused, authorize):
        async with gateway_on("proxy", judge, resolver=Names({"a.test": (address,)})) as gateway:
            client = await dials(gateway)
            client.says(connect("a.test", 1))
            said.append(await client.hears_all())

    assert (f"dialled ['{address}']".encode() in said[0]) is dialled
    assert dialled or b"and no rule declares it" in said[0]
    assert (b"in a range that a rule denies" in said[1]) is address.startswith(("10.0", "100.64", "100.100"))


async def test_a_range_that_a_rule_denies_is_not_dialled_even_where_it_is_declared(server: Server, dials) -> None:
    def authorize(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        done(answer(action, declared=LOOPBACK, refused=(ip_network("127.0.0.0/30"),)))
        return lambda: None

    async with gateway_on("proxy", authorize) as gateway:
        client = await dials(gateway)
        client.says(connect("127.0.0.1", server.port))
        assert b"in a range that a rule denies" in await client.hears_all()

    assert server.unvisited


async def test_an_allowed_host_that_is_not_there_is_an_error_and_not_a_denial(dials) -> None:
    closed: list[ConnectionClosed] = []
    async with gateway_on("proxy", allow_loopback, on_closed=closed.append) as gateway:
        client = await dials(gateway)
        client.says(connect("127.0.0.1", 1))
        said = await client.hears_all()
        other = await dials(gateway)
        other.says(b"\x05\x01\x00" + socks("127.0.0.1", 1))
        assert await other.hears_all() == CHOSEN + b"\x05\x05\x00\x01" + bytes(6)

    assert said.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"X-Ringfence-Verdict: error" in said
    assert b"`127.0.0.1:1` is allowed, but cannot be reached: `127.0.0.1`: connection refused" in said
    assert [event.error for event in closed] == ["`127.0.0.1`: connection refused"] * 2


async def test_a_name_that_nobody_knows_is_an_error_that_says_so(dials) -> None:
    async with gateway_on("proxy", allow_loopback) as gateway:
        client = await dials(gateway)
        client.says(connect("unknown.test", 443))
        assert b"its name cannot be resolved (test)" in await client.hears_all()


async def test_a_resolver_that_answers_after_the_client_left_harms_nobody(dials) -> None:
    waiting: list[Callable[[Resolution], None]] = []

    class Late(Names):
        def __call__(self, name: str, done: Callable[[Resolution], None]) -> None:
            waiting.append(done)

    async with gateway_on("proxy", allow_loopback, resolver=Late({})) as gateway:
        client = await dials(gateway)
        client.says(connect("a.test", 443))
        while not waiting:
            await asyncio.sleep(0.005)
        client.leaves()
        await gateway.idle()
        waiting[0](Resolution(addresses=("127.0.0.1",)))

        assert gateway.gateway.open_connections == 0


async def test_the_machines_own_resolver_finds_localhost(server: Server, dials) -> None:
    async with gateway_on("proxy", allow_loopback, resolver=None) as gateway:
        for _ in range(2):
            client = await dials(gateway)
            client.says(connect("localhost", server.port))
            await client.hears(CONNECTED)


@pytest.mark.parametrize(
    ("protocols", "segments"), [(("http", "tls"), 2), (("http", "tcp", "tls"), 3), (("ssh",), 3), (None, 3)]
)
async def test_the_handshake_ends_with_the_first_bytes_only_where_no_server_speaks_first(
    protocols: tuple[str, ...] | None, segments: int
) -> None:
    def authorize(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        done(answer(action, declared=LOOPBACK, protocols=protocols))
        return lambda: None

    async def received(listener: socket.socket) -> int:
        """How many segments had come when the first bytes were there."""
        port = listener.getsockname()[1]
        async with gateway_on("proxy", authorize) as gateway, asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port if segments == 2 else b"SSH-2.0-x\r\n")
            client, _ = await asyncio.get_running_loop().sock_accept(listener)
            with client:
                await asyncio.get_running_loop().sock_recv(client, 4096)
                info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            writer.close()
        return int(struct.unpack_from("=I", info, _SEGMENTS)[0])

    with listening() as listener:
        listener.setblocking(False)
        # A machine that takes longer than the kernel waits for the first bytes makes it one segment more.
        assert min([await received(listener) for _ in range(3)]) == segments


@pytest.mark.parametrize("inspected", [False, True])
async def test_the_first_answer_in_two_pieces_waits_for_nothing(inspected: bool) -> None:
    def authorize(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        reads = inspected and action.method is None
        done(answer(action, declared=LOOPBACK, protocols=("http", "tls"), needs_request=reads))
        return lambda: None

    async def took(listener: socket.socket) -> float:
        """How long the second piece took, which the server's kernel sends when it knows that the first one is there."""
        port, loop = listener.getsockname()[1], asyncio.get_running_loop()
        async with inspecting(authorize) as gateway, asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port)
            client, _ = await loop.sock_accept(listener)
            with client:
                await loop.sock_recv(client, 4096)
                began = loop.time()
                for piece in (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"body"):
                    await loop.sock_sendall(client, piece)
                await reader.readuntil(b"body")
            writer.close()
        return loop.time() - began

    with listening() as listener:
        listener.setblocking(False)
        # The kernel holds an acknowledgement back for 0.04 s at least.
        assert min([await took(listener) for _ in range(5)]) < 0.03
