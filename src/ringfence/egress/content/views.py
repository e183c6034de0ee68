"""The readings of a body: as it is, and as whoever gets it may read it. Pure, and within limits.

What a body says it is (`content-type`) is not believed: whoever wants to hide something writes that too. Every reading
that could be meant is looked at: percent-encoding, escapes of JSON, quoted-printable, base64 and hexadecimal digits,
archives, and what is packed within.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote_to_bytes

import msgspec

from ringfence.egress.content.archives import PACK, ZIP, GitPack, Zip
from ringfence.egress.content.expressions import Expression, expression
from ringfence.egress.content.unpacking import MAGIC, ZLIB, Room, Unreadable, packed_as, part_at, sealed, unpacker

_ESCAPE = re.compile(rb"\\u00([0-9A-Fa-f]{2})")
_QUOTED = re.compile(rb"=(?:[0-9A-F]{2}|\r?\n)")
_QUOTED_LINES = expression(rb"(?:[^\n]{0,200}=\r?\n)+[^\n]{0,200}|[^\n]{0,200}=[0-9A-F]{2}[^\n]{0,200}")
_BASE64 = expression(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
_BASE64_LINES = expression(rb"(?:[A-Za-z0-9+/]{16,76}\r?\n)+[A-Za-z0-9+/]{2,}={0,2}")
_HEX = expression(rb"(?:[0-9A-Fa-f]{2}){16,}")
_WRITTEN = expression(rb"[\t\n\r -~\x80-\xff]{16,}")
_TEXT = bytes((9, 10, 13, *range(32, 127), *range(128, 256)))
_URL_LETTERS = bytes.maketrans(b"-_", b"+/")
_ESCAPES = (
    *((b"\\n", b"\n"), (b"\\r", b""), (b"\\t", b"\t"), (b'\\"', b'"'), (b"\\/", b"/")),
    (b"\\\\", b"\\"),
)
_BEGINNINGS = frozenset(magic[:2] for magic in (*(magic for magic, _ in MAGIC), ZIP, *ZLIB))
_LONGEST_BEFORE = 1 << 16
_MOST_PACKED = 1_000
_TOO_LATE = "looking into it takes too long"
_SHORTEST = 8
"""Nothing shorter is a secret."""


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
            return self._miss(_TOO_LATE)
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
        seal = sealed(data)
        if seal:
            self._miss(f"a part of it is packed or encrypted with {seal}, which cannot be looked into")
        if ZIP in data[:_LONGEST_BEFORE]:
            yield from self._archived("zip", Zip(self._room()), data)
        if PACK in data[:_LONGEST_BEFORE]:
            yield from self._archived("git pack", GitPack(self._room()), data)
        yield from self._decoded(data)
        for magic, coding in MAGIC[:2]:
            yield from self._within(data, magic, coding)
        for magic in ZLIB:
            yield from self._within(data, magic, "deflate", 0)

    def _within(self, data: bytes, magic: bytes, coding: str, start: int = 1) -> Iterator[tuple[str, bytes, int]]:
        """What is packed somewhere in a text, as in a form in parts or in a stream of calls. Each part is read once."""
        at, count = data.find(magic, start), 0
        while at >= 0 and count < _MOST_PACKED:
            if self._late():
                return self._miss(_TOO_LATE)
            count += 1
            found, end, why = self._parts(data, at, magic, coding)
            if coding == "deflate":
                # Two bytes say little: where it has no end, it may have been none.
                if len(found) >= _SHORTEST:
                    yield "zlib", found, int(not why)
            elif found:
                # What gives nothing only looks like a beginning.
                if why:
                    self._miss(why)
                yield coding, found, 1
            at = data.find(magic, max(end, at + 1))
        if at >= 0 and coding != "deflate":
            self._miss("it has more that is packed than is looked into")
        return None

    def _parts(self, data: bytes, at: int, magic: bytes, coding: str) -> tuple[bytes, int, str]:
        """The parts that follow one another, where they end, and what is wrong with the last one."""
        out: list[bytes] = []
        room = self._room()
        while data.startswith(magic, at) and not self._late():
            found, end, why = part_at(data, at, coding, room)
            out.append(found)
            if why:
                # What only looked like a part hides none that begins within.
                return b"".join(out), at, why
            at = end
            while data.startswith(b"\0", at):
                at += 1
        return b"".join(out), at, ""

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
        runs = [one for run in self._fresh(_BASE64, data) for one in _base64(run)]
        runs += [one for run in self._fresh(_BASE64_LINES, data) for one in _base64(b"".join(run.split()))]
        # What begins as something packed is a reading of its own.
        alone = [one for one in runs if one[:2] in _BEGINNINGS and (packed_as(one) or one.startswith((ZIP, *ZLIB)))]
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
                if self._late():
                    raise Unreadable(_TOO_LATE)
                found.append(one.feed(data[at : at + (1 << 16)]))
            if not one.at_end():
                self._miss("it is cut short")
        except Unreadable as unreadable:
            found.append(unreadable.before)
            self._miss(str(unreadable))
        yield coding, b"".join(found), 1

    def _archived(self, how: str, archive: GitPack | Zip, data: bytes) -> Iterator[tuple[str, bytes, int]]:
        try:
            found = archive.feed(data) + archive.rest()
            if not archive.at_end():
                self._miss("a part of it is cut short")
        except Unreadable as unreadable:
            found = unreadable.before
            self._miss(str(unreadable))
        # Where nothing came out that did not go in, it was none.
        if found != data:
            yield how, found, 1

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


def _base64(run: bytes) -> Iterator[bytes]:
    """What a run of letters says, wherever among its first letters it begins: other letters may stand right before."""
    for at in range(4):
        yield _read_base64(run[at:])


def _read_base64(run: bytes) -> bytes:
    plain = run.rstrip(b"=").translate(_URL_LETTERS)
    if len(plain) % 4 == 1:
        plain = plain[:-1]
    try:
        return binascii.a2b_base64(plain + b"=" * (-len(plain) % 4))
    except binascii.Error:
        return b""
