"""The words between a session and its ledger's writer: length-prefixed frames on a stream socket.

Standard library only. Both ends refuse what no peer of ours would send.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ringfence.telemetry.entries import MAX_CONTENT

EVENT = ord("E")
"""To the writer: id, name of the event and content, separated by a zero byte. Somebody waits for its receipt."""
NOTE = ord("N")
"""The same, of an event that nobody waits for: it may wait a little for others, and reach the disk with them."""
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


def event_frame(kind: int, event_id: str, name: str, content: bytes) -> bytes:
    """The frame that asks for an event to be recorded."""
    return frame(kind, b"%b\0%b\0%b" % (event_id.encode("ascii"), name.encode("ascii"), content))


def receipts_frame(receipts: list[tuple[int, int]]) -> bytes:
    """The frame that acknowledges events."""
    return frame(RECEIPTS, b"".join([_RECEIPT.pack(*receipt) for receipt in receipts]))


def receipts_in(payload: bytes) -> Iterator[tuple[int, int]]:
    """The sequence and time of each acknowledged event."""
    receipts: Iterator[tuple[int, int]] = _RECEIPT.iter_unpack(payload)
    return receipts


class Frames:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._rest = bytearray()
        """The beginning of a frame that is not whole yet."""
        self._whole = 0
        """How long it has to be before it is worth looking at it again."""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """The frames that are complete with what was read; `ValueError` for one that no peer of ours would send."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._whole:
                return []
            data = bytes(self._rest)
        found: list[tuple[int, bytes]] = []
        start, size, self._whole = 0, len(data), 0
        while size - start >= _HEAD.size:
            length, kind = _HEAD.unpack_from(data, start)
            if length > _LIMIT:
                raise ValueError(f"a frame of {length} bytes is over the limit of {_LIMIT}")
            end = start + _HEAD.size + length
            if end > size:
                self._whole = end - start
                break
            found.append((kind, data[start + _HEAD.size : end]))
            start = end
        self._rest = bytearray(data[start:])
        return found
