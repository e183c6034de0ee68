"""Finds the values of credentials in what comes back, across the borders of its pieces, in the spellings of the wire.

A server that repeats what it was sent would otherwise hand the credential inside. What is found is replaced by text of
the same length. It finds a value as it is, percent-encoded, in hexadecimal, in base64, and with the escapes of JSON and
HTML, and no other disguise.
"""

from __future__ import annotations

import re
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Protocol
from urllib.parse import quote

from ringfence.egress.credentials.secret import Credential

_SHORTEST = 8
"""A spelling shorter than this would be found in text that has nothing to do with it."""

_ESCAPE = re.compile(r"%[0-9A-F]{2}")


class Echo:
    """The values that must not come back."""

    def __init__(self, credentials: Iterable[Credential]) -> None:
        self._stand_ins: dict[bytes, bytes] = {}
        for credential in credentials:
            for value in _values(credential):
                for spelling in _spellings(value):
                    self._stand_ins.setdefault(spelling, b"*" * len(spelling))
                if len(credential.placeholder) == len(value) and credential.standing is None:
                    self._stand_ins[value.encode()] = credential.placeholder.encode()
        # The longest first: a value may begin with another one.
        ordered = sorted(self._stand_ins, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, ordered))) if ordered else None
        self._longest = max(map(len, ordered), default=0)
        firsts = sorted({one[:1] for one in ordered})
        self._first = re.compile(b"[" + b"".join(map(re.escape, firsts)) + b"]") if firsts else None

    def replaced(self, data: bytes) -> tuple[bytes, int]:
        """A whole text without the values, and how many there were."""
        if self._pattern is None:
            return data, 0
        return self._pattern.subn(lambda found: self._stand_ins[found[0]], data)

    def held_back(self, data: bytes) -> int:
        """How many bytes at the end of a piece may be the beginning of a value."""
        if self._first is None:
            return 0
        start = max(len(data) - self._longest + 1, 0)
        for found in self._first.finditer(data, start):
            tail = data[found.start() :]
            if any(len(one) > len(tail) and one.startswith(tail) for one in self._stand_ins):
                return len(tail)
        return 0


class EchoStream:
    """One body, piece by piece."""

    def __init__(self, echo: Echo) -> None:
        self._echo = echo
        self._held = b""
        self.found = 0

    @property
    def keeps(self) -> int:
        """How many bytes are kept back at present."""
        return len(self._held)

    def take(self, data: bytes) -> bytes:
        """What may go on now."""
        passed, found = self._echo.replaced(self._held + data)
        self.found += found
        held = self._echo.held_back(passed)
        cut = len(passed) - held
        self._held = passed[cut:]
        return passed[:cut]

    def finish(self) -> bytes:
        """What was kept back."""
        rest, self._held = self._held, b""
        return rest


class Unpacked(Protocol):
    """A decompressor."""

    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes:
        """As much as fits."""
        ...

    @property
    def unconsumed_tail(self) -> bytes:
        """What was not read yet."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What stands behind the end."""
        ...

    @property
    def eof(self) -> bool:
        """Whether the end was read."""
        ...


_GZIP = ("gzip", "x-gzip")
_MEMBER = b"\x1f\x8b\x08"
_MOST_WAITING = 1 << 20
_ROOM = 1 << 20
_MOST_GROWTH = 200
"""How many times as long an answer may become that was packed although nobody asked for that; the first `_ROOM` is
free. While it is looked into, nobody else is served."""


