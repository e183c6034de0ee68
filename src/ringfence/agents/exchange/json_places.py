"""JSON with the line and column of every value, because the standard parser says only what was written, not where."""

from __future__ import annotations

import json
import re

from ringfence.agents.exchange.source import KeyPath, Place

MAX_DEPTH = 64
_DECODER = json.JSONDecoder()

_BLANK = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


class JsonInvalid(Exception):
    """The text is not JSON."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.message = message


def placed(text: str) -> tuple[object, Place]:
    """The value of a JSON text, and where each part of it stands; `JsonInvalid` where it is none."""
    reader = _Reader(text)
    value = reader.whole()
    return value, reader.place


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._starts: dict[KeyPath, int] = {}

    def whole(self) -> object:
        value = self._value(())
        self._skip()
        if self._at < len(self._text):
            raise self._wrong("something follows the end")
        return value

    def place(self, path: KeyPath) -> tuple[int, int]:
        for length in range(len(path), -1, -1):
            if path[:length] in self._starts:
                return self._position(self._starts[path[:length]])
        return 1, 1

    def _value(self, path: KeyPath) -> object:
        self._skip()
        if len(path) > MAX_DEPTH:
            raise self._wrong(f"values are nested more than {MAX_DEPTH} deep")
        self._starts.setdefault(path, self._at)
        match self._text[self._at : self._at + 1]:
            case "{":
                return self._object(path)
            case "[":
                return self._array(path)
            case '"':
                return self._string()
            case _:
                return self._scalar()

    def _object(self, path: KeyPath) -> dict[str, object]:
        found: dict[str, object] = {}
        self._at += 1
        while not self._closes("}", first=not found):
            self._skip()
            start = self._at
            key = self._string()
            if key in found:
                self._at = start
                raise self._wrong(f"the key {json.dumps(key)} is written twice")
            self._starts[(*path, key)] = start
            self._expect(":")
            found[key] = self._value((*path, key))
        return found

    def _array(self, path: KeyPath) -> list[object]:
        found: list[object] = []
        self._at += 1
        while not self._closes("]", first=not found):
            found.append(self._value((*path, len(found))))
        return found

    def _closes(self, bracket: str, *, first: bool) -> bool:
        self._skip()
        if self._text.startswith(bracket, self._at):
            self._at += 1
            return True
        if not first:
            self._expect(",")
        return False

    def _expect(self, character: str) -> None:
        self._skip()
        if not self._text.startswith(character, self._at):
            raise self._wrong(f"`{character}` is missing")
        self._at += 1

    def _string(self) -> str:
        if not self._text.startswith('"', self._at):
            raise self._wrong('a text in `"` is missing')
        try:
            value, self._at = _DECODER.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            self._at = error.pos
            raise self._wrong(error.msg[:1].lower() + error.msg[1:]) from None
        assert isinstance(value, str)
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise self._wrong("a text holds half of a surrogate pair")
        return value

    def _scalar(self) -> object:
        match = _SCALAR.match(self._text, self._at)
        if match is None or len(match[0]) > 100:
            raise self._wrong("a value is missing")
        self._at = match.end()
        value: object = json.loads(match[0])
        return value

    def _skip(self) -> None:
        blank = _BLANK.match(self._text, self._at)
        self._at = blank.end() if blank else self._at

    def _position(self, offset: int) -> tuple[int, int]:
        before = self._text.rfind("\n", 0, offset)
        return self._text.count("\n", 0, offset) + 1, offset - before

    def _wrong(self, message: str) -> JsonInvalid:
        return JsonInvalid(*self._position(self._at), message)
