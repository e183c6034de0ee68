"""WebSocket frames: read strictly into whole messages, and written anew. Bytes in, values out.

A message is put together before anybody looks at it, so that nothing hides between two fragments.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TypeAlias

import msgspec

MOST_MESSAGE = 16 << 20
_MOST_CONTROL = 125


class FrameInvalid(ValueError):
    """The frames are malformed, or a message is too long; the message says which."""


class Opcode(IntEnum):
    """What a frame is."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Message(msgspec.Struct, frozen=True):
    """A whole message."""

    data: bytes
    text: bool


class Control(msgspec.Struct, frozen=True):
    """A ping, a pong or a close."""

    opcode: Opcode
    data: bytes


Item: TypeAlias = Message | Control


class FrameReader:
    """One direction of a WebSocket. Clients mask what they send, servers do not."""

    __slots__ = ("_buffer", "_kind", "_masked", "_message")

    def __init__(self, *, masked: bool) -> None:
        self._masked = masked
        self._buffer = bytearray()
        # In one piece: as a list, a message without an end of empty frames would fill the memory.
        self._message = bytearray()
        self._kind: Opcode | None = None

    def feed(self, data: bytes) -> None:
        """What arrived."""
        self._buffer += data

    @property
    def held(self) -> int:
        """How many bytes wait for the rest of a message."""
        return len(self._buffer) + len(self._message)

    def next(self) -> Item | None:
        """The next message or control frame; None where it is not complete."""
        while (frame := self._frame()) is not None:
            final, opcode, payload = frame
            if opcode >= Opcode.CLOSE:
                return Control(opcode, payload)
            item = self._assemble(final, opcode, payload)
            if item is not None:
                return item
        return None

    def _assemble(self, final: bool, opcode: Opcode, payload: bytes) -> Message | None:
        if (opcode is Opcode.CONTINUATION) != (self._kind is not None):
            raise FrameInvalid("a WebSocket message is continued that was not begun, or begun within another")
        if self._kind is None:
            self._kind = opcode
        if len(self._message) + len(payload) > MOST_MESSAGE:
            raise FrameInvalid(f"a WebSocket message is longer than {MOST_MESSAGE} bytes")
        if final and not self._message:
            whole = payload
        else:
            self._message += payload
            if not final:
                return None
            whole = bytes(self._message)
        message = Message(whole, self._kind is Opcode.TEXT)
        self._message, self._kind = bytearray(), None
        return message

    def _frame(self) -> tuple[bool, Opcode, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        length, at = second & 0x7F, 2
        if length > _MOST_CONTROL:
            wide = 2 if length == 126 else 8
            if len(buffer) < 2 + wide:
                return None
            length, at = int.from_bytes(buffer[2 : 2 + wide], "big"), 2 + wide
        opcode = self._check(first, bool(second & 0x80), length)
        end = at + length + (4 if self._masked else 0)
        if len(buffer) < end:
            return None
        payload = bytes(buffer[end - length : end])
        if self._masked:
            payload = masked(payload, bytes(buffer[at : at + 4]))
        del buffer[:end]
        return bool(first & 0x80), opcode, payload

    def _check(self, first: int, has_mask: bool, length: int) -> Opcode:
        if first & 0x70:
            raise FrameInvalid("a WebSocket frame uses an extension that was not agreed on")
        if has_mask != self._masked:
            raise FrameInvalid("a WebSocket frame is masked where it must not be, or the other way round")
        try:
            opcode = Opcode(first & 0x0F)
        except ValueError:
            raise FrameInvalid("a WebSocket frame has an unknown opcode") from None
        if opcode >= Opcode.CLOSE and (length > _MOST_CONTROL or not first & 0x80):
            raise FrameInvalid("a WebSocket control frame is too long or in pieces")
        if length > MOST_MESSAGE:
            raise FrameInvalid(f"a WebSocket message is longer than {MOST_MESSAGE} bytes")
        return opcode


def frame(opcode: Opcode, data: bytes, mask: bytes | None) -> bytes:
    """One whole frame. `mask` is the four bytes that a client has to choose anew for each."""
    length, bit = len(data), 0x80 if mask else 0
    if length <= _MOST_CONTROL:
        head = bytes((0x80 | opcode, bit | length))
    elif length < 1 << 16:
        head = bytes((0x80 | opcode, bit | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, bit | 127)) + length.to_bytes(8, "big")
    return head + (data if mask is None else mask + masked(data, mask))


def masked(data: bytes, mask: bytes) -> bytes:
    """The bytes under a mask, or out from under it."""
    size = len(data)
    stretched = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(stretched, "little")).to_bytes(size, "little")
