"""Conversations with the gateway where it ends the TLS and looks into requests, on real sockets."""

from __future__ import annotations

import asyncio

from tests.egress.inspecting import Asked, inspecting, leave, server, tunnel

from ringfence.model.action import ConnectAction


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers each request with its own head."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(head), head))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def test_a_request_is_judged_re_issued_and_answered() -> None:
    asked = Asked()
    async with server(echo) as port, inspecting(asked) as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        for number in (1, 2):
            writer.write(b"GET /%d?q HTTP/1.1\r\nHost: a.test:%d\r\nX-One: 1\r\nProxy-A: 2\r\n\r\n" % (number, port))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            seen = await reader.readuntil(b"\r\n\r\n")
            assert seen == b"GET /%d?q HTTP/1.1\r\nHost: a.test:%d\r\nx-one: 1\r\n\r\n" % (number, port)
        await leave(writer)
    assert asked.actions == [
        ConnectAction(host="a.test", port=port, method="GET", path="/1"),
        ConnectAction(host="a.test", port=port, method="GET", path="/2"),
    ]
