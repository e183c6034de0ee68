"""Text for a terminal: what may be printed as it is, and when colours are wanted."""

from __future__ import annotations

import os
import shlex
import unicodedata
from collections.abc import Iterable
from typing import TextIO

_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories that a person cannot see, or that reorder what is seen: controls, formats, surrogates ..."""


def visible(text: str) -> str:
    """The text with every character that could hide or reorder something written as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def visible_argv(argv: Iterable[str]) -> str:
    """An argument vector as one would type it in a shell, with nothing invisible left."""
    return " ".join(shlex.quote(word) if visible(word) == word else f"$'{visible(word)}'" for word in argv)


def _escaped(character: str) -> str:
    category = unicodedata.category(character)
    if category not in _INVISIBLE and not (category == "Zs" and character != " "):
        return character
    code = ord(character)
    if code < 0x100:
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\x1b": "\\e"}.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def wants_colour(stream: TextIO) -> bool:
    """Whether colours help here: a terminal that is not dumb, and nobody who said no (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


class Palette:
    """Wraps words in colours, or leaves them alone."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def bold(self, text: str) -> str:
        """For what the line is about."""
        return self._wrap("1", text)

    def dim(self, text: str) -> str:
        """For what is there to be looked up."""
        return self._wrap("2", text)

    def red(self, text: str) -> str:
        """For denials."""
        return self._wrap("31", text)

    def green(self, text: str) -> str:
        """For what went through."""
        return self._wrap("32", text)

    def yellow(self, text: str) -> str:
        """For questions and notices."""
        return self._wrap("33", text)

    def _wrap(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text