class Packed:
    """A compressed body that goes on as it is while its content is looked at.

    A piece waits while its content may end with the beginning of a value, so that no part of one gets through.
    """

    def __init__(self, coding: str, echo: Echo) -> None:
        self._stream = EchoStream(echo)
        # SECURITY: there is room for a text around what is packed, and in parts that are packed without being changed.
        self._raw = EchoStream(echo)
        self._gzip = coding in _GZIP
        self._unpack = self._member()
        self._begun = False
        self._left = _ROOM
        """How much may still come out of it."""
        self._ahead = b""
        """The first bytes behind a member, until they say whether another one begins there."""
        self._waiting = b""

    @staticmethod
    def knows(coding: str) -> bool:
        """Whether a coding can be looked into."""
        return coding in (*_GZIP, "deflate")

    def take(self, data: bytes) -> bytes | None:
        """What may go on now; None where a value came. `ValueError` where it cannot be unpacked."""
        self._raw.take(data)
        size = self._look_into(data)
        if self._stream.found or self._raw.found:
            return None
        # What is kept back of the content began in this piece, or in one before it.
        before, self._waiting = self._waiting, data
        if self._stream.keeps == self._raw.keeps == 0:
            self._waiting = b""
            return before + data
        if self._stream.keeps <= size and self._raw.keeps <= len(data):
            return before
        self._waiting = before + data
        if len(self._waiting) > _MOST_WAITING:
            raise ValueError("too much of it says nothing")
        return b""

    def finish(self) -> bytes:
        """What was kept back; `ValueError` where something else stands behind what is packed."""
        if self._ahead:
            raise ValueError("something else follows what is packed")
        rest, self._waiting = self._waiting, b""
        return rest

    def _look_into(self, data: bytes) -> int:
        """Unpacks a piece; how much there was in it."""
        size = 0
        self._left += len(data) * _MOST_GROWTH
        try:
            full = False
            # Where there was no more room, more may come out of what was taken in already.
            while (data := self._from_a_beginning(data)) or full:
                self._begun = True
                content = self._unpack.decompress(data, _ROOM)
                size += len(content)
                full = len(content) == _ROOM
                self._left -= len(content)
                if self._left < 0:
                    raise ValueError("it grows too much")
                self._stream.take(content)
                data = self._unpack.unused_data if self._unpack.eof else self._unpack.unconsumed_tail
        except zlib.error as error:
            raise ValueError(str(error)) from None
        return size

    def _from_a_beginning(self, data: bytes) -> bytes:
        """What is to be unpacked, from its first byte on; nothing until that is known."""
        if not self._begun or not self._unpack.eof:
            return data
        # SECURITY: there are clients that read on in the next member, and the content goes on there.
        data = self._ahead + data if self._ahead else data.lstrip(b"\0")
        self._ahead = b""
        if not data:
            return b""
        if not self._gzip or not _MEMBER.startswith(data[: len(_MEMBER)]):
            raise ValueError("something else follows what is packed")
        if len(data) < len(_MEMBER):
            self._ahead = data
            return b""
        self._unpack = self._member()
        return data

    def _member(self) -> Unpacked:
        return zlib.decompressobj(31 if self._gzip else 15)


def _values(credential: Credential) -> Iterator[str]:
    yield credential.secret.reveal()
    if credential.aws is not None and credential.aws.session is not None:
        yield credential.aws.session.reveal()


def _spellings(value: str) -> Iterator[bytes]:
    raw = value.encode()
    yield raw
    for left in _LEFT_IN_ADDRESSES:
        escaped = quote(value, safe=left)
        yield from (escaped.encode(), _ESCAPE.sub(lambda found: found[0].lower(), escaped).encode())
    yield from (written.encode() for written in _escaped(value))
    yield from (raw.hex().encode(), raw.hex().upper().encode())
    yield from _in_base64(raw)


_LEFT_IN_ADDRESSES = ("", "/", "~!*'()", "~!*'();,/?:@&=+$#", "*")
"""What is not percent-encoded: by those who encode all, a path, a component, a whole address, a form."""
_IN_JSON = ("<>&", "<>&'", "<>&'=", "<>&'+`", "<>&'+`=")
"""What writers of JSON write as `\\u003c`, beside what they have to."""
_IN_HTML = ("&<>", '&<>"', "&<>\"'", "&<>\"'+", "&<>\"'+=`/")


def _escaped(value: str) -> Iterator[str]:
    """A value within the quotes of JSON, and within HTML."""
    slashed = value.replace("\\", "\\\\")
    for of_quote in ('\\"', "\\u0022"):
        for of_slash in ("/", "\\/"):
            for apart in ("", *_IN_JSON):
                for form in ("\\u{:04x}", "\\u{:04X}"):
                    swapped = {ord(one): form.format(ord(one)) for one in apart}
                    yield slashed.translate({ord('"'): of_quote, ord("/"): of_slash} | swapped)
    for apart in _IN_HTML:
        for form in ("&#{};", "&#x{:x};", "&#x{:X};", "&#{:03d};"):
            for named in (4, 3, 0):
                names = {ord(one): f"&{name};" for one, name in _NAMED[:named] if one in apart}
                yield value.translate({ord(one): form.format(ord(one)) for one in apart} | names)


_NAMED = (("&", "amp"), ("<", "lt"), (">", "gt"), ('"', "quot"))


def _in_base64(raw: bytes) -> Iterator[bytes]:
    """A value inside a longer text, in base64: by where it starts there are three spellings of all but its ends."""
    for before in range(3):
        coded = b64encode(b"\0" * before + raw)
        # Letters that also depend on what stands before and behind.
        start = (0, 2, 3)[before]
        end = (before + len(raw)) // 3 * 4
        middle = coded[start:end]
        if len(middle) >= _SHORTEST:
            yield middle
            yield middle.translate(bytes.maketrans(b"+/", b"-_"))
