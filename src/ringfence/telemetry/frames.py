"""The words between a session and its ledger's writer: length-prefixed frames on a stream socket.

Standard library only. Both ends refuse what no peer of ours would send.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ringfence.telemetry.entries import MAX_CONTENT

EVENT = ord("E")
"""To the writer: id, name of the event and content, separated by a zero byte."""
RECEIPTS = ord("R")
"""From the writer: one sequence and time for each event, in the order they came, after they are durable."""
BROKEN = ord("X")
"""From the writer: the kind of failure and its text, separated by a zero byte. Nothing else follows."""

_HEAD = struct.Struct("!IB")
_RECEIPT = struct.Struct("!QQ")
_LIMIT = MAX_CONTENT + 1024


def frame(kind: int, payload: bytes = b"") -> bytes:
    """One frame, ready to send."""
    return _HEAD.pack(len(payload), kind) + payload


def event_frame(event_id: str, name: str, content: bytes) -> bytes:
    """The frame that asks for an event to be recorded."""
    return frame(EVENT, b"\0".join((event_id.encode("ascii"), name.encode("ascii"), content)))


def receipts_frame(receipts: list[tuple[int, int]]) -> bytes:
    """The frame that acknowledges events."""
    return frame(RECEIPTS, b"".join(_RECEIPT.pack(*receipt) for receipt in receipts))


def receipts_in(payload: bytes) -> Iterator[tuple[int, int]]:
    """The sequence and time of each acknowledged event."""
    for sequence, time_ns in _RECEIPT.iter_unpack(payload):
        yield int(sequence), int(time_ns)


class Frames:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Add what was read."""
        self._buffer += data

    def next(self) -> tuple[int, bytes] | None:
        """The next complete frame; `ValueError` for one that no peer of ours would send."""
        if len(self._buffer) < _HEAD.size:
            return None
        length, kind = _HEAD.unpack_from(self._buffer)
        if length > _LIMIT:
            raise ValueError(f"a frame of {length} bytes is over the limit of {_LIMIT}")
        end = _HEAD.size + length
        if len(self._buffer) < end:
            return None
        payload = bytes(memoryview(self._buffer)[_HEAD.size : end])
        del self._buffer[:end]
        return kind, payload
