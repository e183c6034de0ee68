"""Looks at the frames of one side before anything else does: counts what costs us work and moves nothing, and takes
GOAWAY out, which has to end the connection for new requests only.

Bytes and the time in, bytes out. It knows frame headers, and nothing of what frames hold.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER = 9
_END_STREAM = 0x1
_LONGEST_GOAWAY = 16_384

MOST = 2_000
"""What a peer may cost at once."""
PER_SECOND = 200
PER_FRAME_SENT = 3
"""What a frame that we send brings: each is answered by a window update or two."""


class Kind(IntEnum):
    """The frames that are of interest here."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    GOAWAY = 7


# SECURITY: rapid resets, and floods of settings, pings, priorities, window updates, empty and unknown frames: each
# frame is a few bytes for the one who sends it, and work for us, or for whoever decides and records.
_COSTS: dict[int, int] = {Kind.HEADERS: 0, Kind.RST_STREAM: 4, Kind.SETTINGS: 4}


class Flood(Exception):
    """The peer sends more of what moves nothing than it may."""


class GoAway(msgspec.Struct, frozen=True, kw_only=True):
    """The peer takes no further requests."""

    last: int
    """The last stream that it may have done something about."""
    code: int


class Frames:
    """The frames of one connection in one direction."""

    __slots__ = ("_budget", "_collected", "_collecting", "_header", "_left", "_preface", "_seen")

    def __init__(self, now: float, *, preface: bool) -> None:
        self._preface = len(PREFACE) if preface else 0
        self._header = b""
        self._left = 0
        self._collecting = False
        self._collected = b""
        self._budget = float(MOST)
        self._seen = now

    def sent(self, frames: int) -> None:
        """We sent frames that make the peer answer."""
        self._budget = min(MOST, self._budget + frames * PER_FRAME_SENT)

    def take(self, data: bytes, now: float) -> tuple[bytes, list[GoAway]]:
        """What somebody else is to read, and what the peer said about going away; `Flood` where it is too much."""
        self._budget = min(MOST, self._budget + (now - self._seen) * PER_SECOND)
        self._seen = now
        passed: list[bytes] = []
        farewells: list[GoAway] = []
        at = min(self._preface, len(data))
        self._preface -= at
        start = 0
        while at < len(data):
            if self._left:
                moved = min(self._left, len(data) - at)
                if self._collecting:
                    self._collected += data[at : at + moved]
                self._left -= moved
                at += moved
                if self._collecting and not self._left:
                    start = at
                    farewells.append(self._farewell())
                continue
            missing = _HEADER - len(self._header)
            before = at
            self._header += data[at : at + missing]
            at = min(len(data), at + missing)
            if len(self._header) < _HEADER:
                # Nothing of a header goes on before it is known whose it is.
                passed.append(data[start:before])
                return b"".join(passed), farewells
            header, self._header = self._header, b""
            self._left = int.from_bytes(header[:3], "big")
            self._count(header)
            if header[3] == Kind.GOAWAY:
                passed.append(data[start:before])
                self._begin_farewell()
                start = at
            elif missing < _HEADER:
                # Its beginning came with the bytes before.
                passed.append(header)
                start = at
        if not self._collecting:
            passed.append(data[start:])
        return b"".join(passed) if len(passed) > 1 else passed[0] if passed else b"", farewells

    def _begin_farewell(self) -> None:
        if not 8 <= self._left <= _LONGEST_GOAWAY:
            raise Flood("a GOAWAY frame has a length that none has")
        self._collecting, self._collected = True, b""

    def _farewell(self) -> GoAway:
        self._collecting = False
        last, code = self._collected[:4], self._collected[4:8]
        return GoAway(last=int.from_bytes(last, "big") & 0x7FFFFFFF, code=int.from_bytes(code, "big"))

    def _count(self, header: bytes) -> None:
        kind, flags = header[3], header[4]
        if kind == Kind.DATA and (self._left or flags & _END_STREAM):
            return
        self._budget -= _COSTS.get(kind, 1)
        if self._budget < 0:
            raise Flood("it sends frame after frame that moves nothing")
