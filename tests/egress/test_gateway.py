"""Conversations with the gateway on real sockets: what each side says, and what the other hears."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.egress.gatewaying import LOOPBACK, Names, Running, allow, allow_loopback, answer, deny, gateway_on
from tests.egress.hellos import made_hello, server_name

from ringfence.egress import Authorization, Cancel, Limits, Resolution
from ringfence.egress.dialling import Dialling
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Verdict
from ringfence.model.event import ConnectionClosed

DAY = datetime.timedelta(days=1)
CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"
CHOSEN, SUCCEEDED, NOT_ALLOWED = b"\x05\x00", b"\x05\x00\x00\x01" + bytes(6), b"\x05\x02\x00\x01" + bytes(6)


class Side:
    """One end of a conversation."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def says(self, data: bytes) -> None:
        self._writer.write(data)

    async def hears(self, data: bytes) -> None:
        async with asyncio.timeout(5):
            assert await self._reader.readexactly(len(data)) == data

    async def hears_all(self) -> bytes:
        async with asyncio.timeout(5):
            return await self._reader.read()

    async def hears_a_reset(self) -> None:
        async with asyncio.timeout(5):
            with pytest.raises(ConnectionResetError):
                await self._reader.read()

    def finishes(self) -> None:
        self._writer.write_eof()

    def leaves(self) -> None:
        self._writer.close()

    def breaks_off(self) -> None:
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


class Server:
    """A server on loopback; each connection to it is one side of a conversation."""

    def __init__(self, server: asyncio.Server, sides: asyncio.Queue[Side]) -> None:
        self._server = server
        self._sides = sides
        self.port: int = server.sockets[0].getsockname()[1]

    async def answers(self) -> Side:
        async with asyncio.timeout(5):
            return await self._sides.get()

    @property
    def unvisited(self) -> bool:
        return self._sides.empty()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    sides: asyncio.Queue[Side] = asyncio.Queue()
    made: list[Side] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append(Side(reader, writer))
        sides.put_nowait(made[-1])

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    yield Server(listening, sides)
    listening.close()
    for side in made:
        side.leaves()


@pytest.fixture
async def people() -> AsyncIterator[list[Side]]:
    made: list[Side] = []
    yield made
    for side in made:
        side.leaves()


@pytest.fixture
def dials(people: list[Side]) -> Callable[[Running], object]:
    async def dial(gateway: Running) -> Side:
        side = Side(*await asyncio.open_connection("127.0.0.1", gateway.port))
        people.append(side)
        return side

    return dial


def connect(host: str, port: int) -> bytes:
    return f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()


def socks(host: str, port: int) -> bytes:
    return b"\x05\x01\0\x03" + bytes([len(host)]) + host.encode() + port.to_bytes(2, "big")


