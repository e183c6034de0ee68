"""Identifiers: ULIDs, which sort by the time they were made. Time and randomness come in as arguments."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _CROCKFORD for second in _CROCKFORD)
"""Two digits at once: every event of the record has an identifier."""

NewId = Callable[[], str]
"""Makes one identifier per call; a test hands in a counting one."""


def ulid(milliseconds: int, randomness: bytes) -> str:
    """The ULID of a moment (milliseconds since the epoch) and 10 random bytes, in lower-case Crockford base 32."""
    if len(randomness) != 10:
        raise ValueError(f"a ULID takes 10 random bytes, not {len(randomness)}")
    number = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(randomness, "big")
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


def new_id() -> str:
    """A fresh ULID from the system's clock and random source."""
    return ulid(time.time_ns() // 1_000_000, os.urandom(10))
