"""Finds texts that are known by themselves: as they are, in the spellings in which they do not look like themselves,
with other characters between their letters, and in pieces with anything between those. Pure.

All of it is one expression, and one pass over a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import pairwise

from ringfence.egress.content.expressions import Expression, expression, words
from ringfence.egress.content.matching import Known, Match, entropy, is_mixed
from ringfence.egress.content.spellings import letters, unusual, usual

_PIECE, _EVERY = 6, 2
"""Letters of a piece, and how far the next one begins: shorter ones stand in texts that have nothing to do with it."""
_IN_PIECES = 64
"""Of a longer text its end is looked for in pieces: keys of one kind begin alike."""
_MOST_OF_A_PIECE = 16
"""How often one piece in a text is looked at."""
_ENOUGH = 0.75
"""How much of a text its pieces have to make up: whoever has that does not need the rest."""
_MOST_OF_ONE = 64
"""Matches of one known text in one text; more say nothing new."""
_MOST_UNUSUAL = 64
"""Texts that are looked for in unusual spellings; the first ones are those that matter most."""
_SHORTEST = 12
_RANDOM = 3.0
"""Bits per character of what is no words."""
_SHORT_TEXT = 8_192
"""A text up to this length is also looked at with all its short values one behind the other."""
_SHORT_VALUE = 24
_SHORT_LINE = 48


class KnownTexts:
    """Looks for texts that are known."""

    def __init__(self, known: Iterable[Known]) -> None:
        self._all = tuple(known)
        self._exactly: dict[bytes, Known] = {}
        self._apart: dict[bytes, Known] = {}
        """By what is left of a spelling without all but its letters and digits."""
        self._pieces: dict[bytes, list[tuple[Known, int]]] = {}

    def find(self, text: bytes) -> Iterator[Match]:
        """Every one that is there."""
        if not self._all:
            return
        yield from self._find(text)
        if len(text) <= _SHORT_TEXT:
            # It stands nowhere in one piece.
            values = _values(text)
            joined = self._find(values) if len(values) >= _SHORTEST else ()
            yield from (Match(one.kind, one.name, one.about, 0, 0, one.known) for one in joined)

    def _find(self, text: bytes) -> Iterator[Match]:
        counted: dict[Known, int] = {}
        pieces = _Pieces(text)
        for found in self._any.finditer(text):
            start, end = found.start(), found.end()
            one = self._exactly.get(text[start:end].lower()) or self._apart.get(letters(text[start:end]))
            if one is None:
                piece = text[start:end].lower()
                one = pieces.add(piece, start, end, self._pieces.get(piece, []))
                if one is None:
                    continue
            counted[one] = counted.get(one, 0) + 1
            if counted[one] <= _MOST_OF_ONE:
                yield Match(one.kind, one.name, one.about, start, end, one)

    @cached_property
    def _any(self) -> Expression:
        """Made when it is needed: many a session sends nothing that is looked into."""
        for number, one in enumerate(self._all):
            for spelled in usual(one.value):
                self._exactly.setdefault(spelled.lower(), one)
            plain = letters(one.value.encode())
            if number >= _MOST_UNUSUAL or len(plain) < _SHORTEST:
                continue
            for spelled in unusual(one.value):
                self._apart.setdefault(spelled, one)
            # Words stand beside each other in many a text.
            if is_mixed(one.value.encode()) and entropy(plain) >= _RANDOM:
                self._apart.setdefault(plain, one)
                end = _end(one)
                for at in range(0, len(end) - _PIECE + 1, _EVERY):
                    self._pieces.setdefault(end[at : at + _PIECE], []).append((one, at))
        # A piece has nothing between its letters: that would take four times as long where a text is random.
        exactly, apart = words((*self._exactly, *self._pieces)), words(self._apart, b"[^0-9A-Za-z]*")
        return expression(b"(?i)" + exactly + (b"|" + apart if self._apart else b""))


def _values(text: bytes) -> bytes:
    """The short values of a text one behind the other, as JSON, a form, XML, and lines with names before them have
    them. What is no value has few letters, or stands in its place every time."""
    found: list[bytes] = []
    if b'"' in text:
        parts = text.split(b'"')
        # Where a quotation mark may stand within a text, nobody knows which of the parts are texts.
        texts = pairwise(parts) if b'\\"' in text or len(parts) % 2 == 0 else zip(parts[1::2], parts[2::2], strict=True)
        found += [one for one, after in texts if len(one) <= _SHORT_VALUE and b":" not in after[:2]]
    if b"&" in text:
        parts = [one.rpartition(b"=")[2] for one in text.split(b"&")]
        found += [one for one in parts if len(one) <= _SHORT_VALUE]
    if b"</" in text:
        parts = [one.rpartition(b">")[2] for one in text.split(b"<")]
        found += [one for one in parts if len(one) <= _SHORT_VALUE]
    if b"\n" in text:
        lines = [
            one for one in text.split(b"\n") if len(one) <= _SHORT_LINE and b"name=" not in one and one[:2] != b"--"
        ]
        found += [one.replace(b"=", b":").rpartition(b":")[2] for one in lines]
    return b"".join(found)


class _Pieces:
    """What of known texts a text has in pieces."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._tried: dict[bytes, int] = {}
        self._seen: dict[Known, set[int]] = {}
        self._told: set[Known] = set()

    def add(self, piece: bytes, start: int, end: int, of: list[tuple[Known, int]]) -> Known | None:
        """Another piece; the text that there is enough of with it."""
        tried = self._tried[piece] = self._tried.get(piece, 0) + 1
        if tried > _MOST_OF_A_PIECE:
            return None
        before = self._text[max(start - _IN_PIECES, 0) : start].lower()[::-1]
        after = self._text[end : end + _IN_PIECES].lower()
        for one, at in of:
            rest = _end(one)
            first = at - _alike(rest[:at][::-1], before)
            last = at + _PIECE + _alike(rest[at + _PIECE :], after)
            seen = self._seen.setdefault(one, set())
            seen.update(range(first, last))
            if one not in self._told and len(seen) >= _ENOUGH * len(rest):
                self._told.add(one)
                return one
        return None


def _end(one: Known) -> bytes:
    """What is looked for in pieces."""
    return one.value.encode().lower()[-_IN_PIECES:]


def _alike(one: bytes, other: bytes) -> int:
    """How many letters two texts begin with alike."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
