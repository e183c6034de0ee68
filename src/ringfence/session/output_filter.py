"""What a program inside the sandbox may say to the user's terminal.

Terminal output is a language, and some of its sentences act outside the window: they write the clipboard, ask the
terminal to answer as if the user had typed, or open files and printers. Those are removed; text, colours, cursor
movement, titles and links pass unchanged. Bytes in, bytes out; a sequence that is cut between two calls is kept back.

A terminal is a state machine, and so is this: a control character inside a sequence is carried out and the sequence
goes on, ESC starts anew from anywhere, and U+0080 to U+009F are escape sequences of one character.
"""

from __future__ import annotations

import codecs
import re
from enum import Enum, auto

_MAX_HELD = 1 << 16

_FORBIDDEN_OSC = frozenset((50, 52, 633, 697, 777, 1337, 9001))
"""Operating system commands that leave the window: font queries, the clipboard, file transfer, notifications that
carry commands, and the shell-integration sequences by which a terminal learns what "ran"."""
_FORBIDDEN_DCS = ("$q", "+q", "+p")
"""DECRQSS and XTGETTCAP answer into the input; sixel and the rest are pictures."""
_FORBIDDEN_CSI = frozenset((("t", 20), ("t", 21), ("i", 5)))
"""The terminal types its title into the input, or starts its printer."""

# SECURITY: a lone byte of this range is an escape sequence for a terminal that does not speak UTF-8 (T4).
_STRAY = re.compile("[\udc80-\udc9f]")
_PLAIN = re.compile("(?:[^\x1b\x80-\x9f]+|\x1b\\[[0-9;?]*[A-HJKSTfhlmrsu])+")
"""Text, and the whole sequences for colour and movement, which are nearly all there are."""
_NUMBER = re.compile(r"[<=>?]*0*(\d*)")


class _State(Enum):
    TEXT = auto()
    ESCAPE = auto()
    CONTROL = auto()
    STRING = auto()
    STRING_END = auto()
    """ESC was seen in a string; a backslash ends it, anything else aborts it."""


class OutputFilter:
    """Removes the escape sequences that act on the user's machine."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._state = _State.TEXT
        self._kind = ""
        self._held = ""
        self._out: list[str] = []

    def feed(self, data: bytes) -> bytes:
        """The part of the output so far that may be shown now."""
        text = _STRAY.sub("", self._decoder.decode(data))
        position = 0
        while position < len(text):
            if self._state is _State.TEXT:
                if plain := _PLAIN.match(text, position):
                    self._out.append(plain.group())
                    position = plain.end()
                    continue
            self._take(text[position])
            position += 1
        shown, self._out = "".join(self._out), []
        return shown.encode("utf-8", "surrogateescape")

    def _take(self, letter: str) -> None:
        if "\x80" <= letter <= "\x9f":
            self._take("\x1b")
            self._take(chr(ord(letter) - 0x40))
        elif letter == "\x1b":
            self._start(_State.STRING_END if self._state is _State.STRING else _State.ESCAPE)
        elif letter in "\x18\x1a":
            self._start(_State.TEXT)
        elif self._state is _State.STRING:
            self._take_in_string(letter)
        elif self._state is _State.STRING_END and letter == "\\":
            self._end_string("\x1b\\")
        elif letter < " " or letter == "\x7f":
            self._out.append(letter)
        elif self._state is _State.CONTROL:
            self._take_in_control(letter)
        else:
            self._take_after_escape(letter)

    def _take_after_escape(self, letter: str) -> None:
        if self._state is _State.STRING_END:
            self._start(_State.ESCAPE)
        if not self._held and letter in "[]PX^_":
            self._start(_State.CONTROL if letter == "[" else _State.STRING)
            self._kind = letter
        elif " " <= letter <= "/" and len(self._held) < 8:
            self._held += letter
        else:
            self._out.append(f"\x1b{self._held}{letter}")
            self._start(_State.TEXT)

    def _take_in_control(self, letter: str) -> None:
        self._hold(letter)
        if letter > "~":
            self._start(_State.TEXT)
        elif letter >= "@":
            number = _NUMBER.match(self._held)
            first = int(number[1]) if number and len(number[1]) in range(1, 9) else 0
            if (letter, first) not in _FORBIDDEN_CSI:
                self._out.append(f"\x1b[{self._held}")
            self._start(_State.TEXT)

    def _take_in_string(self, letter: str) -> None:
        if letter == "\x07":
            self._end_string("\x07")
        elif letter >= " " and letter != "\x7f":
            self._hold(letter)

    def _end_string(self, terminator: str) -> None:
        if self._may_be_shown():
            self._out.append(f"\x1b{self._kind}{self._held}{terminator}")
        self._start(_State.TEXT)

    def _may_be_shown(self) -> bool:
        if len(self._held) >= _MAX_HELD:
            return False
        if self._kind == "]":
            number = re.match(r"0*(\d{1,8})(;|$)", self._held)
            return bool(number and int(number[1]) not in _FORBIDDEN_OSC) or self._held[:1] in ("l", "L", "I")
        if self._kind == "P":
            return not self._held.startswith(_FORBIDDEN_DCS) and "tmux;" not in self._held[:6]
        # SECURITY: the other strings draw nothing in most terminals, and open files by name in one of them (T4).
        return False

    def _hold(self, letter: str) -> None:
        # SECURITY: an endless string would hold memory for ever; past the limit it is dropped to its end.
        if len(self._held) < _MAX_HELD:
            self._held += letter

    def _start(self, state: _State) -> None:
        self._state = state
        if state is not _State.STRING_END:
            self._held = ""
