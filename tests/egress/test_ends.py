"""How connections end, one by one and all together, and that no end harms another connection."""

from __future__ import annotations

import asyncio

import pytest
from tests.descriptors import left_open, opened
from tests.egress.conversing import CONNECTED, Server, Slow, connect
from tests.egress.gatewaying import Names, allow_loopback, deny, gateway_on

from ringfence.egress import Limits
from ringfence.model.decision import Verdict
from ringfence.model.event import ConnectionClosed


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
        await slow.is_asked(2)
        slow.says(Verdict.ALLOW)
        await one.hears(CONNECTED)
        await other.hears(CONNECTED)
        waiting = await dials(gateway)
        waiting.says(connect("a.test", 443))
        await slow.is_asked(3)

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
    before = opened()
    async with gateway_on("proxy", slow, on_closed=closed.append) as gateway:
        client, waiting, silent = [await dials(gateway) for _ in range(3)]
        client.says(connect("127.0.0.1", server.port))
        await slow.is_asked()
        slow.says(Verdict.ALLOW)
        await client.hears(CONNECTED)
        waiting.says(connect("127.0.0.1", server.port))
        silent.says(b"CONN")
        await slow.is_asked(2)
    (await server.answers()).leaves()
    await client.hears_a_reset()
    await waiting.hears_a_reset()

    assert slow.cancelled == 1
    assert [event.error for event in closed] == ["the session ended"]
    # The ends of the clients and of the server, as far as they have not closed either.
    assert len(await left_open(before, but=4)) <= 4


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
