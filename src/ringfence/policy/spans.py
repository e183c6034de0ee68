"""Where each key and each element of a TOML text stands, because the standard parser says only that, not where.

It runs over text that the standard parser has accepted, so it follows the grammar without judging it. Whatever it
cannot follow has no position of its own and gets that of the nearest table around it: a wrong position is a nuisance,
a crash would be a fault nobody can read.
"""

from __future__ import annotations

import contextlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator

KeyPath = tuple[str | int, ...]
"""The way to a value from the top: keys, and indexes into arrays."""

_One = Callable[[KeyPath, int], None]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]*")
_PLAIN = re.compile(
    r"""([A-Za-z0-9_-]+)[ \t]*=[ \t]*(?:"(?!")[^"\\\n]*"|'(?!')[^'\n]*'|true|false|[0-9]+)[ \t]*(?:\n[ \t\r\n]*|\Z)"""
)
"""A line as nearly all are: a bare key and a plain value. Large files consist of them, and this is much faster."""
_STRINGS = (
    re.compile(r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}', re.DOTALL),
    re.compile(r"'''(?:[^']|'(?!''))*'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)


class Spans:
    """The positions of one text, by key path."""

    def __init__(self, starts: dict[KeyPath, int], text: str) -> None:
        self._starts = starts
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]

    def at(self, path: KeyPath) -> tuple[int, int]:
        """Line and column, both from 1, of a key or element; of the nearest one around it where it has none."""
        for length in range(len(path), 0, -1):
            start = self._starts.get(path[:length])
            if start is not None:
                return self._position(start)
        return 1, 1

    def _position(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1


def spans(text: str) -> Spans:
    """The positions of everything in a TOML text."""
    scan = _Scan(text)
    with contextlib.suppress(_Lost, RecursionError):
        scan.document()
    # What was found until it got lost still helps; the rest gets the position of its table.
    return Spans(scan.starts, text)


class _Lost(Exception):
    """The text is not what the scanner expected."""


class _Scan:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.starts: dict[KeyPath, int] = {}
        self._counts: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        self._skip(_BLANK)
        while self.at < len(self.text):
            plain = _PLAIN.match(self.text, self.at)
            if plain is not None:
                self._note((*table, plain[1]), self.at)
                self.at = plain.end()
                if self._peek("#"):
                    self._skip(_BLANK)
                continue
            if self._peek("["):
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _header(self) -> KeyPath:
        start = self.at
        array = self.text.startswith("[[", self.at)
        self.at += 2 if array else 1
        keys = [key for key, _ in self._keys()]
        self._expect("]]" if array else "]")
        path = (*self._current((), keys[:-1]), keys[-1])
        self._note(path, start)
        if not array:
            return self._current((), keys)
        index = self._counts.get(path, 0)
        self._counts[path] = index + 1
        self._note((*path, index), start)
        return (*path, index)

    def _current(self, table: KeyPath, keys: list[str]) -> KeyPath:
        """The path that keys lead to, where a key that names an array of tables means its last table."""
        path = table
        for key in keys:
            path = (*path, key)
            count = self._counts.get(path)
            if count:
                path = (*path, count - 1)
        return path

    def _pair(self, table: KeyPath) -> None:
        path = table
        for key, start in self._keys():
            path = (*path, key)
            self._note(path, start)
        self._expect("=")
        self._skip(_SPACE)
        self._value(path)

    def _keys(self) -> Iterator[tuple[str, int]]:
        while True:
            self._skip(_SPACE)
            start = self.at
            yield self._key(), start
            self._skip(_SPACE)
            if not self._peek("."):
                return
            self.at += 1

    def _key(self) -> str:
        for quoted in _STRINGS[2:]:
            match = quoted.match(self.text, self.at)
            if match:
                self.at = match.end()
                return _unquote(match.group())
        match = _BARE.match(self.text, self.at)
        if not match:
            raise _Lost
        self.at = match.end()
        return match.group()

    def _value(self, path: KeyPath) -> None:
        if self._peek("["):
            self._elements(path, "]", self._element)
        elif self._peek("{"):
            self._elements(path, "}", lambda inner, _: self._pair(inner))
        else:
            self._scalar()

    def _element(self, path: KeyPath, index: int) -> None:
        self._note((*path, index), self.at)
        self._value((*path, index))

    def _elements(self, path: KeyPath, close: str, one: _One) -> None:
        self.at += 1
        index = 0
        while True:
            self._skip(_BLANK)
            if self._peek(close):
                self.at += 1
                return
            one(path, index)
            index += 1
            self._skip(_BLANK)
            if self._peek(","):
                self.at += 1
            elif not self._peek(close):
                raise _Lost

    def _scalar(self) -> None:
        for pattern in (*_STRINGS, _SCALAR):
            match = pattern.match(self.text, self.at)
            if match:
                self.at = match.end()
                return

    def _note(self, path: KeyPath, start: int) -> None:
        self.starts.setdefault(path, start)

    def _peek(self, text: str) -> bool:
        return self.text.startswith(text, self.at)

    def _expect(self, text: str) -> None:
        self._skip(_SPACE)
        if not self._peek(text):
            raise _Lost
        self.at += len(text)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        if match:
            self.at = match.end()


def _unquote(text: str) -> str:
    if text[0] == "'" or "\\" not in text:
        return text[1:-1]
    import tomllib

    try:
        return str(tomllib.loads(f"value = {text}")["value"])
    except tomllib.TOMLDecodeError:
        raise _Lost from None
