"""What the browser was asked to have signed, until it comes back: each once, for two minutes, not too many at once."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ringfence.model.assertion import Statement

LASTS_SECONDS = 120
AT_ONCE = 32


class Ceremony(msgspec.Struct, frozen=True, kw_only=True):
    """One challenge that is out."""

    challenge: bytes
    until: float
    statement: Statement | None = None
    """The answer that it is for; None for a new passkey."""


class Ceremonies:
    """The challenges that are out."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._out: dict[str, Ceremony] = {}

    def begin(self, name: str, challenge: bytes, statement: Statement | None = None) -> None:
        """Put a challenge out. The oldest one goes where there are too many."""
        while len(self._out) >= AT_ONCE:
            self._out.pop(next(iter(self._out)))
        self._out[name] = Ceremony(challenge=challenge, until=self._clock() + LASTS_SECONDS, statement=statement)

    def end(self, name: str) -> Ceremony | None:
        """Take one back; None where there is none, it was taken before, or it is too old."""
        # SECURITY: taken away before it is checked, so that nobody tries twice on one challenge.
        found = self._out.pop(name, None)
        return found if found is not None and self._clock() < found.until else None
