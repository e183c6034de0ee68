"""The readings of a body: as it is, and as whoever gets it may read it. Pure, and within limits.

What a body says it is (`content-type`) is not believed: whoever wants to hide something writes that too. Every reading
that could be meant is looked at: percent-encoding, escapes of JSON, quoted-printable, base64 and hexadecimal digits,
archives, and what is packed within.
"""

from __future__ import annotations

import binascii
import re
import zlib
from collections.abc import Callable, Iterator
from urllib.parse import unquote_to_bytes

import msgspec

from ringfence.egress.content.expressions import Expression, expression
from ringfence.egress.content.unpacking import MAGIC, Room, Unreadable, packed_as, unpacker

_ESCAPE = re.compile(rb"\\u00([0-9A-Fa-f]{2})")
_QUOTED = re.compile(rb"=(?:[0-9A-F]{2}|\r?\n)")
_QUOTED_LINES = expression(rb"(?:[^\n]*=\r?\n)+[^\n]*|[^\n]*=[0-9A-F]{2}[^\n]*")
_BASE64 = expression(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
_BASE64_LINES = expression(rb"(?:[A-Za-z0-9+/]{60,76}\r?\n){2,}(?:[A-Za-z0-9+/]+={0,2})?")
_HEX = expression(rb"(?:[0-9A-Fa-f]{2}){16,}")
_WRITTEN = expression(rb"[\t\n\r -~\x80-\xff]{16,}")
_TEXT = bytes((9, 10, 13, *range(32, 127), *range(128, 256)))
_URL_LETTERS = bytes.maketrans(b"-_", b"+/")
_ESCAPES = (
    *((b"\\n", b"\n"), (b"\\r", b""), (b"\\t", b"\t"), (b'\\"', b'"'), (b"\\/", b"/")),
    (b"\\\\", b"\\"),
)
_PACK = b"PACK\0\0\0\2"
_ZIP = b"PK\3\4"
_BEGINNINGS = frozenset(magic[:2] for magic in (*(magic for magic, _ in MAGIC), _ZIP))
_LONGEST_PACK_HEAD = 1 << 16
_OTHER_METHODS = (9, 12, 14, 93, 95, 97, 98, 99)
_MOST_MEMBERS = 50_000
_MOST_PACKED = 1_000


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How far one request is looked into."""

    held: int = 1 << 20
    """A body up to this length is held until all of it was looked at."""
    streamed: int = 64 << 20
    """Of a longer one, how much is looked at while it passes, unpacked."""
    readings: int = 32 << 20
    """Bytes of all readings of one piece together."""
    ratio: int = 200
    """How many times as long something may become when it is unpacked."""
    unpacked_free: int = 1 << 20
    """Bytes for which no ratio is asked."""
    depth: int = 4
    """Readings within readings."""
    packed: int = 2
    """Packings within packings."""
    seconds: float = 2.0
    """Time that one request takes in all."""


class View(msgspec.Struct, frozen=True):
    """One reading."""

    how: str
    """The way to it, such as `base64, gzip`; empty for the bytes as they are."""
    data: bytes


class Readings:
    """All readings of one piece of a request. What stands in the way of one is in `unread`."""

    def __init__(self, limits: Limits, late: Callable[[], bool]) -> None:
        self._limits = limits
        self._late = late
        self._left = limits.readings
        self._seen: set[tuple[Expression, bytes]] = set()
        self.unread: list[str] = []

    def of(self, data: bytes) -> Iterator[View]:
        """Every one, the bytes as they are first."""
        yield from self._of(View("", data), 0, 0)

    def _of(self, view: View, depth: int, packed: int) -> Iterator[View]:
        if not view.data:
            return
        self._left -= len(view.data)
        if self._left < 0:
            return self._miss("it has more readings than are looked into")
        if self._late():
            return self._miss("looking into it takes too long")
        yield view
        for how, read, packs in self._next(view.data):
            if depth >= self._limits.depth or packed + packs > self._limits.packed:
                if packs:
                    self._miss("it is packed more often than is looked into")
                continue
            inner = View(f"{view.how}, {how}" if view.how else how, read)
            yield from self._of(inner, depth + 1, packed + packs)

    def _next(self, data: bytes) -> Iterator[tuple[str, bytes, int]]:
        """The readings of a text one step further, and whether it was packed."""
        coding = packed_as(data)
        if coding:
            yield from self._unpacked(coding, data)
            return
        if data.startswith(_ZIP) or _ZIP in data[:_LONGEST_PACK_HEAD]:
            yield from self._members(data)
        if _PACK in data[:_LONGEST_PACK_HEAD]:
            yield from self._objects(data)
        yield from self._decoded(data)
        for magic, coding in MAGIC[:2]:
            yield from self._within(data, magic, coding)

    def _within(self, data: bytes, magic: bytes, coding: str) -> Iterator[tuple[str, bytes, int]]:
        """What is packed somewhere in a text, as in a form in parts or in a stream of calls."""
        at, count = data.find(magic, 1), 0
        while at >= 0 and count < _MOST_PACKED:
            count += 1
            one = unpacker(coding, self._room())
            try:
                found, why = one.feed(data[at:]), "" if one.at_end() else "a part of it is cut short"
            except Unreadable as unreadable:
                found, why = unreadable.before, "" if unreadable.follows else str(unreadable)
            if found:
                # What gives nothing only looks like a beginning.
                if why:
                    self._miss(why)
                yield coding, found, 1
            at = data.find(magic, at + 1)
        if at >= 0:
            self._miss("it has more that is packed than is looked into")

    def _decoded(self, data: bytes) -> Iterator[tuple[str, bytes, int]]:
        """What stands in a text in other letters."""
        if b"\0" in data and data.count(b"\0") * 3 > len(data):
            yield "utf-16", data.replace(b"\0", b""), 0
        plain = _plainer(data)
        if plain and plain != data:
            yield "decoded", plain, 0
        if b"=3D" in data or b"quoted-printable" in data:
            lines = (data[found.start() : found.end()] for found in _QUOTED_LINES.finditer(data))
            yield "quoted-printable", b"\n".join(_QUOTED.sub(_unquoted, line) for line in lines), 0
        runs = [_base64(run) for run in self._fresh(_BASE64, data)]
        runs += [_base64(b"".join(run.split())) for run in self._fresh(_BASE64_LINES, data)]
        # What begins as something packed is a reading of its own.
        alone = [one for one in runs if one[:2] in _BEGINNINGS and (packed_as(one) or one.startswith(_ZIP))]
        yield from (("base64", one, 0) for one in alone)
        yield "base64", b"\n".join(one for one in runs if not alone or one not in alone), 0
        digits = (run[: len(run) & ~1] for run in self._fresh(_HEX, data))
        yield "hexadecimal", b"\n".join(bytes.fromhex(run.decode()) for run in digits), 0

    def _fresh(self, runs: Expression, data: bytes) -> Iterator[bytes]:
        """Runs of letters that no reading before had."""
        for found in runs.finditer(data):
            run = data[found.start() : found.end()]
            if (runs, run) not in self._seen:
                self._seen.add((runs, run))
                yield run

    def _unpacked(self, coding: str, data: bytes) -> Iterator[tuple[str, bytes, int]]:
        found: list[bytes] = []
        one = unpacker(coding, self._room())
        try:
            for at in range(0, len(data), 1 << 16):
                found.append(one.feed(data[at : at + (1 << 16)]))
            if not one.at_end():
                self._miss("it is cut short")
        except Unreadable as unreadable:
            found.append(unreadable.before)
            self._miss(str(unreadable))
        yield coding, b"".join(found), 1

    def _members(self, data: bytes) -> Iterator[tuple[str, bytes, int]]:
        """The files in a zip archive, by the heads that stand before them."""
        room, found = self._room(), list[bytes]()
        at, count = data.find(_ZIP), 0
        while at >= 0 and count < _MOST_MEMBERS:
            count += 1
            method = int.from_bytes(data[at + 8 : at + 10], "little")
            names = int.from_bytes(data[at + 26 : at + 28], "little") + int.from_bytes(
                data[at + 28 : at + 30], "little"
            )
            start = at + 30 + names
            found.append(data[at + 30 : start])
            if method == 8:
                found.append(self._inflated(data, start, -zlib.MAX_WBITS, room)[0])
            elif method in _OTHER_METHODS:
                self._miss(f"a file in it is packed by method {method}")
            if method in (0, 8, *_OTHER_METHODS) and int.from_bytes(data[at + 6 : at + 8], "little") & 1:
                self._miss("a file in it is encrypted")
            at = data.find(_ZIP, start)
        yield "zip", b"\n".join(found), 1

    def _objects(self, data: bytes) -> Iterator[tuple[str, bytes, int]]:
        """The objects of a pack of Git: each has a head of a few bytes, then a deflated text."""
        room, found = self._room(), list[bytes]()
        at = data.find(_PACK)
        count, at = int.from_bytes(data[at + 8 : at + 12], "big"), at + 12
        for _ in range(min(count, _MOST_MEMBERS)):
            kind = data[at] >> 4 & 7 if at < len(data) else 0
            while at < len(data) and data[at] & 0x80:
                at += 1
            at += 1
            if kind == 6:
                while at < len(data) and data[at] & 0x80:
                    at += 1
                at += 1
            elif kind == 7:
                at += 20
            text, at = self._inflated(data, at, zlib.MAX_WBITS, room)
            found.append(text)
            if at < 0:
                break
        if count > _MOST_MEMBERS:
            self._miss("it has more objects than are looked into")
        yield "git pack", b"\n".join(found), 1

    def _inflated(self, data: bytes, at: int, window: int, room: Room) -> tuple[bytes, int]:
        """One deflated text, and where it ends; -1 where it does not."""
        unpack, out, step = zlib.decompressobj(window), list[bytes](), 2048
        try:
            while at < len(data):
                piece, step = data[at : at + step], min(step * 2, 1 << 16)
                room.took(len(piece))
                while piece:
                    part = unpack.decompress(piece, 1 << 18)
                    room.gave(len(part))
                    out.append(part)
                    at += len(piece) - len(unpack.unconsumed_tail) - len(unpack.unused_data)
                    piece = b"" if unpack.eof else unpack.unconsumed_tail
                if unpack.eof:
                    return b"".join(out), at
        except (zlib.error, Unreadable) as error:
            self._miss(f"a part of it cannot be unpacked: {error}" if isinstance(error, zlib.error) else str(error))
            return b"".join(out), -1
        self._miss("a part of it is cut short")
        return b"".join(out), -1

    def _room(self) -> Room:
        return Room(max(self._left, 0), self._limits.ratio, self._limits.unpacked_free)

    def _miss(self, why: str) -> None:
        if why not in self.unread:
            self.unread.append(why)


def _plainer(data: bytes) -> bytes:
    """The lines of a text that have percent-encoding or escapes of JSON, without them; nothing where none has.

    A plus sign stays one, although forms mean a space: it may be a letter of base64.
    """
    if b"\\" not in data and b"%" not in data:
        return b""
    if len(data.translate(None, _TEXT)) * 20 > len(data):
        # Of what is no text the parts that are: a copy of the rest would say nothing new.
        data = b"\n".join(data[found.start() : found.end()] for found in _WRITTEN.finditer(data))
    plain = b"\n".join(line for line in data.split(b"\n") if b"\\" in line or b"%" in line)
    if b"\\" in plain:
        plain = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), plain)
        for one, meant in _ESCAPES:
            plain = plain.replace(one, meant)
    return unquote_to_bytes(plain) if b"%" in plain else plain


def _unquoted(found: re.Match[bytes]) -> bytes:
    digits = found[0][1:]
    return b"" if digits.endswith(b"\n") else bytes.fromhex(digits.decode())


def _base64(run: bytes) -> bytes:
    plain = run.rstrip(b"=").translate(_URL_LETTERS)
    if len(plain) % 4 == 1:
        plain = plain[:-1]
    try:
        return binascii.a2b_base64(plain + b"=" * (-len(plain) % 4))
    except binascii.Error:
        return b""
