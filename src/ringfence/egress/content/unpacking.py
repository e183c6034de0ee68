"""Unpacks what is compressed, piece by piece and within limits: a small body must not become a large one in here.

It knows gzip, deflate, Brotli, Zstandard, bzip2 and xz. Whatever is wrong with a packed body, `Unreadable` says why it
was not looked into.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol, Self

_STEP = 256
"""Bytes that are given to a decompressor at once which does not let itself be limited otherwise."""
_BROTLI_STEP = 1024
_XZ_MEMORY = 64 << 20
MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x5d\x00\x00", "xz"),
)
"""How a packed body begins, whatever its head says."""
ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
"""How zlib may begin, and much else as well: what comes of it says whether it was that."""
_SEALED: tuple[tuple[bytes, str], ...] = (
    *((b"7z\xbc\xaf\x27\x1c", "7z"), (b"Rar!\x1a\x07", "RAR"), (b"LZIP\x01", "lzip"), (b"\x04\x22\x4d\x18", "LZ4")),
    *((b"\x1f\x9d", "compress"), (b"MSCF\0\0\0\0", "CAB"), (b"\xff\x06\0\0sNaPpY", "Snappy")),
    *((b"-----BEGIN PGP MESSAGE-----", "PGP"), (b"age-encryption.org/v1\n", "age"), (b"Salted__", "OpenSSL")),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", "age"),
)
"""What is packed or encrypted in a way that nobody here reads."""
_SEALED_WITHIN = tuple((magic, name) for magic, name in _SEALED if len(magic) >= 6)
_REPLAYED = 4096


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
        self._fresh = True
        """Whether nothing of the present part was read yet."""
        self._whole = True

    def at_end(self) -> bool:
        return self._whole

    def feed(self, data: bytes) -> bytes:
        out: list[bytes] = []
        self._room.took(len(data))
        if not self._begun and data and self._window == zlib.MAX_WBITS and not _has_zlib_head(data):
            self._window = -zlib.MAX_WBITS  # what many call deflate has no head
            self._unpack = zlib.decompressobj(self._window)
        self._begun = self._begun or bool(data)
        while data:
            before = self._unpack.copy()
            try:
                part = self._unpack.decompress(data, 1 << 18)
            except zlib.error as error:
                follows = self._fresh and bool(out)
                out.append(_before_fault(before, data))
                raise Unreadable(
                    "something else follows what is packed" if follows else f"it cannot be unpacked: {error}",
                    before=b"".join(out),
                    follows=follows,
                ) from None
            self._fresh = False
            self._room.gave(len(part))
            out.append(part)
            data = self._unpack.unconsumed_tail
            self._whole = self._unpack.eof
            if self._unpack.eof:
                data = self._unpack.unused_data.lstrip(b"\0")
                self._unpack, self._fresh = zlib.decompressobj(self._window), True
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
                    if follows and not out:
                        out.append(self._bytewise(piece))
                        raise Unreadable(f"it cannot be unpacked: {error}", before=b"".join(out)) from None
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

    def _bytewise(self, piece: bytes) -> bytes:
        """What the beginning of something says before the fault in it."""
        one, said = self._open(), b""
        with suppress(Exception):  # each library has its own, and all mean the same
            for at in range(len(piece)):
                said += one.feed(piece[at : at + 1])
        return said


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


def sealed(data: bytes) -> str:
    """What a text is packed or encrypted with that cannot be looked into; nothing where nothing says so."""
    first = next((name for magic, name in _SEALED if data.startswith(magic)), "")
    return first or next((name for magic, name in _SEALED_WITHIN if magic in data), "")


class Part(NamedTuple):
    """One packed part within a text."""

    found: bytes
    """What was in it, as far as it could be unpacked."""
    end: int
    """Where it ends; where it has no end, it is not known."""
    why: str
    """What is wrong with it; empty where it is whole."""


def part_at(data: bytes, at: int, coding: str, room: Room) -> Part:
    """The packed part that begins somewhere in a text, and no other one behind it."""
    out: list[bytes] = []
    one = _Inflating(coding) if coding in _WINDOWS else _Feeding(coding)
    try:
        while at < len(data) and not one.ended():
            piece = data[at : at + one.step]
            room.took(len(piece))
            at += len(piece)
            one.feed(piece, room, out)
    except Unreadable as unreadable:
        return Part(b"".join(out), at, str(unreadable))
    if not one.ended():
        return Part(b"".join(out), at, "a part of it is cut short")
    return Part(b"".join(out), at - len(one.unused()), "")


_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


class _Inflating:
    """One part of gzip or zlib."""

    step = 4096

    def __init__(self, coding: str) -> None:
        self._unpack = zlib.decompressobj(_WINDOWS[coding])

    def feed(self, piece: bytes, room: Room, out: list[bytes]) -> None:
        while piece:
            before = self._unpack.copy()
            try:
                out.append(self._unpack.decompress(piece, 1 << 18))
            except zlib.error as error:
                out.append(_before_fault(before, piece))
                raise Unreadable(f"it cannot be unpacked: {error}") from None
            room.gave(len(out[-1]))
            piece = self._unpack.unconsumed_tail

    def ended(self) -> bool:
        return self._unpack.eof

    def unused(self) -> bytes:
        return self._unpack.unused_data


class _Feeding:
    """One part of something else."""

    step = _STEP

    def __init__(self, coding: str) -> None:
        self._one = _OPENED[coding]()

    def feed(self, piece: bytes, room: Room, out: list[bytes]) -> None:
        try:
            out.append(self._one.feed(piece))
        except Exception as error:  # noqa: BLE001 - each library has its own, and all mean the same
            raise Unreadable(f"it cannot be unpacked: {error}") from None
        room.gave(len(out[-1]))

    def ended(self) -> bool:
        return self._one.ended()

    def unused(self) -> bytes:
        return self._one.unused()


def _before_fault(unpack: _Inflates, data: bytes) -> bytes:
    """What comes out before the fault: a library that meets one says nothing of what it had by then."""
    said: list[bytes] = []
    size, at = _REPLAYED, 0
    while at < len(data):
        before = unpack.copy()
        try:
            said.append(unpack.decompress(data[at : at + size], 1 << 18))
            at += size - len(unpack.unconsumed_tail)
        except zlib.error:
            if size == 1:
                break
            unpack, size = before, 1
    return b"".join(said)


class _Inflates(Protocol):
    """zlib's own, which says no better what it is."""

    @property
    def unconsumed_tail(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes: ...

    def copy(self) -> Self: ...


def _has_zlib_head(data: bytes) -> bool:
    return data[0] & 0x0F == 8 and (len(data) < 2 or (data[0] << 8 | data[1]) % 31 == 0)
