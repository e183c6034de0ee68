"""HTTP/2 on inspected hosts: many requests at once, each judged by itself."""

from __future__ import annotations

import asyncio

from tests.egress.http2.speaking import http2_client, http2_server, request
from tests.egress.inspecting import Asked, inspecting


async def test_a_request_is_judged_and_answered() -> None:
    asked = Asked()
    async with (
        http2_server() as (port, peers),
        inspecting(asked, http2=True) as gateway,
        asyncio.timeout(5),
        http2_client(gateway.port, port) as client,
    ):
        stream = client.ask(request(port, b"/p?q=1", b"POST"), end=False)
        await client.send(stream, b"12345", end=True)
        message = await client.whole(stream)

    assert (message.status, bytes(message.body)) == (b"200", b"12345")
    assert message.value(b"x-path") == b"/p?q=1"
    assert [(one.method, one.path) for one in asked.actions] == [("POST", "/p")]
    assert len(peers) == 1
