"""What happens when there are too many connections, or no descriptor for one more: the newest are turned away with the
reason, those that are open go on, and it is on record.

Every client that is turned away is told at once, and of a flood of them one event is made in a while.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable

from ringfence.model.event import LimitReached
from ringfence.model.ports import Clock

logger = logging.getLogger(__name__)

NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
CONNECTIONS, DESCRIPTORS, HELD_BYTES = "connections", "descriptors", "held_bytes"
_TOLD_EVERY_SECONDS = 60.0
_PATIENCE_SECONDS = 1.0
_AT_ONCE = 256


class Overload:
    """Counts who was turned away, and keeps one descriptor back to do that with."""

    def __init__(self, clock: Clock, on_limit: Callable[[LimitReached], None]) -> None:
        self._clock = clock
        self._on_limit = on_limit
        self._told: dict[str, float] = {}
        self._refused: dict[str, int] = {}
        self._spare = _spare()
        self._exhausted_since: float | None = None

    def refused(self, limit: str, allowed: int) -> None:
        """One client was turned away."""
        self._refused[limit] = self._refused.get(limit, 0) + 1
        now = self._clock.monotonic()
        if now - self._told.get(limit, -_TOLD_EVERY_SECONDS) < _TOLD_EVERY_SECONDS:
            return
        self._told[limit] = now
        event = LimitReached(
            limit=limit,
            allowed=allowed,
            seen=allowed + self._refused[limit],
            outcome="refused",
            keeper="gateway",
            program="",
            layer="built-in",
            source="gateway",
        )
        try:
            self._on_limit(event)
        except Exception:
            logger.exception("a limit that was reached could not be reported; the client is turned away all the same")

    def accepted(self) -> None:
        """There was a descriptor."""
        self._exhausted_since = None

    def exhausted(self, listener: socket.socket, open_connections: int) -> None:
        """There is no descriptor for a client that waits. For a moment it may wait, because others end; then everybody
        who waits is turned away rather than left hanging."""
        now = self._clock.monotonic()
        if self._exhausted_since is None:
            self._exhausted_since = now
        if now - self._exhausted_since >= _PATIENCE_SECONDS:
            self._turn_away(listener, open_connections)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None

    def _turn_away(self, listener: socket.socket, open_connections: int) -> None:
        for _ in range(_AT_ONCE):
            if self._spare is not None:
                os.close(self._spare)
                self._spare = None
            try:
                client, _ = listener.accept()
            except OSError:
                break
            # A reset: an orderly end could be taken for an answer.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
            self._spare = _spare()
            self.refused(DESCRIPTORS, open_connections)
        if self._spare is None:
            self._spare = _spare()


def _spare() -> int | None:
    try:
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
