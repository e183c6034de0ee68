"""A connection to a server that was kept is used only for requests that could have made it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.egress.gatewaying import answer
from tests.egress.http2.speaking import http2_client, http2_server, request
from tests.egress.inspecting import inspecting, leave, server, tunnel

from ringfence.egress import Authorization, Cancel, dialling
from ringfence.model.action import ConnectAction
from ringfence.model.addresses import AddressKind
from ringfence.model.decision import Decision


def own_network_below_a(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
    """Only what is below `/a` may lead to the own network."""
    private = (action.path or "").startswith("/a")
    done(answer(action, private=private, needs_request=action.method is None))
    return lambda: None


@pytest.fixture(autouse=True)
def loopback_is_the_own_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No packet of a test leaves the machine."""
    monkeypatch.setattr(dialling, "OWN_NETWORK", frozenset((AddressKind.LOOPBACK,)))


async def test_what_one_rule_let_into_the_own_network_carries_no_request_of_another() -> None:
    refused: list[Decision] = []

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + head.split(b" ")[1])

    heard = []
    async with (
        asyncio.timeout(10),
        server(answers) as port,
        inspecting(own_network_below_a, on_refused=refused.append) as gateway,
    ):
        reader, writer = await tunnel(gateway.port, port)
        for path in (b"/a", b"/a", b"/b", b"/a"):
            writer.write(b"GET %b HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % (path, port))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            heard.append(body if b" 200 " in head else head[9:12])
        await leave(writer)
    assert heard == [b"/a", b"/a", b"403", b"/a"]
    assert [one.reasons[0].rule for one in refused] == ["address.loopback"]


@pytest.mark.parametrize("paths", [(b"/a", b"/b", b"/a"), (b"/b", b"/a", b"/a")])
async def test_nor_does_a_connection_that_carries_many_at_once(paths: tuple[bytes, ...]) -> None:
    async with (
        asyncio.timeout(10),
        http2_server() as (port, _),
        inspecting(own_network_below_a, http2=True) as gateway,
        http2_client(gateway.port, port) as client,
    ):
        statuses = []
        for path in paths:
            message = await client.whole(client.ask(request(port, path)))
            statuses.append((path, message.status))
    assert statuses == [(path, b"200" if path == b"/a" else b"403") for path in paths]


async def test_nor_do_those_that_waited_for_the_same_connection() -> None:
    async with (
        asyncio.timeout(10),
        http2_server() as (port, _),
        inspecting(own_network_below_a, http2=True) as gateway,
        http2_client(gateway.port, port) as client,
    ):
        paths = (b"/a", b"/b") * 4
        streams = [client.ask(request(port, path)) for path in paths]
        statuses = [(await client.whole(stream)).status for stream in streams]
    assert statuses == [b"200", b"403"] * 4
