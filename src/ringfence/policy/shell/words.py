"""Bash-exact unquoting: from the pieces of a word to the words that a program gets.

A piece is a run of characters that are quoted or not, or a hole where an expansion stands. Brace expansion happens
here, with a limit; what file names a glob becomes is not known here, only that it is one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

import msgspec

from ringfence.policy.shell.tree import Word

MAX_BRACE_WORDS = 64
MAX_BRACES = 16
MAX_BRACE_CELLS = 2048

_ESCAPES = {"a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ANSI_C = re.compile(
    r"\\(?:([0-7]{1,3})|x\{?([0-9a-fA-F]{1,2})\}?|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|c(.)|(.))", re.DOTALL
)
_RANGE = re.compile(r"(-?\d+|[A-Za-z])\.\.(-?\d+|[A-Za-z])(?:\.\.-?\d+)?")


class Piece(msgspec.Struct, frozen=True):
    """One run of characters of a word, or a hole."""

    text: str
    quoted: bool
    hole: bool = False
    process: bool = False


Cell = tuple[str, bool]
"""One character and whether it is quoted. A hole is the empty text, quoted or not."""


def unquoted(text: str) -> tuple[Piece, ...]:
    """A run outside quotes: a backslash quotes the next character, and with a newline it vanishes."""
    pieces = []
    at = 0
    while at < len(text):
        if text[at] == "\\" and at + 1 < len(text):
            if text[at + 1] != "\n":
                pieces.append(Piece(text[at + 1], True))
            at += 2
        else:
            end = text.find("\\", at + 1)
            end = len(text) if end < 0 else end
            pieces.append(Piece(text[at:end], False))
            at = end
    return tuple(pieces)


def in_double_quotes(text: str) -> Piece:
    """A run between double quotes: a backslash only quotes `$`, a backtick, `"` and itself, and joins lines."""
    return Piece(re.sub(r"\\([$`\"\\\n])", lambda match: "" if match[1] == "\n" else match[1], text), True)


def ansi_c(text: str) -> Piece | None:
    """What stands between `$'` and `'`; nothing where it would end the word early or is no character."""
    try:
        value = _ANSI_C.sub(_escape, text)
    except (ValueError, OverflowError):
        return None
    return None if "\0" in value else Piece(value, True)


def words(pieces: Sequence[Piece], *, raw: str, home: str | None) -> tuple[Word, ...]:
    """The words that the pieces of one word become."""
    cells = [cell for piece in pieces for cell in _cells(piece)]
    process = any(piece.process for piece in pieces)
    expanded = _braces(cells) if ("{", False) in cells else [cells]
    if expanded is None:
        return (Word(text=None, raw=raw, splits=True, process=process),)
    # An alternative without any character, as in `{,x}`, makes no word.
    return tuple(_word(one, raw=raw, home=home, process=process) for one in expanded if one or not cells)


def _cells(piece: Piece) -> Iterator[Cell]:
    if piece.hole:
        yield "", piece.quoted
    elif not piece.text:
        yield "\0", True  # an empty quoted string: it makes a word, and no character
    else:
        for character in piece.text:
            yield character, piece.quoted


def _word(cells: Sequence[Cell], *, raw: str, home: str | None, process: bool) -> Word:
    if any(character == "" for character, _ in cells):
        splits = any(character == "" and not quoted for character, quoted in cells)
        return Word(text=None, raw=raw, splits=splits, process=process)
    text = "".join(character for character, _ in cells if character != "\0")
    glob = any(character in "*?[" and not quoted for character, quoted in cells)
    if cells and cells[0] == ("~", False):
        name = text[1:].partition("/")[0]
        quoted = any(quoted for _, quoted in cells[1 : 1 + len(name)])
        if not quoted:
            if name or home is None:
                return Word(text=None if name else text, raw=raw, glob=glob)
            text = home + text[1:]
    return Word(text=text, raw=raw, glob=glob)


def _braces(cells: Sequence[Cell]) -> list[list[Cell]] | None:
    """Every word of a brace expansion, or nothing where there are too many."""
    if len(cells) > MAX_BRACE_CELLS or cells.count(("{", False)) > MAX_BRACES:
        return None
    finished: list[list[Cell]] = []
    waiting = [list(cells)]
    while waiting:
        if len(waiting) + len(finished) > MAX_BRACE_WORDS:
            return None
        current = waiting.pop()
        found = _first_brace(current)
        if found is None:
            finished.append(current)
        else:
            start, end, options = found
            waiting.extend([*current[:start], *option, *current[end:]] for option in reversed(options))
    return finished


def _first_brace(cells: Sequence[Cell]) -> tuple[int, int, list[list[Cell]]] | None:
    for start, cell in enumerate(cells):
        if cell == ("{", False):
            found = _options(cells, start)
            if found is not None:
                return (start, *found)
    return None


def _options(cells: Sequence[Cell], start: int) -> tuple[int, list[list[Cell]]] | None:
    """The end of the brace group that starts here and its alternatives, where it is one."""
    depth = 0
    commas = [start]
    for at in range(start, len(cells)):
        match cells[at]:
            case ("{", False):
                depth += 1
            case (",", False) if depth == 1:
                commas.append(at)
            case ("}", False):
                depth -= 1
                if depth == 0:
                    return _alternatives(cells, [*commas, at])
    return None


def _alternatives(cells: Sequence[Cell], bounds: list[int]) -> tuple[int, list[list[Cell]]] | None:
    start, end = bounds[0], bounds[-1]
    if len(bounds) > 2:
        pairs = itertools.pairwise(bounds)
        return end + 1, [list(cells[low + 1 : high]) for low, high in pairs]
    inside = "".join(character for character, quoted in cells[start + 1 : end] if not quoted)
    if _RANGE.fullmatch(inside):
        return end + 1, [[("", True)]]
    return None


def _escape(match: re.Match[str]) -> str:
    octal, byte, short, long, control, other = match.groups()
    if octal is not None:
        return chr(int(octal, 8) & 0xFF)
    digits = byte or short or long
    if digits is not None:
        return chr(int(digits, 16))
    if control is not None:
        return chr(ord(control.upper()) & 0x1F)
    return _ESCAPES.get(other, other if other in "\\'\"?" else f"\\{other}")
