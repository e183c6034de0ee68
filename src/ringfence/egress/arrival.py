"""The first stage of a connection to the explicit proxy: listens until the client has said where it wants to go."""

from __future__ import annotations

import socket

from ringfence.egress import refusal
from ringfence.egress.core import Core
from ringfence.egress.engine import HANGUP, READABLE
from ringfence.egress.farewell import Farewell
from ringfence.egress.front import Front, Reject, Say, Wanted, tunnel_asked
from ringfence.egress.opening import Opening
from ringfence.egress.pump import CHUNK
from ringfence.model.host import Destination


class Arrival:
    """A client that has not said yet where it wants to go."""

    __slots__ = ("_client", "_core", "_front", "destination")

    def __init__(self, core: Core, client: socket.socket) -> None:
        self.destination: Destination | None = None
        self._core = core
        self._client = client
        self._front: Front | None = None
        """Where it says it in pieces, or anything but the usual."""
        core.open.add(self)
        core.expect(self, core.limits.head_seconds, self._too_late)
        core.engine.watch(client, self._ready)

    def close(self, error: str) -> None:
        """End it; nothing was asked for yet, so nothing is recorded."""
        self._core.leave(self)
        self._core.engine.discard(self._client)

    def _ready(self, events: int) -> None:
        if not events & READABLE:
            return None
        try:
            while True:
                data = self._client.recv(CHUNK)
                if not data:
                    return self.close("")
                unread = len(data) == CHUNK
                if self._advance(data, READABLE if unread else events & HANGUP) or not unread:
                    return None
        except BlockingIOError:
            return None
        except OSError:
            return self.close("")

    def _advance(self, data: bytes, edges: int) -> bool:
        """Whether the stage is over."""
        usual = self._front is None and len(data) <= self._core.limits.head
        step = tunnel_asked(data) if usual else None
        if step is None:
            front = self._front = self._front or Front(self._core.limits)
            step = front.feed(data)
            while isinstance(step, Say):
                self._client.send(step.data)
                step = front.feed(b"")
        if isinstance(step, Wanted):
            self._core.leave(self)
            if step.head is not None and self._core.inspector is not None:
                self._core.inspector.take_plain(self._client, step, edges)
            else:
                Opening(self._core, self._client, step, edges=edges)
        elif isinstance(step, Reject):
            self._reject(step)
        return step is not None

    def _too_late(self) -> None:
        front = self._front or Front(self._core.limits)
        self._reject(front.reject(refusal.too_late(self._core.limits.head_seconds)))

    def _reject(self, step: Reject) -> None:
        self._core.leave(self)
        Farewell(self._core, self._client, step.data)
