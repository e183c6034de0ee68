"""When colours are wanted, and which."""

from __future__ import annotations

import os
from typing import TextIO


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
