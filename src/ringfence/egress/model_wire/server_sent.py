"""Server-sent events, as bytes come: the data of each event, whole. Names, ids and comments are of no concern."""

from __future__ import annotations

from collections.abc import Iterator

MOST = 8 * 1024 * 1024
"""The longest event that is read; a longer one is left out, and counted."""
_MARK = b"\xef\xbb\xbf"


class ServerSent:
    """One stream."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._after_return = False
        self._begun = False
        self.left_out = 0
        """Events that were too long."""

    @property
    def kept(self) -> int:
        """How many bytes it keeps of an event that is not complete."""
        return len(self._line) + min(self._size, MOST)

    def take(self, data: bytes) -> Iterator[bytes]:
        """The data of the events that are complete with these bytes."""
        if self._after_return and data:
            # Only the one that belongs to the return: the next one is an empty line, which ends an event.
            data = data.removeprefix(b"\n")
            self._after_return = False
        if data:
            self._after_return = data.endswith(b"\r")
        self._line += data
        if not (b"\n" in data or b"\r" in data):
            self._trim()
            return
        text = bytes(self._line).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._line = bytearray(rest)
        self._trim()
        for line in lines:
            found = self._read(self._without_mark(line))
            if found is not None:
                yield found

    def finish(self) -> bytes | None:
        """The data of an event whose end is that of the stream."""
        line, self._line = bytes(self._line), bytearray()
        if line:
            self._read(self._without_mark(line))
        return self._read(b"")

    def _without_mark(self, line: bytes) -> bytes:
        """Without the mark of the encoding, with which a stream may begin."""
        if not self._begun:
            self._begun = True
            return line.removeprefix(_MARK)
        return line

    def _read(self, line: bytes) -> bytes | None:
        if not line:
            data, self._data = self._data, []
            whole, self._size = self._size <= MOST, 0
            if not whole:
                self.left_out += 1
            return b"\n".join(data) if data and whole else None
        name, _, value = line.partition(b":")
        if name == b"data":
            value = value.removeprefix(b" ")
            self._size += len(value) + 1
            if self._size <= MOST:
                self._data.append(value)
        return None

    def _trim(self) -> None:
        if len(self._line) > MOST + 16:
            self._size += len(self._line)
            del self._line[16:]
