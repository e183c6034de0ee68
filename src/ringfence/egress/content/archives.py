"""Archives that are read while they pass: the files of a zip and the objects of a pack of Git, one behind the other.

What stands around them is given as it is, so that nothing is hidden by a beginning that only looks like an archive.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from enum import Enum

from ringfence.egress.content.unpacking import Room, Unreadable

PACK = b"PACK\0\0\0\2"
ZIP = b"PK\3\4"
_ZIP_HEAD = 30
_LONGEST_NAMES = 8192
_LONGEST_OBJECT_HEAD = 64
_OTHER_METHODS = frozenset((9, 12, 14, 93, 95, 97, 98, 99))


class _State(Enum):
    OUTSIDE = "outside"
    HEAD = "head"
    DEFLATED = "deflated"
    STORED = "stored"


class _Archive(ABC):
    """What both have in common: a beginning, heads, and deflated texts."""

    magic: bytes
    window: int

    def __init__(self, room: Room) -> None:
        self._room = room
        self._state = _State.OUTSIDE
        self._buffer = b""
        self._inflate = zlib.decompressobj(self.window)
        self._left = 0

    def at_end(self) -> bool:
        """Whether no file or object is cut short."""
        return self._state is _State.OUTSIDE

    def rest(self) -> bytes:
        """What waits for something that did not come."""
        return self._buffer

    def feed(self, data: bytes) -> bytes:
        """What a piece gives; `Unreadable` with what is left where it cannot be read on."""
        self._room.took(len(data))
        self._buffer += data
        out: list[bytes] = []
        try:
            while self._step(out):
                pass
        except zlib.error as error:
            why = f"a part of it cannot be unpacked: {error}"
        except Unreadable as unreadable:
            why = str(unreadable)
        else:
            return b"".join(out)
        rest, self._buffer, self._state = self._buffer, b"", _State.OUTSIDE
        raise Unreadable(why, before=b"".join((*out, b"\n", rest)))

    def _step(self, out: list[bytes]) -> bool:
        """Whether there may be more to do with what is there."""
        match self._state:
            case _State.OUTSIDE:
                return self._find(out)
            case _State.HEAD:
                return self._head(out)
            case _State.STORED:
                part, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
                self._left -= len(part)
                self._gave(part, out)
                if not self._left:
                    self._state = _State.OUTSIDE
                return not self._left
            case _State.DEFLATED:
                return self._inflated(out)

    def _find(self, out: list[bytes]) -> bool:
        at = self._buffer.find(self.magic)
        if at < 0:
            # What may be the beginning of one waits for the rest.
            kept = next(
                (size for size in range(len(self.magic) - 1, 0, -1) if self._buffer.endswith(self.magic[:size])), 0
            )
            cut = len(self._buffer) - kept
            self._gave(self._buffer[:cut], out)
            self._buffer = self._buffer[cut:]
            return False
        self._gave(self._buffer[:at], out)
        self._buffer, self._state = self._buffer[at:], _State.HEAD
        return True

    @abstractmethod
    def _head(self, out: list[bytes]) -> bool:
        """Read what stands before a deflated text; whether there was enough of it."""

    def _after(self) -> _State:
        """What follows a deflated text."""
        return _State.OUTSIDE

    def _inflated(self, out: list[bytes]) -> bool:
        if not self._buffer:
            return False
        self._gave(self._inflate.decompress(self._buffer, 1 << 18), out)
        if self._inflate.eof:
            self._buffer = self._inflate.unused_data
            out.append(b"\n")
            self._state = self._after()
        else:
            self._buffer = self._inflate.unconsumed_tail
        return True

    def _begin(self) -> None:
        self._inflate = zlib.decompressobj(self.window)
        self._state = _State.DEFLATED

    def _gave(self, part: bytes, out: list[bytes]) -> None:
        self._room.gave(len(part))
        out.append(part)


class GitPack(_Archive):
    """Each object has a head of a few bytes, then a deflated text."""

    magic = PACK
    window = zlib.MAX_WBITS

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self._objects = -1

    def _head(self, out: list[bytes]) -> bool:
        data = self._buffer
        if self._objects < 0:
            if len(data) < len(PACK) + 4:
                return False
            self._objects, self._buffer = int.from_bytes(data[8:12], "big"), data[12:]
            return True
        if self._objects == 0:
            self._objects, self._state = -1, _State.OUTSIDE
            return True
        end = _object_head(data)
        if end is None:
            if len(data) > _LONGEST_OBJECT_HEAD:
                raise Unreadable("a pack of Git has an object that cannot be read")
            return False
        self._objects -= 1
        self._buffer = data[end:]
        self._begin()
        return True

    def _after(self) -> _State:
        return _State.HEAD


class Zip(_Archive):
    """Each file has a head with its name, then a text that is deflated or stored."""

    magic = ZIP
    window = -zlib.MAX_WBITS

    def _head(self, out: list[bytes]) -> bool:
        data = self._buffer
        if len(data) < _ZIP_HEAD:
            return False
        names = int.from_bytes(data[26:28], "little") + int.from_bytes(data[28:30], "little")
        flags, method = int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
        size = int.from_bytes(data[18:22], "little")
        if names > _LONGEST_NAMES or not (method in (0, 8) or method in _OTHER_METHODS):
            # Not the head of a file, but something that begins like one.
            self._gave(data[: len(ZIP)], out)
            self._buffer, self._state = data[len(ZIP) :], _State.OUTSIDE
            return True
        if len(data) < _ZIP_HEAD + names:
            return False
        self._gave(data[_ZIP_HEAD : _ZIP_HEAD + names] + b"\n", out)
        self._buffer = data[_ZIP_HEAD + names :]
        if flags & 1:
            raise Unreadable("a file in it is encrypted")
        if method in _OTHER_METHODS:
            raise Unreadable(f"a file in it is packed by method {method}")
        if method == 8:
            self._begin()
        elif size and not flags & 8:
            self._left, self._state = size, _State.STORED
        else:
            self._state = _State.OUTSIDE
        return True


def _object_head(data: bytes) -> int | None:
    """Where the head of an object ends; None where more of it has to come."""
    at = 0
    kind = data[0] >> 4 & 7 if data else 0
    while at < len(data) and data[at] & 0x80:
        at += 1
    at += 1
    if kind == 6:
        while at < len(data) and data[at] & 0x80:
            at += 1
        at += 1
    elif kind == 7:
        at += 20
    return at if at <= len(data) and data else None
