"""Looks through one request: its head in one go, its body in one go or piece by piece. Values in, findings out.

What could not be looked at is said in words, never left out in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import msgspec

from ringfence.egress.content.archives import PACK, ZIP, GitPack, Zip
from ringfence.egress.content.findings import Finding, finding
from ringfence.egress.content.matching import Forms, Kind, KnownTexts, Match
from ringfence.egress.content.unpacking import Room, Unpacker, Unreadable, packed_as, unpacker
from ringfence.egress.content.views import Limits, Readings

OVERLAP = 8192
"""How much of the text before it a piece is looked at with: the longest secret that is found across a border."""
_WINDOW = 65_536


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
        with self._timed() as late:
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

    def _is_harmless(self, value: bytes) -> bool:
        # SECURITY: with more around it than a word, it is not that text alone that was found.
        return any(value in one or (one in value and len(value) < len(one) + 8) for one in self._harmless)

    def miss(self, why: str) -> None:
        """Note that something was not looked at."""
        self.unread.setdefault(why)

    @contextmanager
    def _timed(self) -> Iterator[Callable[[], bool]]:
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

    def feed(self, data: bytes, *, last: bool) -> list[Finding]:
        """What a piece carries, together with the end of those before it."""
        if self._over or self._scan.is_late:
            if data and not self._over:
                self._scan.miss("looking into it takes too long")
            self._over = True
            return []
        before = len(self._text)
        try:
            self._text += self._unpacked(data)
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
        if self._fresh < _WINDOW and not last:
            return []
        found = self._scan.text(f"the body{self._how()}", self._text)
        self._text, self._fresh = self._text[-OVERLAP:], 0
        if self._seen > self._scan.limits.streamed and not last:
            self._scan.miss("it is longer than what is looked into")
            self._over = True
        return found

    def _unpacked(self, data: bytes) -> bytes:
        if self._unpackers is None:
            codings = self._codings or tuple(filter(None, (packed_as(data),)))
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


def codings(field: bytes) -> tuple[str, ...]:
    """The codings of a `content-encoding`, without those that change nothing."""
    named = (one.strip().lower() for one in field.decode("latin-1").split(","))
    return tuple(one for one in named if one not in ("", "identity"))
