"""Lets programs inside call named services of a message bus: through `xdg-dbus-proxy`, which runs outside, shows those
names and no others, and is reached over one socket."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from ringfence.model.situations import SandboxUnavailable
from ringfence.policy.effective import BusWay
from ringfence.session.ways.relay import connected, relay

PROGRAM = "xdg-dbus-proxy"
_START_SECONDS = 10.0
_IDENTITY = re.compile(rb"AUTH EXTERNAL ([0-9a-fA-F]+)\r\n")
_MOST_BEFORE_IDENTITY = 1024


def address_of(bus: str, environ: Mapping[str, str]) -> str:
    """Where the person's own bus is; `SandboxUnavailable` where there is none."""
    if bus == "system":
        return environ.get("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/run/dbus/system_bus_socket")
    runtime = environ.get("XDG_RUNTIME_DIR")
    address = environ.get("DBUS_SESSION_BUS_ADDRESS") or (runtime and f"unix:path={runtime}/bus")
    if not address:
        raise SandboxUnavailable(
            "`sandbox.dbus` opens names of your session's message bus, and you have none here",
            remedy="start Ringfence from your desktop, or leave `sandbox.dbus` out",
        )
    return address


@asynccontextmanager
async def filtered_bus(address: str, ways: Iterable[BusWay], *, search: str | None) -> AsyncIterator[str]:
    """The path of a socket that leads to the bus, through the filter, for the length of a block. `search`: the
    folders in which the filter is looked for."""
    program = shutil.which(PROGRAM, path=search)
    if program is None:
        raise SandboxUnavailable(
            f"`sandbox.dbus` takes `{PROGRAM}`, which is not installed",
            remedy=f"`apt-get install {PROGRAM}`, or the same with your package manager",
        )
    names = dict.fromkeys(name for way in ways for name in way.talk)
    with tempfile.TemporaryDirectory(prefix="ringfence-bus-") as folder:
        path = os.path.join(folder, "bus")
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    program,
                    f"--fd={theirs.fileno()}",
                    address,
                    path,
                    "--filter",
                    *(f"--talk={name}" for name in names),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                    start_new_session=True,
                )
            try:
                await _until_ready(ours)
                yield path
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()


async def _until_ready(ours: socket.socket) -> None:
    ours.setblocking(False)
    try:
        async with asyncio.timeout(_START_SECONDS):
            ready = await asyncio.get_running_loop().sock_recv(ours, 1)
    except TimeoutError:
        ready = b""
    if not ready:
        raise SandboxUnavailable(
            f"`{PROGRAM}` did not start: the message bus cannot be reached", remedy="leave `sandbox.dbus` out"
        )


class Bus:
    """Answers the connections to a bus. `inside` is the number that the person has in the sandbox."""

    def __init__(self, path: str, *, inside: int, outside: int) -> None:
        self._path = path
        self._inside = inside
        self._outside = outside

    async def answer(self, client: socket.socket) -> None:
        """Carry one connection."""
        first = await self._identity(client) if self._inside != self._outside else b""
        with await connected(self._path) as bus:
            await relay(client, bus, first=first)

    async def _identity(self, client: socket.socket) -> bytes:
        """What a client says first, with the number that the person has outside: the bus compares it with the
        process that calls, which is ours."""
        data = b""
        async with asyncio.timeout(_START_SECONDS):
            while b"\r\n" not in data and len(data) < _MOST_BEFORE_IDENTITY:
                part = await asyncio.get_running_loop().sock_recv(client, _MOST_BEFORE_IDENTITY)
                if not part:
                    break
                data += part
        return _IDENTITY.sub(self._mapped, data, count=1)

    def _mapped(self, found: re.Match[bytes]) -> bytes:
        own = str(self._inside).encode().hex().encode()
        mapped = str(self._outside).encode().hex().encode()
        return b"AUTH EXTERNAL " + (mapped if found[1].lower() == own else found[1]) + b"\r\n"
