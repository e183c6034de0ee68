"""SSH's bytes before its encryption begins: a line that says the version, then packets. Bytes in, parts out.

Strict where implementations differ: what two of them could read differently is refused.
"""

from __future__ import annotations

import msgspec

_LONGEST_LINE = 8192
_LONGEST_VERSION = 255
_MOST_LINES = 256
_LONGEST_PACKET = 65_536
_BLOCK = 8

DISCONNECT, IGNORE, UNIMPLEMENTED, DEBUG = 1, 2, 3, 4
KEXINIT, NEWKEYS = 20, 21
_NOT_VERIFIABLE = 9


class SshInvalid(Exception):
    """What is said is not SSH, or can be read in two ways."""


class Part(msgspec.Struct, frozen=True):
    """One line or packet."""

    raw: bytes
    """As it came."""
    payload: bytes | None
    """Of a packet; None for a line."""


class Stream:
    """One direction. `lines`: whether lines may come before the version, as they may from a server."""

    __slots__ = ("_count", "_data", "_lines", "version")

    def __init__(self, *, lines: bool) -> None:
        self.version = b""
        """What the line says, once it came."""
        self._data = b""
        self._lines = lines
        self._count = 0

    def feed(self, data: bytes) -> None:
        """More bytes."""
        self._data += data

    @property
    def left(self) -> bytes:
        """What was fed and is in no part yet."""
        return self._data

    def next(self) -> Part | None:
        """The next part; None while it is not complete."""
        return self._packet() if self.version else self._line()

    def _line(self) -> Part | None:
        end = self._data.find(b"\n")
        if end < 0:
            if len(self._data) > _LONGEST_LINE:
                raise SshInvalid("a line before the version does not end")
            return None
        raw = self._take(end + 1)
        if b"\0" in raw:
            raise SshInvalid("a line before the key exchange holds bytes that no text has")
        if raw.startswith(b"SSH-"):
            if not raw.startswith((b"SSH-2.0-", b"SSH-1.99-")) or len(raw) > _LONGEST_VERSION:
                raise SshInvalid("the version is not one of SSH 2")
            self.version = raw.rstrip(b"\r\n")
        else:
            self._count += 1
            if not self._lines or self._count > _MOST_LINES or len(raw) > _LONGEST_LINE:
                raise SshInvalid("it does not begin with the version of SSH")
        return Part(raw, None)

    def _packet(self) -> Part | None:
        if len(self._data) < 5:
            return None
        length, padding = int.from_bytes(self._data[:4], "big"), self._data[4]
        if not 6 <= length <= _LONGEST_PACKET or (4 + length) % _BLOCK or not 4 <= padding < length - 1:
            raise SshInvalid("a packet has an impossible length")
        if len(self._data) < 4 + length:
            return None
        raw = self._take(4 + length)
        return Part(raw, raw[5 : 4 + length - padding])

    def _take(self, count: int) -> bytes:
        taken, self._data = self._data[:count], self._data[count:]
        return taken


def string(data: bytes, at: int) -> tuple[bytes, int]:
    """The string at a place, and the place behind it."""
    end = at + 4 + int.from_bytes(data[at : at + 4], "big")
    if at + 4 > len(data) or end > len(data):
        raise SshInvalid("a field ends outside its packet")
    return data[at + 4 : end], end


def packet(payload: bytes) -> bytes:
    """A packet without encryption."""
    padding = _BLOCK - (5 + len(payload)) % _BLOCK
    padding += _BLOCK if padding < 4 else 0
    return (1 + len(payload) + padding).to_bytes(4, "big") + bytes([padding]) + payload + bytes(padding)


def disconnect(text: str) -> bytes:
    """The packet that ends a connection before its encryption, with words that clients show."""
    words = " ".join(text.split()).encode("ascii", "replace")
    code = _NOT_VERIFIABLE.to_bytes(4, "big")
    return packet(bytes([DISCONNECT]) + code + len(words).to_bytes(4, "big") + words + bytes(4))


VERSION = b"SSH-2.0-ringfence\r\n"
"""What we say where a client has heard of no server yet."""