class Slow:
    """An authorisation that is answered when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[ConnectAction, str]] = []
        self.cancelled = 0
        self._answers: list[Callable[[Authorization], None]] = []

    def __call__(self, action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        self.asked.append((action, origin))
        self._answers.append(done)
        return self._cancel

    def _cancel(self) -> None:
        self.cancelled += 1

    def says(self, verdict: Verdict) -> None:
        for done in self._answers:
            done(answer(self.asked[-1][0], verdict, declared=LOOPBACK))

    async def is_asked(self) -> None:
        async with asyncio.timeout(5):
            while not self.asked:
                await asyncio.sleep(0.005)

    async def is_cancelled(self) -> None:
        async with asyncio.timeout(5):
            while not self.cancelled:
                await asyncio.sleep(0.005)


async def test_a_tunnel_carries_what_both_sides_say_and_counts_it(server: Server, dials) -> None:
    closed: list[ConnectionClosed] = []
    async with gateway_on(
        "proxy", allow_loopback, resolver=Names({"a.test": ("127.0.0.1",)}), on_closed=closed.append
    ) as gateway:
        client = await dials(gateway)
        client.says(connect("a.test", server.port))
        await client.hears(CONNECTED)
        origin = await server.answers()
        client.says(b"\x00hello")
        await origin.hears(b"\x00hello")
        origin.says(b"welcome")
        await client.hears(b"welcome")
        client.finishes()
        assert await origin.hears_all() == b""
        origin.says(b" and goodbye")
        origin.finishes()
        assert await client.hears_all() == b" and goodbye"
        await gateway.idle()

    (event,) = closed
    assert (event.host, event.port, event.address) == ("a.test", server.port, "127.0.0.1")
    assert (event.sent_bytes, event.received_bytes, event.error) == (6, 19, "")


async def test_a_socks_client_gets_its_tunnel_by_name(server: Server, dials) -> None:
    names = Names({"a.test": ("127.0.0.1",)})
    async with gateway_on("proxy", allow_loopback, resolver=names) as gateway:
        client = await dials(gateway)
        client.says(b"\x05\x01\x00")
        await client.hears(CHOSEN)
        client.says(socks("A.TEST.", server.port) + b"\x00early")
        await client.hears(SUCCEEDED)
        await (await server.answers()).hears(b"\x00early")

    assert names.asked == ["a.test"]


async def test_a_server_that_speaks_first_is_heard_before_its_client_says_anything(server: Server, dials) -> None:
    async with gateway_on("proxy", allow_loopback) as gateway:
        client = await dials(gateway)
        client.says(connect("127.0.0.1", server.port))
        await client.hears(CONNECTED)
        origin = await server.answers()
        origin.says(b"SSH-2.0-x\r\n")
        await client.hears(b"SSH-2.0-x\r\n")
        client.says(b"SSH-2.0-y\r\n")
        await origin.hears(b"SSH-2.0-y\r\n")


async def test_a_server_that_finishes_first_still_hears_its_client(server: Server, dials) -> None:
    async with gateway_on("proxy", allow_loopback) as gateway:
        client = await dials(gateway)
        client.says(connect("127.0.0.1", server.port))
        await client.hears(CONNECTED)
        origin = await server.answers()
        origin.finishes()
        assert await client.hears_all() == b""
        client.says(b"\x00late")
        client.finishes()
        assert await origin.hears_all() == b"\x00late"
        await gateway.idle()


async def test_a_denied_tunnel_is_told_everything_a_person_needs(server: Server, dials) -> None:
    async with gateway_on("proxy", deny) as gateway:
        client = await dials(gateway)
        client.says(connect("a.test", server.port))
        head, _, body = (await client.hears_all()).partition(b"\r\n\r\n")

    assert head.split(b"\r\n")[0] == b"HTTP/1.1 403 Forbidden"
    assert b"\r\nContent-Type: text/plain" in head
    assert b"\r\nX-Ringfence-Verdict: deny" in head
    assert body.decode() == (
        f"ringfence: connection to `a.test:{server.port}` is denied\n"
        "  rule: test-rule: because\n"
        "  what to do: ask for `it`\n"
    )
    assert server.unvisited


async def test_a_denied_socks_client_gets_the_code_for_it(server: Server, dials) -> None:
    async with gateway_on("proxy", deny) as gateway:
        client = await dials(gateway)
        client.says(b"\x05\x01\x00" + socks("a.test", server.port))
        assert await client.hears_all() == CHOSEN + NOT_ALLOWED


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"\x04\x01\x00\x50\x7f\0\0\x01\0", b"\x00\x5b" + bytes(6)),
        (b"\x05\x01\x02", b"\x05\xff"),
        (b"\x05\x01\x00\x05\x03\x00\x01\x7f\0\0\x01\x01\xbb", CHOSEN + b"\x05\x07\x00\x01" + bytes(6)),
        (b"\x05\x01\x00" + socks("evil.test\0.github.com", 443), CHOSEN + NOT_ALLOWED),
        (b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET http://a.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n", b"HTTP/1.1 400 "),
        (b"CONNECT a.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n", b"HTTP/1.1 400 "),
        (b"CONNECT a.test:443 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", b"HTTP/1.1 400 "),
        (
            b"POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"HTTP/1.1 400 ",
        ),
        (b"GET http://a.test/ HTTP/1.1\nHost: a.test\n\n", b"HTTP/1.1 400 "),
        (made_hello(server_name(b"a.test")), b"HTTP/1.1 400 "),
        (b"GET http://a.test/ HTTP/1.1\r\nX: " + b"y" * 70_000, b"HTTP/1.1 431 "),
    ],
)
async def test_what_cannot_be_understood_is_refused_before_anybody_is_asked(said: bytes, heard: bytes, dials) -> None:
    slow = Slow()
    async with gateway_on("proxy", slow) as gateway:
        client = await dials(gateway)
        client.says(said)
        assert (await client.hears_all()).startswith(heard)

    assert slow.asked == []


async def test_a_plain_request_is_re_issued_and_nothing_behind_it_is_sent(server: Server, dials) -> None:
    slow = Slow()
    async with gateway_on("proxy", slow, resolver=Names({"a.test": ("127.0.0.1",)})) as gateway:
        client = await dials(gateway)
        host = f"a.test:{server.port}"
        request = f"POST http://{host}/p?q HTTP/1.1\r\nHost: {host}\r\nProxy-Connection: keep-alive\r\n"
        client.says(request.encode() + b"Content-Length: 4\r\n\r\nbodyPOST http://evil.test/ HTTP/1.1\r\n\r\n")
        await slow.is_asked()
        slow.says(Verdict.ALLOW)
        origin = await server.answers()
        await origin.hears(
            f"POST /p?q HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody".encode()
        )
        origin.says(b"HTTP/1.1 200 OK\r\n\r\nanswer")
        origin.finishes()
        assert await client.hears_all() == b"HTTP/1.1 200 OK\r\n\r\nanswer"
        assert await origin.hears_all() == b""

    assert slow.asked == [(ConnectAction(host="a.test", port=server.port, method="POST", path="/p"), "http")]


async def test_a_client_that_is_still_sending_can_read_why_it_was_denied(dials) -> None:
    async with gateway_on("proxy", deny) as gateway:
        client = await dials(gateway)
        client.says(b"POST http://a.test/ HTTP/1.1\r\nHost: a.test\r\nContent-Length: 500000\r\n\r\n" + bytes(500_000))
        assert (await client.hears_all()).startswith(b"HTTP/1.1 403")


@pytest.mark.slow
async def test_a_client_waits_as_long_as_somebody_is_asked(server: Server, dials) -> None:
    slow = Slow()
    limits = Limits(head_seconds=0.01, dial_seconds=0.01)
    async with gateway_on("proxy", slow, limits=limits) as gateway:
        client = await dials(gateway)
        client.says(connect("127.0.0.1", server.port))
        await slow.is_asked()
        await asyncio.sleep(0.6)
        slow.says(Verdict.ALLOW)
        slow.says(Verdict.DENY)
        await client.hears(CONNECTED)

    assert slow.asked == [
        (ConnectAction(host="127.0.0.1", port=server.port), "connect"),
    ]
    assert slow.cancelled == 0


@pytest.mark.parametrize("verdict", [Verdict.ASK, Verdict.DENY])
async def test_only_an_allow_opens_a_connection(server: Server, dials, verdict: Verdict) -> None:
    slow = Slow()
    async with gateway_on("proxy", slow) as gateway:
        client = await dials(gateway)
        client.says(connect("127.0.0.1", server.port))
        await slow.is_asked()
        slow.says(verdict)
        assert (await client.hears_all()).startswith(b"HTTP/1.1 403")
        assert server.unvisited


async def test_when_the_client_goes_away_nobody_is_asked_any_more(server: Server, dials) -> None:
    slow = Slow()
    async with gateway_on("proxy", slow) as gateway:
        client = await dials(gateway)
        client.says(connect("127.0.0.1", server.port))
        await slow.is_asked()
        client.leaves()
        await slow.is_cancelled()
        slow.says(Verdict.ALLOW)
        await gateway.idle()

    assert slow.cancelled == 1
    assert server.unvisited


async def test_an_authorisation_that_fails_is_a_deny(dials) -> None:
    refused: list[Decision] = []

    def broken(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        raise RuntimeError("the gate is broken")

    async with gateway_on("proxy", broken, on_refused=refused.append) as gateway:
        client = await dials(gateway)
        client.says(connect("a.test", 443))
        assert (await client.hears_all()).startswith(b"HTTP/1.1 403")

    assert [decision.reasons[0].rule for decision in refused] == ["gateway.error"]


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


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        (made_hello(server_name(b"evil.test")), "tls.name"),
        (made_hello((10, b"")), "tls.name"),
        (made_hello(server_name(b"a.test"), server_name(b"a.test")), "protocol.malformed"),
        (b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", "http.host"),
        (b"CONNECT evil.test:443 HTTP/1.1\r\n\r\n", "http.host"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "protocol.malformed"),
        (b"GET / HTTP/1.1\nHost: evil.test\n\n", "protocol.malformed"),
        (b"\x16\x03\x01\x40\x00\x01" + b"\x00\xff\xff" + bytes(70_000), "protocol.malformed"),
    ],
)
@pytest.mark.parametrize("early", [True, False])
async def test_a_tunnel_cannot_be_used_for_another_host(
    server: Server, dials, said: bytes, rule: str, *, early: bool
) -> None:
    refused: list[Decision] = []
    closed: list[ConnectionClosed] = []
    names = Names({"a.test": ("127.0.0.1",)})
    async with gateway_on(
        "proxy", allow_loopback, resolver=names, on_refused=refused.append, on_closed=closed.append
    ) as gateway:
        client = await dials(gateway)
        client.says(connect("a.test", server.port) + (said if early else b""))
        await client.hears(CONNECTED)
        origin = await server.answers()
        if not early:
            client.says(said)
        heard = await client.hears_all()
        assert await origin.hears_all() == b""

    assert heard[:1] == b"\x15" if said[:1] == b"\x16" else heard.startswith(b"HTTP/1.1 403")
    assert [decision.reasons[0].rule for decision in refused] == [rule]
    assert [(event.sent_bytes, event.received_bytes) for event in closed] == [(0, 0)]


@pytest.mark.parametrize(
    "said", [made_hello(server_name(b"A.test")), b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", b"anything else\n"]
)
async def test_a_tunnel_is_used_for_the_host_it_was_asked_for(server: Server, dials, said: bytes) -> None:
    async with gateway_on("proxy", allow_loopback, resolver=Names({"a.test": ("127.0.0.1",)})) as gateway:
        client = await dials(gateway)
        client.says(connect("a.test", server.port))
        await client.hears(CONNECTED)
        client.says(said)
        await (await server.answers()).hears(said)


async def test_a_later_request_in_a_tunnel_cannot_be_for_another_host(server: Server, dials) -> None:
    refused: list[Decision] = []
    first = b"GET /one HTTP/1.1\r\nHost: a.test\r\n\r\n"
    names = Names({"a.test": ("127.0.0.1",)})
    async with gateway_on("proxy", allow_loopback, resolver=names, on_refused=refused.append) as gateway:
        client = await dials(gateway)
        client.says(connect("a.test", server.port))
        await client.hears(CONNECTED)
        client.says(first)
        origin = await server.answers()
        await origin.hears(first)
        client.says(first.replace(b"one", b"two"))
        await origin.hears(first.replace(b"one", b"two"))
        client.says(b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert await origin.hears_all() == b""

    assert [decision.reasons[0].rule for decision in refused] == ["http.host"]


async def test_a_tunnel_to_a_host_with_rules_about_paths_carries_one_request_that_was_judged(
    server: Server, dials
) -> None:
    asked: list[ConnectAction] = []

    def authorize(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        asked.append(action)
        verdict = Verdict.ALLOW if action.path == "/allowed" else Verdict.DENY
        done(answer(action, verdict, declared=LOOPBACK, needs_request=action.method is None))
        return lambda: None

    host = f"127.0.0.1:{server.port}"
    async with gateway_on("proxy", authorize) as gateway:
        client = await dials(gateway)
        client.says(connect("127.0.0.1", server.port))
        await client.hears(CONNECTED)
        client.says(
            f"GET /allowed HTTP/1.1\r\nHost: {host}\r\n\r\nGET /other HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        )
        origin = await server.answers()
        origin.says(b"answer")
        origin.finishes()
        assert await client.hears_all() == b"answer"
        assert (
            await origin.hears_all() == f"GET /allowed HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        )
        other = await dials(gateway)
        other.says(connect("127.0.0.1", server.port) + f"GET /other HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        await other.hears(CONNECTED)
        assert (await other.hears_all()).startswith(b"HTTP/1.1 403")

    assert [(action.method, action.path) for action in asked] == [
        (None, None),
        ("GET", "/allowed"),
        (None, None),
        ("GET", "/other"),
    ]
    assert server.unvisited


async def test_a_broken_server_breaks_its_client_and_not_the_others(server: Server, dials) -> None:
    closed: list[ConnectionClosed] = []
    async with gateway_on("proxy", allow_loopback, on_closed=closed.append) as gateway:
        client, other = await dials(gateway), await dials(gateway)
        for side in (client, other):
            side.says(connect("127.0.0.1", server.port))
            await side.hears(CONNECTED)
        origin, healthy = await server.answers(), await server.answers()
        origin.says(b"half an ans")
        await client.hears(b"half an ans")
        origin.breaks_off()
        await client.hears_a_reset()
        healthy.says(b"fine")
        await other.hears(b"fine")

    assert closed[0].error == "connection reset by peer"


async def test_revoking_closes_what_is_open_and_what_waits_but_nothing_else(server: Server, dials) -> None:
    slow = Slow()
    closed: list[ConnectionClosed] = []
    names = Names({"a.test": ("127.0.0.1",), "b.test": ("127.0.0.1",)})
    async with gateway_on("proxy", slow, resolver=names, on_closed=closed.append) as gateway:
        one, other = await dials(gateway), await dials(gateway)
        one.says(connect("a.test", server.port))
        other.says(connect("b.test", server.port))
        await slow.is_asked()
        await asyncio.sleep(0.05)
        slow.says(Verdict.ALLOW)
        await one.hears(CONNECTED)
        await other.hears(CONNECTED)
        waiting = await dials(gateway)
        waiting.says(connect("a.test", 443))
        await asyncio.sleep(0.05)

        count = gateway.gateway.close_matching(lambda host, port: host == "a.test")

        assert count == 2
        await one.hears_a_reset()
        await waiting.hears_a_reset()
        (await server.answers()).leaves()
        (await server.answers()).leaves()
        assert await other.hears_all() == b""

    assert slow.cancelled == 1
    assert closed[0].error == "it is not allowed any more"


async def test_closing_the_gateway_ends_everything_and_gives_back_every_descriptor(server: Server, dials) -> None:
    slow = Slow()
    closed: list[ConnectionClosed] = []
    before = len(os.listdir("/proc/self/fd"))
    async with gateway_on("proxy", slow, on_closed=closed.append) as gateway:
        client, waiting, silent = [await dials(gateway) for _ in range(3)]
        client.says(connect("127.0.0.1", server.port))
        await slow.is_asked()
        slow.says(Verdict.ALLOW)
        await client.hears(CONNECTED)
        waiting.says(connect("127.0.0.1", server.port))
        silent.says(b"CONN")
        await asyncio.sleep(0.05)
        clients_and_origin = 4
    (await server.answers()).leaves()
    await client.hears_a_reset()
    await waiting.hears_a_reset()
    await asyncio.sleep(0.05)

    assert slow.cancelled == 1
    assert [event.error for event in closed] == ["the session ended"]
    assert len(os.listdir("/proc/self/fd")) <= before + clients_and_origin


async def test_a_client_that_never_says_what_it_wants_is_told_and_left(dials) -> None:
    async with gateway_on("proxy", deny, limits=Limits(head_seconds=0.05)) as gateway:
        client = await dials(gateway)
        client.says(b"CONNECT a.te")
        assert (await client.hears_all()).startswith(b"HTTP/1.1 408 ")


@pytest.mark.slow
async def test_beyond_the_limit_new_connections_are_refused_and_open_ones_go_on(server: Server, dials) -> None:
    async with gateway_on("proxy", allow_loopback, limits=Limits(connections=2)) as gateway:
        first, second = await dials(gateway), await dials(gateway)
        for side in (first, second):
            side.says(connect("127.0.0.1", server.port))
            await side.hears(CONNECTED)
        third = await dials(gateway)
        heard = await third.hears_all()
        origin = await server.answers()
        origin.says(b"still here")
        await first.hears(b"still here")

    assert heard.startswith(b"HTTP/1.1 503 ")
    assert b"2 connections open, which is the limit" in heard


@pytest.mark.slow
async def test_idle_tunnels_and_slow_readers_stop_nobody(server: Server, dials) -> None:
    async with gateway_on("proxy", allow_loopback) as gateway, asyncio.timeout(20):
        for _ in range(150):
            idle = await dials(gateway)
            idle.says(connect("127.0.0.1", server.port))
            await idle.hears(CONNECTED)
            await server.answers()
        lazy = await dials(gateway)
        lazy.says(connect("127.0.0.1", server.port))
        await lazy.hears(CONNECTED)
        (await server.answers()).says(bytes(20_000_000))

        busy = await dials(gateway)
        busy.says(connect("127.0.0.1", server.port))
        await busy.hears(CONNECTED)
        origin = await server.answers()
        for _ in range(50):
            busy.says(b"\x00ping")
            await origin.hears(b"\x00ping")


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


async def test_a_record_that_cannot_be_made_of_an_end_harms_no_other_connection(server: Server, dials) -> None:
    def broken(event: object) -> None:
        raise RuntimeError("the ledger is gone")

    async with gateway_on("proxy", allow_loopback, on_closed=broken, on_refused=broken) as gateway:
        one, other, denied = await dials(gateway), await dials(gateway), await dials(gateway)
        for side in (one, other):
            side.says(connect("127.0.0.1", server.port))
            await side.hears(CONNECTED)
        first, second = await server.answers(), await server.answers()
        one.leaves()
        first.leaves()
        denied.says(connect("10.0.0.1", 80))
        assert (await denied.hears_all()).startswith(b"HTTP/1.1 403")
        second.says(b"still here")
        await other.hears(b"still here")


def _certificate(folder: Path) -> ssl.SSLContext:
    """A server's context with a fresh self-signed certificate for `a.test`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.test")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + DAY)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("a.test")]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    pem = folder / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_a_real_tls_session_passes_end_to_end(tmp_path: Path) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(300_000))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=_certificate(tmp_path))
    port = server.sockets[0].getsockname()[1]
    trust = ssl.create_default_context(cafile=str(tmp_path / "server.pem"))
    body = os.urandom(300_000)

    def client(proxy: int) -> bytes:
        with socket.create_connection(("127.0.0.1", proxy), 5) as sock:
            sock.sendall(connect("a.test", port))
            assert sock.recv(len(CONNECTED)) == CONNECTED
            with trust.wrap_socket(sock, server_hostname="a.test") as secure:
                secure.sendall(body)
                got = b""
                while len(got) < len(body):
                    got += secure.recv(65_536)
                return got

    async with gateway_on("proxy", allow_loopback, resolver=Names({"a.test": ("127.0.0.1",)})) as gateway:
        assert await asyncio.to_thread(client, gateway.port) == body
    server.close()
