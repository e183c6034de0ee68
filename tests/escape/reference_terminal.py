"""A reference terminal: which commands a real one would read out of a stream of bytes.

Written after the state machine that most terminals follow: a control character inside a sequence is carried out and the
sequence goes on, ESC starts anew from anywhere, and in UTF-8 the characters U+0080 to U+009F are ESC sequences, too.
Where terminals differ it takes the reading that is worse for us.
"""

from __future__ import annotations

import codecs
import re

import msgspec

_AFTER_ESCAPE = {"]": "osc", "[": "csi", "P": "dcs", "X": "string", "^": "string", "_": "string"}
_ABORT = "\x18\x1a"


class Seen(msgspec.Struct, frozen=True):
    """A command that the terminal read: its kind (`osc`, `csi`, `dcs`) and its content without control characters."""

    kind: str
    content: str

    @property
    def acts_outside(self) -> bool:
        """Whether it does more than draw: the clipboard, answers that are typed into the input, a printer."""
        number = re.match(r"\??0*(\d*)", self.content)
        first = number.group(1) if number else ""
        match self.kind:
            case "osc":
                return first in {"50", "52"}
            case "csi":
                return (self.content[-1:] == "t" and first in {"20", "21"}) or (
                    self.content[-1:] == "i" and first == "5"
                )
            case _:
                return self.content.startswith(("$q", "+q", "+p"))


def read(stream: bytes) -> list[Seen]:
    """Everything that a terminal would do beyond showing text."""
    text = codecs.decode(stream, "utf-8", "replace")
    text = re.sub("[\x80-\x9f]", lambda found: "\x1b" + chr(ord(found.group()) - 0x40), text)
    seen: list[Seen] = []
    state, content = "text", ""
    for letter in text:
        if letter == "\x1b" or letter in _ABORT or (letter == "\x07" and state in {"osc", "dcs", "string"}):
            if state in {"osc", "dcs"}:
                seen.append(Seen(state, content))
            state, content = ("escape" if letter == "\x1b" else "text"), ""
        elif letter < " " or letter == "\x7f":
            continue
        elif state == "escape":
            state = {"]": "osc", "[": "csi", "P": "dcs", "X": "string", "^": "string", "_": "string"}.get(
                letter, "text"
            )
        elif state in {"osc", "dcs"}:
            content += letter
        elif state == "csi":
            content += letter
            if "@" <= letter <= "~":
                seen.append(Seen("csi", content))
                state, content = "text", ""
    return seen
