"""Serves the page on the loopback: on both of its addresses, so that nobody else answers under our name."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from ringfence.model.situations import RingfenceError
from ringfence.server.local.passkeys import HOST

_TRIES = 20


def listen(port: int) -> tuple[int, list[socket.socket]]:
    """Sockets on 127.0.0.1 and on ::1, where there is one, with the same port; 0 for any port."""
    for _ in range(1 if port else _TRIES):
        first = _socket(socket.AF_INET, "127.0.0.1", port)
        taken: int = first.getsockname()[1]
        try:
            # SECURITY: a browser may try ::1 first. Whoever listened there would be given the one-time address.
            return taken, [first, _socket(socket.AF_INET6, "::1", taken)]
        except OSError as failure:
            if failure.errno in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
                return taken, [first]
            first.close()
            if port or failure.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, "no port is free on both addresses of the loopback")


def _socket(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((address, port))
        made.listen(64)
    except BaseException:
        made.close()
        raise
    return made


def opened(port: int) -> tuple[str, list[socket.socket]]:
    """The address of the page and its sockets; `RingfenceError` where they cannot be had."""
    try:
        taken, sockets = listen(port)
    except OSError as failure:
        raise RingfenceError(
            f"the page cannot be served on port {port}: {failure.strerror}",
            remedy="name another port with `--port`, or none",
        ) from failure
    return f"http://{HOST}:{taken}", sockets


class _Server(uvicorn.Server):
    """Ends what would go on for ever before it waits for the end of everything."""

    def __init__(self, config: uvicorn.Config, end: Callable[[], None]) -> None:
        super().__init__(config)
        self._end = end

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._end()
        await super().shutdown(sockets)


def server(app: ASGIApp, end: Callable[[], None]) -> uvicorn.Server:
    """The server, which says nothing of itself. `end` is called when it is to end."""
    return _Server(
        uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            lifespan="off",
            limit_concurrency=64,
            h11_max_incomplete_event_size=16384,
            timeout_graceful_shutdown=2,
        ),
        end,
    )
