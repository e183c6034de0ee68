"""Which protocol a client begins with, and whether it may."""

from __future__ import annotations

import asyncio
import contextlib
import struct

import pytest
from tests.egress.gatewaying import LOOPBACK, answer, gateway_on, listening

from ringfence.egress import Authorization, Cancel
from ringfence.egress.first_bytes import Other
from ringfence.egress.speech import may_be_spoken
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision

SSL = struct.pack(">II", 8, 80877103)
CANCEL = struct.pack(">IIII", 16, 80877102, 1, 2)
START = struct.pack(">II", 21, 3 << 16) + b"user\0u\0\0"
START_3_2 = struct.pack(">II", 21, (3 << 16) + 2)
MYSQL = b"\x55\0\0\x01" + struct.pack("<I", 0x200 | 0x8000)


@pytest.mark.parametrize(
    ("protocol", "first", "expected"),
    [
        ("ssh", b"SSH-2.0-x", True),
        ("ssh", b"SS", None),
        ("ssh", b"\x16\x03", False),
        ("postgresql", SSL, True),
        ("postgresql", SSL[:5], None),
        ("postgresql", struct.pack(">II", 9, 80877103), False),
        ("postgresql", CANCEL, True),
        ("postgresql", START, True),
        ("postgresql", START_3_2, True),
        ("postgresql", struct.pack(">II", 21, 2 << 16), False),
        ("postgresql", b"SSH-2.0-x", False),
        ("mysql", MYSQL, True),
        ("mysql", MYSQL[:5], None),
        ("mysql", b"\x55\0\0\x00" + MYSQL[4:], False),
        ("mysql", START, False),
        ("redis", b"*1\r\n$4\r\nPING\r\n", True),
        ("redis", b"*", None),
        ("redis", b"GET x HTTP/1.0\r\n", False),
        ("redis", b"*x\r\n", False),
        ("tcp", b"\x00\x01", True),
    ],
)
def test_a_protocol_is_known_by_its_first_bytes(protocol: str, first: bytes, expected: bool | None) -> None:
    assert may_be_spoken(Other(), first, (protocol,), ended=False) is expected


def test_a_client_that_ends_before_it_is_known_is_refused() -> None:
    assert may_be_spoken(Other(), SSL[:5], ("postgresql",), ended=True) is False


def test_a_client_that_says_nothing_is_no_offence() -> None:
    assert may_be_spoken(Other(), b"", ("ssh", "http"), ended=True) is True


async def _said(protocols: tuple[str, ...] | None, first: bytes) -> tuple[bytes, list[Decision]]:
    """What a server hears of a client through a gateway, and what was refused."""
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(await reader.read(4096))
        writer.close()

    def authorize(action: ConnectAction, origin: str, done: object) -> Cancel:
        assert callable(done)
        decided: Authorization = answer(action, declared=LOOPBACK, protocols=protocols)
        done(decided)
        return lambda: None

    refused: list[Decision] = []
    sock = listening()
    server = await asyncio.start_server(serve, sock=sock)
    async with gateway_on("proxy", authorize, on_refused=refused.append) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        port = sock.getsockname()[1]
        writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        writer.write_eof()
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                await reader.read()
            got = await heard
        writer.close()
    server.close()
    return got, refused


async def test_what_no_rule_opens_does_not_reach_the_server() -> None:
    got, refused = await _said(("http", "tls"), b"SSH-2.0-client\r\n")

    assert got == b""
    assert [(one.reasons[0].rule, one.reasons[0].text) for one in refused] == [
        ("network.protocol", "the client speaks another protocol than the rules for this destination open (HTTP, TLS)")
    ]


async def test_http_does_not_pass_where_a_rule_opens_a_database() -> None:
    got, refused = await _said(("postgresql",), b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

    assert got == b""
    assert [one.reasons[0].rule for one in refused] == ["network.protocol"]


async def test_a_client_that_speaks_http_where_tcp_opens_everything_else_hears_why_and_what_to_do() -> None:
    got, refused = await _said(("tcp",), b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

    assert got == b""
    told, (step,) = refused[0].reasons[0].text, refused[0].next_steps
    assert told == (
        "the client speaks HTTP, and requests to this destination are looked into; "
        'a rule with `protocol = "tcp"` opens everything else there alone'
    )
    assert step.startswith("take `protocol` out of the rule for `127.0.0.1:")
    assert (await _said(("tcp",), b"\0\1\2anything"))[0] == b"\0\1\2anything"


@pytest.mark.parametrize("first", [SSL, START, CANCEL])
async def test_what_a_rule_opens_arrives_as_it_was_said(first: bytes) -> None:
    assert await _said(("postgresql",), first) == (first, [])


async def test_anything_passes_where_a_person_opened_the_port() -> None:
    assert await _said(None, b"\0\1\2anything") == (b"\0\1\2anything", [])


async def test_a_server_that_speaks_first_is_heard_before_its_client_has_to_show_what_it_is() -> None:
    greeting = b"\x0a\0\0\0\x0a8.0.36\0\1\2"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.write(await reader.readexactly(len(MYSQL)))
        writer.close()

    def authorize(action: ConnectAction, origin: str, done: object) -> Cancel:
        assert callable(done)
        done(answer(action, declared=LOOPBACK, protocols=("mysql",)))
        return lambda: None

    sock = listening()
    server = await asyncio.start_server(serve, sock=sock)
    async with gateway_on("proxy", authorize) as running, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        port = sock.getsockname()[1]
        writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        heard = await reader.readexactly(len(greeting))
        writer.write(MYSQL)
        repeated = await reader.read()
        writer.close()
    server.close()

    assert (heard, repeated) == (greeting, MYSQL)
