"""Text that somebody else wrote, made safe to show: what a person sees is what is there.

Control characters, escape sequences, and characters that reorder or hide text appear as visible escapes, so that no
file name, argument or host can draw on a terminal or look like another one.
"""

from __future__ import annotations

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str) -> str:
    """The text with all that is not plainly visible escaped, and the backslash too, so that no two look alike."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_visible, text))


def visible_argv(argv: tuple[str, ...]) -> str:
    """An argument vector on one line, each word quoted where its borders would not be seen otherwise."""
    return " ".join(_word(word) for word in argv)


def shortened(text: str, width: int) -> str:
    """The text, or its beginning and its end, in at most `width` characters: the end of a command matters too."""
    if len(text) <= width:
        return text
    tail = width // 3
    return f"{text[: width - tail - 1]}…{text[len(text) - tail :]}"


def _word(word: str) -> str:
    plain = visible(word)
    if plain and all(character.isalnum() or character in "%+,-./:=@_^~" for character in plain):
        return plain
    return "'" + plain.replace("'", "'\\''") + "'"


def _visible(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character in "\n\t\r":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}[character]
    # A space that is not the space, and a mark without a letter of its own, are as good as hidden.
    category = unicodedata.category(character)
    if category in _HIDDEN or (category == "Zs" and character != " ") or category in {"Mn", "Me"}:
        code = ord(character)
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return character
