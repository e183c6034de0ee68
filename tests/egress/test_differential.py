"""Inputs that parsers differ on get the answer that the list says: from the readers, and from a gateway on sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from tests.egress.differential import READERS, Difference, differences
from tests.egress.gatewaying import Names, allow_loopback, answer, gateway_on

from ringfence.egress import Authorization, Cancel
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Verdict


def by(*readers: str) -> list[Difference]:
    """The rows of these readers; without those where more has to come first, for which a socket would wait."""
    return [row for row in differences() if row.reader in readers and row.answer != "more"]


def told(row: Difference) -> str:
    return f"{row.reader}: {row.why}"


@pytest.mark.parametrize("row", differences(), ids=told)
def test_a_reader_gives_the_answer_of_the_list(row: Difference) -> None:
    assert READERS[row.reader](row) == row.answer


def test_every_reader_is_in_the_list_and_no_row_is_there_twice() -> None:
    assert {row.reader for row in differences()} == set(READERS)
    assert len({(row.reader, row.before, row.input) for row in differences()}) == len(differences())


class Asked:
    """Denies everything, and knows what was asked."""

    def __init__(self) -> None:
        self.places: list[str] = []

    def __call__(self, action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        host = f"[{action.host}]" if ":" in action.host else action.host
        self.places.append(f"{origin} {host}:{action.port}")
        done(answer(action, Verdict.DENY))
        return lambda: None


async def said(port: int, *parts: bytes) -> bytes:
    """What a gateway answers to the last part, to its end; everything before is answered first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    try:
        async with asyncio.timeout(5):
            for part in parts[:-1]:
                writer.write(part)
                heard = await reader.read(2)
            writer.write(parts[-1])
            writer.write_eof()
            return (await reader.read()) or heard
    except ConnectionResetError:
        return heard
    finally:
        writer.close()


@pytest.mark.parametrize("row", by("proxy"), ids=told)
async def test_the_proxy_on_a_socket_asks_for_that_place_or_refuses(row: Difference) -> None:
    asked = Asked()
    async with gateway_on("proxy", asked) as gateway:
        reply = await said(gateway.port, row.data)

    if " " in row.answer:
        assert (asked.places, reply.split(b" ")[1]) == ([row.answer], b"403")
    else:
        assert asked.places == []
        assert reply.split(b" ")[1].decode() == row.answer


@pytest.mark.parametrize("row", by("socks5"), ids=told)
async def test_socks_on_a_socket_asks_for_that_place_or_refuses(row: Difference) -> None:
    asked = Asked()
    async with gateway_on("proxy", asked) as gateway:
        reply = await said(gateway.port, b"\x05\x01\x00", row.data)

    if row.answer.startswith("socks5"):
        assert asked.places == [row.answer]
    else:
        assert asked.places == []
        assert f"code {reply[1]}" == row.answer


class Receiver:
    """A server that keeps what it gets, and says that it got something."""

    def __init__(self) -> None:
        self.data = b""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while part := await reader.read(65_536):
                self.data += part
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except ConnectionResetError:
            pass
        finally:
            writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, int]]:
    made = Receiver()
    server = await asyncio.start_server(made, "127.0.0.1", 0)
    yield made, server.sockets[0].getsockname()[1]
    server.close()


@pytest.mark.parametrize("row", by("tunnel"), ids=told)
async def test_a_tunnel_on_a_socket_lets_through_what_the_list_says(
    row: Difference, receiver: tuple[Receiver, int]
) -> None:
    server, port = receiver
    before = row.before.encode("latin-1")
    opening = f"CONNECT good.test:{port} HTTP/1.1\r\nHost: good.test:{port}\r\n\r\n".encode()
    async with gateway_on("proxy", allow_loopback, resolver=Names({"good.test": ("127.0.0.1",)})) as gateway:
        await said(gateway.port, opening, before + row.data)
        await gateway.idle()

    if row.answer == "passes":
        assert server.data == before + row.data
    else:
        assert before.startswith(server.data)
