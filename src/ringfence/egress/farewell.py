"""The last stage of a connection that was refused: the client is told why, and given the time to read it."""

from __future__ import annotations

import socket

from ringfence.egress import socks
from ringfence.egress.core import Core
from ringfence.egress.engine import READABLE
from ringfence.egress.refusal import Refusal
from ringfence.model.host import Destination

_DROPPED_AT_MOST = 1 << 20
_ENOUGH = 4096


class Farewell:
    """Says the last words, then waits for the client to close.

    A close with unread bytes is a reset, which takes back what was said; so the rest is read and dropped, up to limits.
    """

    __slots__ = ("_client", "_core", "_dropped", "destination")

    def __init__(self, core: Core, client: socket.socket, last_words: bytes) -> None:
        self.destination: Destination | None = None
        self._core = core
        self._client = client
        self._dropped = 0
        core.enter(self)
        core.expect(self, core.limits.linger_seconds, self._over)
        core.engine.handle(client, self._ready)
        try:
            if last_words:
                client.send(last_words)
            client.shutdown(socket.SHUT_WR)
        except OSError:
            return self._over()
        self._ready(READABLE)
        return None

    def close(self, error: str) -> None:
        """End it now."""
        self._over()

    def _ready(self, events: int) -> None:
        try:
            while data := self._client.recv(65_536):
                self._dropped += len(data)
                if self._dropped > _DROPPED_AT_MOST:
                    break
        except BlockingIOError:
            return
        except OSError:
            pass
        self._over()

    def _over(self) -> None:
        if self in self._core.open:
            self._core.leave(self)
            self._core.engine.discard(self._client)


class Unspoken:
    """Waits for the first bytes of a refused client that believes to speak to its server, to answer in kind. `proxy`:
    it knows that it speaks to us, and is answered in HTTP or SOCKS."""

    __slots__ = ("_client", "_core", "_first", "_proxy", "_refusal", "destination")

    def __init__(
        self, core: Core, client: socket.socket, refusal: Refusal, first: bytes = b"", *, proxy: bool = False
    ) -> None:
        self.destination: Destination | None = None
        self._core = core
        self._client = client
        self._refusal = refusal
        self._first = first
        self._proxy = proxy
        core.enter(self)
        core.expect(self, core.limits.linger_seconds, self._answer)
        core.engine.handle(client, self._ready)
        if self._enough():
            self._answer()
        else:
            self._ready(READABLE)

    def close(self, error: str) -> None:
        """End it now."""
        self._core.leave(self)
        self._core.engine.discard(self._client, reset=True)

    def _ready(self, events: int) -> None:
        try:
            data = self._client.recv(_ENOUGH)
        except BlockingIOError:
            return None
        except OSError:
            return self.close("")
        self._first += data
        if not data or self._enough():
            self._answer()
        return None

    def _enough(self) -> bool:
        """Whether the client's language shows."""
        first = self._first
        if first[:1] == b"\x16" or (self._proxy and first[:1] == b"\x05"):
            return True
        return b"\n" in first or len(first) >= _ENOUGH

    def _answer(self) -> None:
        if self._proxy:
            # A client of SOCKS reads the choice of a method, sends what it wants, and reads the answer to that.
            words = socks.CHOSEN + self._refusal.as_socks()
            last_words = words if self._first[:1] == b"\x05" else self._refusal.as_http()
        else:
            last_words = self._refusal.in_answer_to(self._first)
        if not last_words:
            return self.close("")
        self._core.leave(self)
        Farewell(self._core, self._client, last_words)
        return None
