"""A gateway that looks into requests, for tests: servers with certificates of an authority that only the gateway's
trust knows, and clients that trust only the session's."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from tests.egress.gatewaying import LOOPBACK, Names, Running, answer, gateway_on

from ringfence.egress import Authorization, Cancel
from ringfence.egress.authority import Authority
from ringfence.egress.inspection import Amendment, Confirm, Inspection, Judge, Route
from ringfence.egress.upstreams import machine_trust
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Verdict
from ringfence.model.host import parse_host
from ringfence.policy.judges.connect import FactsWanted

NOW = datetime.datetime.now(datetime.UTC)


@cache
def session() -> Authority:
    """The authority of the session."""
    return Authority("test", NOW)


@cache
def world() -> Authority:
    """The authority that signs for the servers outside."""
    return Authority("world", NOW)


def trust() -> ssl.SSLContext:
    """What the gateway verifies servers by."""
    context = machine_trust()
    context.load_verify_locations(cadata=world().pem.decode())
    return context


def inside() -> ssl.SSLContext:
    """What a client in the sandbox verifies by."""
    context = ssl.create_default_context(cadata=session().pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def serving(name: str = "a.test") -> ssl.SSLContext:
    """What a server outside answers with."""
    return world().context(parse_host(name))


class Asked:
    """An authorisation that wants to see every request; keeps them, and answers as it is told."""

    def __init__(self, verdict: Callable[[ConnectAction], Verdict] = lambda _: Verdict.ALLOW) -> None:
        self.actions: list[ConnectAction] = []
        self._verdict = verdict

    def __call__(self, action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        if action.method is None:
            done(answer(action, declared=LOOPBACK, needs_request=True))
        else:
            self.actions.append(action)
            done(answer(action, self._verdict(action), declared=LOOPBACK))
        return lambda: None


@asynccontextmanager
async def inspecting(
    authorize: Any = None,
    *,
    amendments: tuple[Amendment, ...] = (),
    confirm: Confirm | None = None,
    judge: Judge | None = None,
    route: Route | None = None,
    wants: Callable[[str, int], FactsWanted] = lambda *_: FactsWanted(),
    http2: bool = False,
    kind: str = "proxy",
    **options: Any,
) -> AsyncIterator[Running]:
    """A gateway that ends TLS; `*.test` names are on loopback."""
    options.setdefault("resolver", Names({f"{one}.test": ("127.0.0.1",) for one in "abc"}))
    inspection = Inspection(
        authority=session(),
        amendments=amendments,
        confirm=confirm,
        judge=judge,
        route=route,
        wants=wants,
        http2=lambda *_: http2,
    )
    async with gateway_on(kind, authorize or Asked(), inspection=inspection, trust=trust, **options) as gateway:
        yield gateway


Answers = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(answers: Answers, *, secure: bool = True, name: str = "a.test") -> AsyncIterator[int]:
    """A server outside; its port. Leaving waits until every connection to it has ended."""
    running = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal running
        running += 1
        try:
            await answers(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
            running -= 1

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=serving(name) if secure else None)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        async with asyncio.timeout(5):
            while running:
                await asyncio.sleep(0.005)


async def leave(writer: asyncio.StreamWriter) -> None:
    """A client goes, and waits until it is gone."""
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


async def tunnel(
    proxy: int, port: int, *, host: str = "a.test", context: ssl.SSLContext | None = None, narrow: bool = False
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client behind CONNECT and the handshake."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy, limit=1 << 20)
    writer.write(f"CONNECT {host}:{port} HTTP/1.1\r\n\r\n".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    await writer.start_tls(context or inside(), server_hostname=host)
    return reader, writer
