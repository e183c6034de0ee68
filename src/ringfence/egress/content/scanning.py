"""Looks through one request: its head in one go, its body in one go or piece by piece. Values in, findings out.

What could not be looked at is said in words, never left out in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import msgspec

from ringfence.egress.content.archives import PACK, ZIP, GitPack, Zip
from ringfence.egress.content.findings import Finding, finding
from ringfence.egress.content.known_texts import KnownTexts
from ringfence.egress.content.matching import Forms, Kind, Match
from ringfence.egress.content.unpacking import ZLIB, Room, Unpacker, Unreadable, packed_as, unpacker
from ringfence.egress.content.views import Limits, Readings

OVERLAP = 8192
"""How much of the text before it a piece is looked at with: the longest secret that is found across a border."""
_WINDOW = 65_536
_BEGINNING = 1024
_MOST_WAITING = 256 * 1024
"""How much waits at most of what is packed, and has not given anything yet."""


class Scanner(msgspec.Struct, frozen=True, kw_only=True):
    """What a session looks for."""

    forms: Forms | None
    """None where only what is known counts."""
    known: KnownTexts
    limits: Limits
    clock: Callable[[], float]
    digest: Callable[[bytes], str]

    def matches(self, text: bytes) -> Iterator[Match]:
        """What is there, what is known first."""
        known = list(self.known.find(text))
        yield from known
        for one in self.forms.find(text) if self.forms is not None else ():
            if not any(one.start < other.end and other.start < one.end for other in known):
                yield one


class Scan:
    """One request."""

    def __init__(self, scanner: Scanner, *, harmless: Iterable[bytes] = ()) -> None:
        """`harmless`: texts that look like secrets, and stand for some that are elsewhere."""
        self._scanner = scanner
        self._harmless = tuple(harmless)
        self._spent = 0.0
        self.limits = scanner.limits
        self.unread: dict[str, None] = {}
        """Why something was not looked at."""

    def text(self, place: str, data: bytes, *, also: Callable[[Match], bool] = lambda _: True) -> list[Finding]:
        """What a text carries, in whatever reading; `also` leaves out what is no finding at this place."""
        found: dict[tuple[Kind, str, str], Finding] = {}
        with self.timed() as late:
            readings = Readings(self.limits, late)
            for view in readings.of(data):
                where = f"{place} ({view.how})" if view.how else place
                for match in self._scanner.matches(view.data):
                    value = view.data[match.start : match.end]
                    if also(match) and not self._is_harmless(value):
                        secret = value if match.known is None else match.known.value.encode()
                        one = finding(match, value, where, self._scanner.digest(secret))
                        # Several parts of one canary are one finding.
                        apart = one.digest if one.kind in (Kind.SECRET, Kind.PROTECTED) else ""
                        found.setdefault((one.kind, one.name, apart), one)
        for why in readings.unread:
            self.miss(why)
        return list(found.values())

    def plain(self, place: str, data: bytes) -> list[Finding]:
        """What a text carries as it is."""
        found = []
        for match in self._scanner.matches(data):
            value = data[match.start : match.end]
            if not self._is_harmless(value):
                secret = value if match.known is None else match.known.value.encode()
                found.append(finding(match, value, place, self._scanner.digest(secret)))
        return found

    def _is_harmless(self, value: bytes) -> bool:
        # SECURITY: with more around it than a word, it is not that text alone that was found.
        return bool(value) and any(
            value in one or (one in value and len(value) < len(one) + 8) for one in self._harmless
        )

    def miss(self, why: str) -> None:
        """Note that something was not looked at."""
        self.unread.setdefault(why)

    @contextmanager
    def timed(self) -> Iterator[Callable[[], bool]]:
        """Counts what is done meanwhile; says whether the request has taken all of its time."""
        clock, began = self._scanner.clock, self._scanner.clock()
        try:
            yield lambda: self._spent + clock() - began > self.limits.seconds
        finally:
            self._spent += clock() - began

    @property
    def is_late(self) -> bool:
        """Whether the request has taken all of its time."""
        return self._spent > self.limits.seconds


class BodyScan:
    """A body that passes piece by piece."""

    def __init__(self, scan: Scan, codings: tuple[str, ...]) -> None:
        """`codings`: as they were applied, the last one outermost."""
        self._scan = scan
        self._unpackers: list[Unpacker] | None = None
        self._codings = codings
        self._text = b""
        self._fresh = 0
        self._seen = 0
        self._over = False
        self._raw = b""
        self.waiting = 0
        """How many bytes of what was fed at last were not looked at yet."""

    def feed(self, data: bytes, *, last: bool, now: bool = False) -> list[Finding]:
        """What a piece carries, together with the end of those before it. `now`: it is not to wait for the next."""
        self.waiting += len(data)
        now = now or self.waiting > _MOST_WAITING
        return self._feed(data, last=last, now=now)

    def _feed(self, data: bytes, *, last: bool, now: bool) -> list[Finding]:
        if self._over or self._scan.is_late:
            if data and not self._over:
                self._scan.miss("looking into it takes too long")
            self._over, self.waiting = True, 0
            return []
        before = len(self._text)
        try:
            self._text += self._in_time(data)
            if last and self._unpackers and not all(one.at_end() for one in self._unpackers):
                self._scan.miss("it is cut short")
                self._text += b"".join(one.rest() for one in self._unpackers if isinstance(one, (GitPack, Zip)))
        except Unreadable as unreadable:
            # Whoever gets it may take it for something else: it is looked at as it is.
            self._scan.miss(str(unreadable))
            self._unpackers = []
            self._text += unreadable.before + data
        new = len(self._text) - before
        self._fresh += new
        self._seen += new
        # SECURITY: what is packed has room for words beside it: names in gzip, frames that are skipped in Zstandard.
        self._raw += data if self._unpackers else b""
        if max(self._fresh, len(self._raw) - OVERLAP) < _WINDOW and not last and not now:
            return []
        found = self._scan.text(f"the body{self._how()}", self._text)
        if self._raw:
            known = {(one.kind, one.digest) for one in found}
            found += [one for one in self._scan.plain("the body", self._raw) if (one.kind, one.digest) not in known]
        self._text, self._fresh, self._raw = self._text[-OVERLAP:], 0, self._raw[-OVERLAP:]
        self.waiting = 0
        if self._seen > self._scan.limits.streamed and not last:
            self._scan.miss("it is longer than what is looked into")
            self._over = True
        return found

    def _in_time(self, data: bytes) -> bytes:
        """What a piece gives. There are a hundred thousand packed parts in a megabyte of them."""
        out: list[bytes] = []
        with self._scan.timed() as late:
            for at in range(0, len(data) or 1, _WINDOW):
                try:
                    if late():
                        raise Unreadable("looking into it takes too long")
                    out.append(self._unpacked(data[at : at + _WINDOW]))
                except Unreadable as unreadable:
                    before = b"".join((*out, unreadable.before))
                    raise Unreadable(str(unreadable), before=before, follows=unreadable.follows) from None
        return b"".join(out)

    def _unpacked(self, data: bytes) -> bytes:
        if self._unpackers is None:
            codings = self._codings or tuple(filter(None, (packed_as(data) or _zlib(data),)))
            if len(codings) > self._scan.limits.packed:
                self._unpackers = []
                raise Unreadable("it is packed more often than is looked into")
            limits = self._scan.limits
            rooms = (Room(limits.streamed, limits.ratio, limits.unpacked_free) for _ in codings)
            self._unpackers = [unpacker(one, room) for one, room in zip(reversed(codings), rooms, strict=True)]
            if not codings:
                room = Room(limits.streamed, limits.ratio, limits.unpacked_free)
                codings, self._unpackers = _archive(data, room)
            self._codings = codings
        for one in self._unpackers:
            data = one.feed(data)
        return data

    def _how(self) -> str:
        return f" ({', '.join(reversed(self._codings))})" if self._codings else ""


def _archive(data: bytes, room: Room) -> tuple[tuple[str, ...], list[Unpacker]]:
    """What reads a body that begins as an archive."""
    if PACK in data[:_WINDOW]:
        return ("git pack",), [GitPack(room)]
    return (("zip",), [Zip(room)]) if ZIP in data[:_WINDOW] else ((), [])


def _zlib(data: bytes) -> str:
    """`deflate` where a body is zlib although it does not say so."""
    if not data.startswith(ZLIB):
        return ""
    try:
        unpacker("deflate", Room(_WINDOW, _WINDOW, _WINDOW)).feed(data[:_BEGINNING])
    except Unreadable:
        return ""
    return "deflate"


def codings(field: bytes) -> tuple[str, ...]:
    """The codings of a `content-encoding`, without those that change nothing."""
    named = (one.strip().lower() for one in field.decode("latin-1").split(","))
    return tuple(one for one in named if one not in ("", "identity"))
