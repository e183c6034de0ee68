"""What a tunnel may be used for: the host that it was asked for, and nothing beside it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.egress.conversing import CONNECTED, Server, connect
from tests.egress.gatewaying import LOOPBACK, Names, allow_loopback, answer, gateway_on
from tests.egress.hellos import made_hello, server_name

from ringfence.egress import Authorization, Cancel
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Verdict
from ringfence.model.event import ConnectionClosed

DAY = datetime.timedelta(days=1)


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
