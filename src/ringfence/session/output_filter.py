"""What a program inside the sandbox may say to the user's terminal.

Terminal output is a language, and some of its sentences act outside the window: they write the clipboard, ask the
terminal to answer as if the user had typed, or open files and printers. Those are removed; text, colours, cursor
movement, titles and links pass unchanged. Bytes in, bytes out; a sequence that is cut between two calls is kept back.
"""

from __future__ import annotations

_ESC = 0x1B
_MAX_HELD = 1 << 16

_FORBIDDEN_OSC = (b"50", b"52", b"1337", b"9001", b"777", b"633", b"697")
"""Operating system commands that leave the window: font queries, the clipboard, file transfer, notifications that
carry commands, and the shell-integration sequences by which a terminal learns what "ran"."""


class OutputFilter:
    """Removes the escape sequences that act on the user's machine."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """The part of the output so far that may be shown now."""
        data = self._held + data
        self._held = b""
        if _ESC not in data:
            return data
        out = bytearray()
        position = 0
        while True:
            start = data.find(b"\x1b", position)
            if start < 0:
                return bytes(out + data[position:])
            out += data[position:start]
            end = _end_of_sequence(data, start)
            if end is None:
                self._hold(data[start:])
                return bytes(out)
            sequence = data[start:end]
            if not _forbidden(sequence):
                out += sequence
            position = end

    def _hold(self, rest: bytes) -> None:
        # SECURITY: an endless string sequence would hold everything back for ever; past the limit it is dropped.
        self._held = rest if len(rest) <= _MAX_HELD else b""


def _end_of_sequence(data: bytes, start: int) -> int | None:
    """The index behind the escape sequence at `start`; None where more bytes have to come first."""
    if start + 1 >= len(data):
        return None
    introducer = data[start + 1]
    if introducer in b"]PX^_":
        return _end_of_string(data, start + 2)
    if introducer == ord("["):
        for index in range(start + 2, len(data)):
            if 0x40 <= data[index] <= 0x7E:
                return index + 1
        return None
    return start + 2


def _end_of_string(data: bytes, start: int) -> int | None:
    """A string sequence ends with BEL or with ESC and a backslash; CAN, SUB and any other ESC abort it."""
    for index in range(start, len(data)):
        byte = data[index]
        if byte in (0x07, 0x18, 0x1A):
            return index + 1
        if byte == _ESC:
            if index + 1 >= len(data):
                return None
            return index + 2 if data[index + 1] == ord("\\") else index
    return None


def _forbidden(sequence: bytes) -> bool:
    introducer = sequence[1:2]
    if introducer == b"]":
        code = sequence[2:].split(b";", 1)[0].rstrip(b"\x07\x1b\\")
        return code in _FORBIDDEN_OSC
    if introducer == b"P":
        # Device control strings: DECRQSS and XTGETTCAP answer into the input; sixel and the rest are pictures.
        return sequence[2:4] in (b"$q", b"+q", b"+p") or b"tmux;" in sequence[2:8]
    if introducer == b"[":
        # CSI t with 20 or 21 makes the terminal type its title into the input; CSI 5 i starts its printer.
        return sequence in (b"\x1b[20t", b"\x1b[21t", b"\x1b[5i", b"\x1b[?5i")
    return False
