"""Conversations with the gateway on real sockets: tunnels, requests, denials, and questions that take time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.egress.conversing import CHOSEN, CONNECTED, NOT_ALLOWED, SUCCEEDED, Server, Slow, connect, socks
from tests.egress.gatewaying import Names, allow_loopback, deny, gateway_on
from tests.egress.hellos import made_hello, server_name

from ringfence.egress import Authorization, Cancel, Limits
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Verdict
from ringfence.model.event import ConnectionClosed


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


async def test_an_authorisation_that_fails_is_a_deny(dials) -> None:
    refused: list[Decision] = []

    def broken(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        raise RuntimeError("the gate is broken")

    async with gateway_on("proxy", broken, on_refused=refused.append) as gateway:
        client = await dials(gateway)
        client.says(connect("a.test", 443))
        assert (await client.hears_all()).startswith(b"HTTP/1.1 403")

    assert [decision.reasons[0].rule for decision in refused] == ["gateway.error"]
