"""A gateway on loopback for tests, with an authorisation and a resolver that a test states."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

from ringfence.egress import Authorization, Authorize, Cancel, Gateway, Resolution
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Reason, Verdict

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def answer(action: ConnectAction, verdict: Verdict = Verdict.ALLOW, **more: Any) -> Authorization:
    """An answer of that verdict, with one reason."""
    reason = Reason(rule="test-rule", layer="project", source="ringfence.toml:7", verdict=verdict, text="because")
    decision = Decision(
        verdict=verdict, action=action, reasons=(reason,), policy="sha256:0", next_steps=("ask for `it`",)
    )
    return Authorization(decision=decision, **more)


def allow_loopback(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
    """Allows everything, and declares the loopback."""
    done(answer(action, declared=LOOPBACK))
    return lambda: None


def allow(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
    """Allows everything, and declares nothing."""
    done(answer(action))
    return lambda: None


def deny(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
    """Denies everything."""
    done(answer(action, Verdict.DENY))
    return lambda: None


class Names:
    """A resolver that knows a few names."""

    def __init__(self, names: Mapping[str, tuple[str, ...]]) -> None:
        self.names = dict(names)
        self.asked: list[str] = []

    def __call__(self, name: str, done: Callable[[Resolution], None]) -> None:
        self.asked.append(name)
        addresses = self.names.get(name, ())
        done(Resolution(addresses=addresses, error="" if addresses else "its name cannot be resolved (test)"))

    def close(self) -> None:
        """Nothing to let go of."""


class Running:
    """A gateway, and the port that clients dial."""

    def __init__(self, gateway: Gateway, port: int) -> None:
        self.gateway = gateway
        self.port = port

    async def idle(self) -> None:
        """Wait until every connection has ended."""
        async with asyncio.timeout(5):
            while self.gateway.open_connections:
                await asyncio.sleep(0.005)


def listening(host: str = "127.0.0.1") -> socket.socket:
    """A listening socket on a free port."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.bind((host, 0))
    sock.listen(512)
    return sock


@asynccontextmanager
async def gateway_on(kind: str, authorize: Authorize, **options: Any) -> AsyncIterator[Running]:
    """A gateway with one listener."""
    options.setdefault("resolver", Names({}))
    gateway = Gateway(authorize, **options)
    sock = listening()
    gateway.listen(kind, sock)
    try:
        yield Running(gateway, sock.getsockname()[1])
    finally:
        gateway.close()
