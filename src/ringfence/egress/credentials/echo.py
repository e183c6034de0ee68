"""Finds the values of credentials in what comes back, across the borders of its pieces, in the spellings of the wire.

A server that repeats what it was sent would otherwise hand the credential inside. What is found is replaced by text of
the same length. It finds a value as it is, percent-encoded, in hexadecimal and in base64, and no other disguise.
"""

from __future__ import annotations

import re
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Protocol
from urllib.parse import quote

from ringfence.egress.credentials.secret import Credential

_SHORTEST = 8
"""A spelling shorter than this would be found in text that has nothing to do with it."""

_ESCAPE = re.compile(r"%[0-9A-F]{2}")


class Echo:
    """The values that must not come back."""

    def __init__(self, credentials: Iterable[Credential]) -> None:
        self._stand_ins: dict[bytes, bytes] = {}
        for credential in credentials:
            for value in _values(credential):
                for spelling in _spellings(value):
                    self._stand_ins.setdefault(spelling, b"*" * len(spelling))
                if len(credential.placeholder) == len(value) and credential.standing is None:
                    self._stand_ins[value.encode()] = credential.placeholder.encode()
        # The longest first: a value may begin with another one.
        ordered = sorted(self._stand_ins, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, ordered))) if ordered else None
        self._longest = max(map(len, ordered), default=0)
        firsts = sorted({one[:1] for one in ordered})
        self._first = re.compile(b"[" + b"".join(map(re.escape, firsts)) + b"]") if firsts else None

    def replaced(self, data: bytes) -> tuple[bytes, int]:
        """A whole text without the values, and how many there were."""
        if self._pattern is None:
            return data, 0
        return self._pattern.subn(lambda found: self._stand_ins[found[0]], data)

    def held_back(self, data: bytes) -> int:
        """How many bytes at the end of a piece may be the beginning of a value."""
        if self._first is None:
            return 0
        start = max(len(data) - self._longest + 1, 0)
        for found in self._first.finditer(data, start):
            tail = data[found.start() :]
            if any(len(one) > len(tail) and one.startswith(tail) for one in self._stand_ins):
                return len(tail)
        return 0


class EchoStream:
    """One body, piece by piece."""

    def __init__(self, echo: Echo) -> None:
        self._echo = echo
        self._held = b""
        self.found = 0

    def take(self, data: bytes) -> bytes:
        """What may go on now."""
        passed, found = self._echo.replaced(self._held + data)
        self.found += found
        held = self._echo.held_back(passed)
        cut = len(passed) - held
        self._held = passed[cut:]
        return passed[:cut]

    def finish(self) -> bytes:
        """What was kept back."""
        rest, self._held = self._held, b""
        return rest


class Unpacked(Protocol):
    """A decompressor."""

    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes:
        """As much as fits."""
        ...

    @property
    def unconsumed_tail(self) -> bytes:
        """What was not read yet."""
        ...


class Packed:
    """A compressed body that goes on as it is while its content is looked at."""

    def __init__(self, coding: str, echo: Echo) -> None:
        self._stream = EchoStream(echo)
        self._unpack: Unpacked = zlib.decompressobj(31 if coding in ("gzip", "x-gzip") else 15)

    @staticmethod
    def knows(coding: str) -> bool:
        """Whether a coding can be looked into."""
        return coding in ("gzip", "x-gzip", "deflate")

    def has_value(self, data: bytes) -> bool:
        """Whether a value came with this piece; `ValueError` where it cannot be unpacked."""
        try:
            while data:
                self._stream.take(self._unpack.decompress(data, 1 << 20))
                data = self._unpack.unconsumed_tail
        except zlib.error as error:
            raise ValueError(str(error)) from None
        return self._stream.found > 0


def _values(credential: Credential) -> Iterator[str]:
    yield credential.secret.reveal()
    if credential.aws is not None and credential.aws.session is not None:
        yield credential.aws.session.reveal()


def _spellings(value: str) -> Iterator[bytes]:
    raw = value.encode()
    yield raw
    escaped = quote(value, safe="")
    yield from (escaped.encode(), _ESCAPE.sub(lambda found: found[0].lower(), escaped).encode())
    yield value.replace("\\", "\\\\").replace('"', '\\"').replace("/", "\\/").encode()
    yield from (raw.hex().encode(), raw.hex().upper().encode())
    yield from _in_base64(raw)


def _in_base64(raw: bytes) -> Iterator[bytes]:
    """A value inside a longer text, in base64: by where it starts there are three spellings of all but its ends."""
    for before in range(3):
        coded = b64encode(b"\0" * before + raw)
        # Letters that also depend on what stands before and behind.
        start = (0, 2, 3)[before]
        end = (before + len(raw)) // 3 * 4
        middle = coded[start:end]
        if len(middle) >= _SHORTEST:
            yield middle
            yield middle.translate(bytes.maketrans(b"+/", b"-_"))
