"""Identifiers: ULIDs, which sort by the time they were made. Time and randomness come in as arguments."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import lru_cache

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _CROCKFORD for second in _CROCKFORD)
"""Two digits at once: every event of the record has an identifier."""

NewId = Callable[[], str]
"""Makes one identifier per call; a test hands in a counting one."""


def ulid(milliseconds: int, randomness: bytes) -> str:
    """The ULID of a moment (milliseconds since the epoch) and 10 random bytes, in lower-case Crockford base 32."""
    if len(randomness) != 10:
        raise ValueError(f"a ULID takes 10 random bytes, not {len(randomness)}")
    high, low = int.from_bytes(randomness[:5], "big"), int.from_bytes(randomness[5:], "big")
    # Written out: it is a quarter of the time that a loop takes.
    return (
        f"{_moment(milliseconds)}{_PAIRS[high >> 30]}{_PAIRS[high >> 20 & 1023]}{_PAIRS[high >> 10 & 1023]}"
        f"{_PAIRS[high & 1023]}{_PAIRS[low >> 30]}{_PAIRS[low >> 20 & 1023]}{_PAIRS[low >> 10 & 1023]}"
        f"{_PAIRS[low & 1023]}"
    )


@lru_cache(maxsize=1)
def _moment(milliseconds: int) -> str:
    """The ten digits of the time, which are the same for all that is made in a millisecond."""
    moment = milliseconds & (1 << 48) - 1
    return "".join([_PAIRS[moment >> at & 1023] for at in range(40, -1, -10)])


def new_id() -> str:
    """A fresh ULID from the system's clock and random source."""
    return ulid(time.time_ns() // 1_000_000, os.urandom(10))
