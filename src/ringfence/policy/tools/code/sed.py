"""A sed script, exactly: the commands that read, write or execute, wherever they stand."""

from __future__ import annotations

import re

from ringfence.model.action import EffectKind
from ringfence.model.decision import Verdict
from ringfence.policy.tools.code import saying
from ringfence.policy.tools.reading import Reading

_NUMBER = re.compile(r"\d+")
_BRACKET = re.compile(r"\[\^?\]?(?:\[[:.=][^\]]*[:.=]\]|[^\]\n])*\]")
_STREAMS = frozenset({"/dev/stdout", "/dev/stderr", "/dev/stdin"})


class _Unclear(Exception):
    pass


def read(text: str, reading: Reading, home: str | None) -> None:
    """Add to a reading what a sed script does."""
    try:
        _Script(text, reading, home).run()
    except (_Unclear, IndexError):
        reading.unknown.append("a sed script that is not understood")
        if re.search(r"[ewW]", text) and re.search(r"(?:^|[;\n{}\d$/!])\s*[ewW]\b|/[a-zA-Z0-9]*[ew]", text):
            why = "the sed script is not understood, and it may run a command or write a file"
            reading.concerns.append(("code.unseen", Verdict.ASK, why))


class _Script:
    def __init__(self, text: str, reading: Reading, home: str | None) -> None:
        self.text = text
        self.at = 0
        self.reading = reading
        self.home = home

    def run(self) -> None:
        while True:
            self._skip(" \t\n;{}")
            if self.at >= len(self.text):
                return
            self._addresses()
            self._skip(" \t")
            if self.at < len(self.text):
                self._command()

    def _skip(self, characters: str) -> None:
        while self.at < len(self.text) and self.text[self.at] in characters:
            self.at += 1

    def _addresses(self) -> None:
        if self._address():
            self._skip(" \t")
            if self._next(","):
                self._skip(" \t")
                self._next("+") or self._next("~")
                if not self._address():
                    raise _Unclear
                self._skip(" \t")
        while self._next("!"):
            self._skip(" \t")

    def _next(self, character: str) -> bool:
        if self.text[self.at : self.at + 1] != character:
            return False
        self.at += 1
        return True

    def _address(self) -> bool:
        number = _NUMBER.match(self.text, self.at)
        if number is not None:
            self.at = number.end()
            if self._next("~"):
                step = _NUMBER.match(self.text, self.at)
                self.at = step.end() if step else self.at
            return True
        if self._next("$"):
            return True
        if self._next("\\"):
            delimiter = self.text[self.at]
            self.at += 1
        elif self._next("/"):
            delimiter = "/"
        else:
            return False
        self._delimited(delimiter)
        while self.text[self.at : self.at + 1] in {"I", "M"}:
            self.at += 1
        return True

    def _delimited(self, delimiter: str) -> str:
        """Text up to the delimiter, which a backslash or a bracket expression hides."""
        start = self.at
        while self.at < len(self.text):
            character = self.text[self.at]
            bracket = _BRACKET.match(self.text, self.at) if character == "[" else None
            if character == delimiter:
                self.at += 1
                return self.text[start : self.at - 1]
            if bracket is not None:
                self.at = bracket.end()
            else:
                self.at += 2 if character == "\\" else 1
        raise _Unclear

    def _command(self) -> None:
        name = self.text[self.at]
        self.at += 1
        if name == "#":
            self._line()
        elif name in "sy":
            self._substitution(name)
        elif name in "rRwW":
            self._file(name)
        elif name == "e":
            self._execute(self._line())
        elif name in "aic":
            self._insert()
        elif name in ":btT":
            self._label()
        elif name in "lLqQ":
            self._skip(" \t0123456789")
        elif name not in "=dDgGhHnNpPxzFv{}":
            raise _Unclear
        elif name == "v":
            self._label()

    def _line(self) -> str:
        end = self.text.find("\n", self.at)
        end = len(self.text) if end < 0 else end
        line, self.at = self.text[self.at : end], end
        return line.strip()

    def _label(self) -> None:
        while self.at < len(self.text) and self.text[self.at] not in ";\n}":
            self.at += 1

    def _insert(self) -> None:
        while True:
            end = self.text.find("\n", self.at)
            if end < 0:
                self.at = len(self.text)
                return
            continued = self.text[self.at : end].endswith("\\")
            self.at = end + 1
            if not continued:
                return

    def _file(self, name: str) -> None:
        self._opened(EffectKind.WRITE if name in "wW" else EffectKind.READ, self._line())

    def _opened(self, kind: EffectKind, name: str) -> None:
        if name and name not in _STREAMS:
            saying.path(self.reading, kind, name)

    def _execute(self, command: str) -> None:
        if command:
            saying.shell(self.reading, command)
        else:
            saying.starts_something(self.reading, "the command `e` runs the line that was read")

    def _substitution(self, name: str) -> None:
        delimiter = self.text[self.at]
        self.at += 1
        if delimiter in "\n\\":
            raise _Unclear
        self._delimited(delimiter)
        self._plain(delimiter)
        while name == "s" and self.at < len(self.text):
            flag = self.text[self.at]
            self.at += 1
            if flag == "w":
                self._opened(EffectKind.WRITE, self._line())
            elif flag == "e":
                saying.starts_something(self.reading, "`s///e` runs the line that was read")
            elif flag not in "gpiImM0123456789":
                self.at -= 1
                break

    def _plain(self, delimiter: str) -> None:
        while self.at < len(self.text):
            character = self.text[self.at]
            self.at += 2 if character == "\\" else 1
            if character == delimiter:
                return
        raise _Unclear
