"""Unpacks what is compressed, piece by piece and within limits: a small body must not become a large one in here.

It knows gzip, deflate, Brotli, Zstandard, bzip2 and xz. Whatever is wrong with a packed body, `Unreadable` says why it
was not looked into.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

_STEP = 256
"""Bytes that are given to a decompressor at once which does not let itself be limited otherwise."""
_BROTLI_STEP = 1024
_XZ_MEMORY = 64 << 20
MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
)
"""How a packed body begins, whatever its head says."""


class Unreadable(Exception):
    """Something was not looked into; the text says what and why."""

    def __init__(self, why: str, *, before: bytes = b"", follows: bool = False) -> None:
        super().__init__(why)
        self.before = before
        """What of the piece could be unpacked."""
        self.follows = follows
        """Whether all that is packed was unpacked, and something else stands behind it."""


class Room:
    """How much may come out of what goes in, and how much in all."""

    def __init__(self, most: int, ratio: int, free: int) -> None:
        """`free`: bytes for which no ratio is asked."""
        self._left = most
        self._ratio = ratio
        self._out = -free
        self._in = 0

    def took(self, size: int) -> None:
        """So much went in."""
        self._in += size

    def gave(self, size: int) -> None:
        """So much came out; `Unreadable` where that is too much."""
        self._out += size
        self._left -= size
        if self._left < 0:
            raise Unreadable("it is longer than what is looked into, when it is unpacked")
        if self._out > self._in * self._ratio:
            raise Unreadable("it grows too much when it is unpacked")


class Unpacker(Protocol):
    """One layer of packing."""

    def feed(self, data: bytes) -> bytes:
        """What a piece gives."""
        ...

    def at_end(self) -> bool:
        """Whether nothing is missing behind what was fed."""
        ...


class _Zlib:
    """gzip and deflate, also several one behind the other."""

    def __init__(self, room: Room, window: int) -> None:
        self._room = room
        self._window = window
        self._unpack = zlib.decompressobj(window)
        self._begun = False
        self._whole = True

    def at_end(self) -> bool:
        return self._whole

    def feed(self, data: bytes) -> bytes:
        out = []
        self._room.took(len(data))
        if not self._begun and data and self._window == zlib.MAX_WBITS and not _has_zlib_head(data):
            self._window = -zlib.MAX_WBITS  # what many call deflate has no head
            self._unpack = zlib.decompressobj(self._window)
        self._begun = self._begun or bool(data)
        while data:
            try:
                part = self._unpack.decompress(data, 1 << 18)
            except zlib.error as error:
                raise Unreadable(f"it cannot be unpacked: {error}") from None
            self._room.gave(len(part))
            out.append(part)
            data = self._unpack.unconsumed_tail
            self._whole = self._unpack.eof
            if self._unpack.eof:
                data = self._unpack.unused_data.lstrip(b"\0")
                self._unpack = zlib.decompressobj(self._window)
                if data and self._window == zlib.MAX_WBITS | 16 and not data.startswith(b"\x1f"):
                    raise Unreadable("something else follows what is packed", before=b"".join(out), follows=True)
        return b"".join(out)


class _Stepwise:
    """A decompressor that gives all that it can, and is fed a little at a time. Packed parts may follow one another."""

    def __init__(self, room: Room, coding: str) -> None:
        self._room = room
        self._open = _OPENED[coding]
        self._step = _STEP if coding == "zstd" else _BROTLI_STEP
        self._one = self._open()
        self._begun = False

    def at_end(self) -> bool:
        return not self._begun or self._one.ended()

    def feed(self, data: bytes) -> bytes:
        out: list[bytes] = []
        at = 0
        while at < len(data):
            piece = data[at : at + self._step]
            at += len(piece)
            self._room.took(len(piece))
            while piece:
                try:
                    if self._begun and self._one.ended():
                        self._one = self._open()
                    self._begun = True
                    part = self._one.feed(piece)
                except Exception as error:  # noqa: BLE001 - each library has its own, and all mean the same
                    follows = not self._one.given
                    raise Unreadable(
                        "something else follows what is packed"
                        if follows and out
                        else f"it cannot be unpacked: {error}",
                        before=b"".join(out),
                        follows=follows and bool(out),
                    ) from None
                self._room.gave(len(part))
                out.append(part)
                piece = self._one.unused() if self._one.ended() else b""
        return b"".join(out)


class _One(Protocol):
    """A decompressor of some library."""

    given: bool
    """Whether it has taken anything without an error."""

    def feed(self, data: bytes) -> bytes: ...

    def ended(self) -> bool: ...

    def unused(self) -> bytes: ...


class _Feeds(Protocol):
    def __call__(self, data: bytes, /) -> bytes: ...


class _Library:
    """What the libraries have in common."""

    def __init__(self, feed: _Feeds, ended: Callable[[], bool], unused: Callable[[], bytes]) -> None:
        self.given = False
        self._feed = feed
        self.ended = ended
        self.unused = unused

    def feed(self, data: bytes) -> bytes:
        """What a piece gives."""
        found = self._feed(data)
        self.given = True
        return found


def _brotli() -> _One:
    import brotli  # type: ignore[import-untyped]

    one = brotli.Decompressor()
    return _Library(one.process, one.is_finished, lambda: b"")


def _zstd() -> _One:
    import zstandard

    one = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj(read_across_frames=False)
    return _Library(one.decompress, lambda: one.eof, lambda: one.unused_data)


def _bzip2() -> _One:
    one = bz2.BZ2Decompressor()
    return _Library(one.decompress, lambda: one.eof, lambda: one.unused_data)


def _xz() -> _One:
    one = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
    return _Library(one.decompress, lambda: one.eof, lambda: one.unused_data)


_OPENED: dict[str, Callable[[], _One]] = {"br": _brotli, "zstd": _zstd, "bzip2": _bzip2, "xz": _xz}


def unpacker(coding: str, room: Room) -> Unpacker:
    """For one coding; `Unreadable` where it is not known."""
    match coding:
        case "gzip" | "x-gzip":
            return _Zlib(room, zlib.MAX_WBITS | 16)
        case "deflate":
            return _Zlib(room, zlib.MAX_WBITS)
        case "br" | "zstd" | "bzip2" | "xz":
            return _Stepwise(room, coding)
        case _:
            shown = "".join(one for one in coding[:40] if one.isalnum() or one in "-_. ")
            raise Unreadable(f"it is packed as `{shown}`, which is not known here")


def packed_as(data: bytes) -> str:
    """The coding that a body begins with; nothing where it begins with none."""
    return next((coding for magic, coding in MAGIC if data.startswith(magic)), "")


def _has_zlib_head(data: bytes) -> bool:
    return data[0] & 0x0F == 8 and (len(data) < 2 or (data[0] << 8 | data[1]) % 31 == 0)
