"""A server that speaks first, where SSH may be spoken beside other protocols and its key has to be a certain one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest
from tests.egress.gatewaying import LOOPBACK, answer, gateway_on, listening

from ringfence.egress import Authorization, Cancel
from ringfence.egress.limits import Limits
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision


def _pinned(protocols: tuple[str, ...] | None) -> Callable[..., Cancel]:
    def authorize(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        done(answer(action, declared=LOOPBACK, protocols=protocols, host_keys=("SHA256:" + "A" * 43,)))
        return lambda: None

    return authorize


async def _after(
    greeting: bytes, *pieces: bytes, protocols: tuple[str, ...] | None = ("http", "tcp", "tls"), late: float = 0
) -> tuple[bytes, list[Decision]]:
    """What a server that begins with `greeting` hears of a client that answers in pieces, and what was refused."""
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(late)
        writer.write(greeting)
        heard.set_result(await reader.read())
        writer.close()

    refused: list[Decision] = []
    sock = listening()
    server = await asyncio.start_server(serve, sock=sock)
    limits = Limits(head_seconds=0.05) if late else Limits()
    async with gateway_on("proxy", _pinned(protocols), on_refused=refused.append, limits=limits) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        port = sock.getsockname()[1]
        writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        async with asyncio.timeout(5):
            assert await reader.readexactly(len(greeting)) == greeting
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.01)
                writer.write_eof()
                await reader.read()
            got = await heard
        writer.close()
    server.close()
    return got, refused


@pytest.mark.parametrize("protocols", [("http", "tcp", "tls"), None, ("mysql", "ssh")])
@pytest.mark.parametrize("pieces", [(b"SSH-2.0-client\r\n",), (b"S", b"SH", b"-2.0-client\r\n"), (b"SSH-2.0-client",)])
async def test_a_line_before_the_version_does_not_spare_a_server_the_check_of_its_key(
    protocols: tuple[str, ...] | None, pieces: tuple[bytes, ...]
) -> None:
    got, refused = await _after(b"Welcome\r\nSSH-2.0-evil\r\n", *pieces, protocols=protocols)

    assert got == b""
    assert [one.reasons[0].rule for one in refused] == ["ssh.host-key"]


@pytest.mark.slow
async def test_a_server_that_waits_with_its_version_is_not_spared_either() -> None:
    got, refused = await _after(b"SSH-2.0-evil\r\n", b"SSH-2.0-client\r\n", late=0.6)

    assert got == b""
    assert [one.reasons[0].rule for one in refused] == ["ssh.host-key"]


@pytest.mark.parametrize(
    ("greeting", "said"),
    [
        (b"220 mail.test ESMTP\r\n", b"EHLO client.test\r\n"),
        (b"220 files.test FTP\r\n", b"USER anonymous\r\n"),
        (b"\x0a\0\0\0\x0a8.0.36\0\1\2", b"\x55\0\0\x01\0\x82\0\0"),
    ],
)
async def test_protocols_in_which_servers_speak_first_are_spoken(greeting: bytes, said: bytes) -> None:
    assert await _after(greeting, said) == (said, [])
