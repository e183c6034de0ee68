"""Bash-exact expansion of one word: unquoting, braces, tilde, the values of variables, and word splitting.

What file names a glob becomes is not known here, only that it is one. An expansion whose value is not certain is a
hole, and a word with a hole has no text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from ringfence.policy.shell.syntax import Piece, Text
from ringfence.policy.shell.tree import Word

MAX_BRACE_WORDS = 64
MAX_BRACES = 16
MAX_BRACE_CELLS = 2048
DEFAULT_IFS = " \t\n"

_ESCAPES = {"a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ANSI_C = re.compile(
    r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|c(.)|(.))", re.DOTALL
)
_NUMBERS = re.compile(r"([+-]?\d+)\.\.([+-]?\d+)(?:\.\.([+-]?\d+))?")
_LETTERS = re.compile(r"([A-Za-z])\.\.([A-Za-z])(?:\.\.([+-]?\d+))?")
_NAME_EQUALS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_SPECIAL = re.compile(r"[*?\[{~]")
_LONE_DOLLAR = re.compile(r"\$(?![A-Za-z0-9_{(\[@*#?$!'\"-])")
_IN_DOUBLE_QUOTES = re.compile(r"\\([$`\"\\\n])")

_LITERAL, _QUOTED, _VALUE = 0, 1, 2
Cell = tuple[str, int]
"""One character, and whether it was written bare, was quoted, or came out of a variable. A hole is the empty text."""


class Known(msgspec.Struct, frozen=True):
    """What is certain where a word is expanded."""

    values: Mapping[str, str]
    """The variables whose value is known."""
    splits: bool = True
    """Unquoted values are split at white space, as nothing else was asked for."""
    tilde: str | None = None
    """What `~` stands for; nothing where that is not certain."""
    literal_tilde: bool = False
    """Nobody said where home is: `~` is left as it is written."""
    assignments: bool = True
    """Arguments that look like assignments get tilde expansion, as in Bash but not in its POSIX mode."""


def unquoted(text: str) -> tuple[Piece, ...]:
    """A run outside quotes: a backslash quotes the next character, and with a newline it vanishes."""
    if "\\" not in text:
        return (Piece(text, False),) if text else ()
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
            pieces.append(Piece(text[at:end], text[at] == "\\"))
            at = end
    return tuple(pieces)


def in_double_quotes(text: str) -> Piece:
    """A run between double quotes: a backslash only quotes `$`, a backtick, `"` and itself, and joins lines."""
    if "\\" in text:
        text = _IN_DOUBLE_QUOTES.sub(lambda match: "" if match[1] == "\n" else match[1], text)
    return Piece(text, True)


def in_here_document(text: str) -> Piece:
    """A run of a here-document whose end is not quoted: as in double quotes, but `"` is nothing special."""
    return Piece(re.sub(r"\\([$`\\\n])", lambda match: "" if match[1] == "\n" else match[1], text), True)


def ansi_c(text: str) -> Piece | None:
    """What stands between `$'` and `'`; nothing where that depends on the locale or is no text."""
    try:
        value = _ANSI_C.sub(_escape, text)
        decoded = value.encode("latin-1").decode("utf-8") if _is_bytes(value, text) else value
    except (ValueError, OverflowError):
        return None
    return None if "\0" in decoded else Piece(decoded, True)


def words(text: Text, known: Known) -> tuple[Word, ...]:
    """The words that one written word becomes."""
    pieces = text.pieces
    if len(pieces) == 1 and not pieces[0].hole:
        only = pieces[0]
        if only.quoted or not _SPECIAL.search(only.text):
            return (Word(text=only.text, raw=text.raw),)
    if any(piece.name for piece in pieces):
        pieces = _trusted(text)
    cells = _cells(pieces, known)
    process = any(piece.process for piece in pieces)
    expanded = _braces(cells) if ("{", _LITERAL) in cells else [cells]
    if expanded is None:
        return (Word(text=None, raw=text.raw, splits=True, process=process),)
    # What braces were expanded in looks like an assignment to Bash no more.
    arguments = known.assignments and expanded == [cells] and bool(_NAME_EQUALS.match(text.raw))
    found: list[Word] = []
    for one in expanded:
        tilde = _tilde(one, known, assignment=False, arguments=arguments)
        if tilde is None:
            found.append(Word(text=None, raw=text.raw))
            continue
        found.extend(_word(part, text.raw, process=process) for part in _split(tilde))
    return tuple(found)


def is_braced(text: Text, known: Known) -> bool:
    """Whether braces in it are expanded, which Bash does in every argument, also where it looks like an assignment."""
    if not any("{" in piece.text for piece in text.pieces if not (piece.quoted or piece.hole)):
        return False
    cells = _cells(text.pieces, known)
    return _braces(cells) != [cells]


def value(text: Text, known: Known, *, begin: int = 0) -> Word:
    """The value that an assignment gives: neither split nor made of braces, with a tilde behind each colon.

    It begins behind the name where that is a part of the word.
    """
    pieces = text.pieces
    if len(pieces) == 1 and not pieces[0].hole and (pieces[0].quoted or "~" not in pieces[0].text):
        return Word(text=pieces[0].text, raw=text.raw)
    tilde = _tilde(_cells(pieces, known), known, assignment=True, begin=begin)
    process = any(piece.process for piece in pieces)
    if tilde is None or any(character == "" for character, _ in tilde):
        return Word(text=None, raw=text.raw, process=process)
    return Word(text=_joined(tilde), raw=text.raw, process=process)


def _trusted(text: Text) -> tuple[Piece, ...]:
    """The pieces, with the variables forgotten whose value Bash does not simply put in their place."""
    if _LONE_DOLLAR.search(text.raw):
        return tuple(Piece("", piece.quoted, hole=True) if piece.hole else piece for piece in text.pieces)
    if "{" not in text.raw:
        return text.pieces
    # Braces come first: `$x{a,b}` is `$xa $xb`.
    return tuple(
        Piece("", piece.quoted, hole=True) if piece.name and f"${piece.name}" in text.raw else piece
        for piece in text.pieces
    )


def _cells(pieces: Sequence[Piece], known: Known) -> list[Cell]:
    cells: list[Cell] = []
    for piece in pieces:
        text, mark = piece.text, _QUOTED if piece.quoted else _LITERAL
        if piece.hole:
            held = known.values.get(piece.name) if piece.name else None
            if held is None or not (piece.quoted or known.splits):
                cells.append(("", mark))
                continue
            text, mark = held, _QUOTED if piece.quoted else _VALUE
        if not text:
            # An empty quoted string makes a word, and no character; an empty value only keeps the place.
            cells.append(("\0", mark))
            continue
        cells.extend([(character, mark) for character in text])
    return cells


def _split(cells: list[Cell]) -> list[list[Cell]]:
    """Split where an unquoted value holds white space; nothing at all makes no word."""
    parts: list[list[Cell]] = [[]]
    for cell in cells:
        if cell[1] == _VALUE and cell[0] and cell[0] in DEFAULT_IFS:
            parts.append([])
        else:
            parts[-1].append(cell)
    return [part for part in parts if any(cell != ("\0", _VALUE) for cell in part)]


def _word(cells: Sequence[Cell], raw: str, *, process: bool) -> Word:
    if any(character == "" for character, _ in cells):
        splits = any(character == "" and mark != _QUOTED for character, mark in cells)
        return Word(text=None, raw=raw, splits=splits, process=process)
    glob = any(mark != _QUOTED and character in "*?[" for character, mark in cells)
    return Word(text=_joined(cells), raw=raw, glob=glob, process=process)


def _joined(cells: Sequence[Cell]) -> str:
    return "".join([character for character, _ in cells if character != "\0"])


def _tilde(
    cells: list[Cell], known: Known, *, assignment: bool, arguments: bool = False, begin: int = 0
) -> list[Cell] | None:
    """The cells with every tilde expanded, or nothing where one is not certain."""
    if ("~", _LITERAL) not in cells:
        return cells
    starts = [begin]
    if arguments:
        # In Bash an argument that looks like an assignment is expanded like one.
        bare = "".join(itertools.takewhile(bool, (char if mark == _LITERAL else "" for char, mark in cells)))
        match = _NAME_EQUALS.match(bare)
        if match:
            starts.append(match.end())
            assignment = True
    if assignment:
        first = starts[-1]
        starts.extend(at + 1 for at, cell in enumerate(cells) if cell == (":", _LITERAL) and at >= first)
    ends = {"/", ":"} if assignment else {"/"}
    for start in reversed(starts):
        if start < len(cells) and cells[start] == ("~", _LITERAL):
            end = next((at for at in range(start, len(cells)) if cells[at][0] in ends), len(cells))
            name = cells[start + 1 : end]
            literal = list(itertools.takewhile(lambda cell: cell[0] and cell[1] == _LITERAL, name))
            if (":", _LITERAL) in literal:
                return None  # Bash may end a name there too, and then quotes what follows
            if any(mark != _LITERAL or not character for character, mark in name):
                continue  # a quoted letter or a variable in it: no tilde expansion
            if name or known.tilde is None:
                if not name and known.literal_tilde:
                    continue
                return None
            cells = [*cells[:start], *((character, _QUOTED) for character in known.tilde), *cells[end:]]
    return cells


def _braces(cells: Sequence[Cell]) -> list[list[Cell]] | None:
    """Every word of a brace expansion, or nothing where there are too many."""
    if len(cells) > MAX_BRACE_CELLS or cells.count(("{", _LITERAL)) > MAX_BRACES:
        return None
    finished: list[list[Cell]] = []
    waiting = [(list(cells), 0)]
    while waiting:
        if len(waiting) + len(finished) > MAX_BRACE_WORDS:
            return None
        current, done = waiting.pop()
        found = _first_brace(current, done)
        if found is None:
            finished.append(current)
            continue
        start, end, options = found
        if options is None or len(options) > MAX_BRACE_WORDS:
            return None
        waiting.extend(([*current[:start], *option, *current[end:]], start) for option in reversed(options))
    return finished


def _first_brace(cells: Sequence[Cell], begin: int) -> tuple[int, int, list[list[Cell]] | None] | None:
    for start in range(begin, len(cells)):
        if cells[start] == ("{", _LITERAL):
            if cells[start + 1 : start + 2] == [("}", _LITERAL)]:
                if start == 0:
                    continue  # `{}` at the start of a word is itself
                if (",", _LITERAL) in cells[start:]:
                    return start, len(cells), None
            found = _options(cells, start)
            if found is not None:
                return (start, *found)
    return None


def _options(cells: Sequence[Cell], start: int) -> tuple[int, list[list[Cell]] | None] | None:
    """The end of the brace group that starts here and its alternatives, where it is one.

    As in Bash, a brace closes a group only behind a comma or two dots; until then it is a character like any other.
    """
    depth, dots = 0, False
    commas = [start]
    for at in range(start + 1, len(cells)):
        match cells[at]:
            case ("{", 0):
                depth += 1
            case (",", 0) if depth == 0:
                commas.append(at)
            case (".", 0) if depth == 0 and at + 2 < len(cells):
                dots = dots or (cells[at + 1][0] == "." and cells[at + 2][0] != "}")
            case ("}", 0):
                if depth:
                    depth -= 1
                elif len(commas) > 1 or dots:
                    return _alternatives(cells, [*commas, at])
    return None


def _alternatives(cells: Sequence[Cell], bounds: list[int]) -> tuple[int, list[list[Cell]] | None]:
    start, end = bounds[0], bounds[-1]
    if len(bounds) > 2:
        pairs = itertools.pairwise(bounds)
        return end + 1, [list(cells[low + 1 : high]) for low, high in pairs]
    group = cells[start + 1 : end]
    if any(character in {",", ""} for character, _ in group):
        return end + 1, None
    inside = "".join(character for character, _ in group)
    bare = all(mark == _LITERAL for _, mark in group)
    numbers = _NUMBERS.fullmatch(inside) if bare else None
    if numbers:
        return end + 1, _number_range(*numbers.groups())
    letters = _LETTERS.fullmatch(inside) if bare else None
    if letters:
        return end + 1, _letter_range(*letters.groups())
    # Two dots that make no range: the group stays as it is written.
    return end + 1, [[(one, _QUOTED if one in {"{", "}"} else mark) for one, mark in cells[start : end + 1]]]


def _number_range(first: str, last: str, step: str | None) -> list[list[Cell]] | None:
    if max(len(first), len(last), len(step or "")) > 9:
        return None
    found = _counted(int(first), int(last), step)
    if found is None:
        return None
    padded = any(re.match(r"[+-]?0\d", end) for end in (first, last))
    width = max(len(first), len(last)) if padded else 0
    return [[(character, _LITERAL) for character in f"{number:0{width}d}"] for number in found]


def _letter_range(first: str, last: str, step: str | None) -> list[list[Cell]] | None:
    if first.isupper() != last.isupper() or len(step or "") > 9:
        return None
    found = _counted(ord(first), ord(last), step)
    if found is None:
        return None
    # The characters between `Z` and `a` would be glob characters otherwise.
    return [[(chr(number), _LITERAL if chr(number).isalnum() else _QUOTED)] for number in found]


def _counted(first: int, last: int, step: str | None) -> range | None:
    width = abs(int(step or 1)) or 1
    found = range(first, last + 1, width) if first <= last else range(first, last - 1, -width)
    return found if len(found) <= MAX_BRACE_WORDS else None


def _is_bytes(value: str, text: str) -> bool:
    """Whether escapes gave bytes that only together make characters."""
    return not value.isascii() and text.isascii()


@lru_cache(maxsize=256)
def _control(character: str) -> str:
    if not character.isascii() or not character.isalpha():
        raise ValueError(character)
    return chr(ord(character.upper()) & 0x1F)


def _escape(match: re.Match[str]) -> str:
    octal, byte, short, long, control, other = match.groups()
    if octal is not None:
        return _byte(int(octal, 8) & 0xFF, match)
    if byte is not None:
        return _byte(int(byte, 16), match)
    digits = short or long
    if digits is not None:
        number = int(digits, 16)
        if number >= 0x80:
            raise ValueError(digits)  # what it becomes depends on the locale
        return chr(number)
    if control is not None:
        return _control(control)
    return _ESCAPES.get(other, other if other in "\\'\"?" else f"\\{other}")


def _byte(number: int, match: re.Match[str]) -> str:
    if number >= 0x80 and not match.string.isascii():
        raise ValueError(match.string)
    return chr(number)
