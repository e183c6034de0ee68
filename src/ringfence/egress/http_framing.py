"""Bodies of inspected messages: taken out of their framing on one side, put into ours on the other.

Chunks of requests are read strictly, as in `http_body`; those of responses may carry extensions and trailers, which are
dropped, because what the client gets is framed anew.
"""

from __future__ import annotations

import re

from ringfence.egress.http_head import HeadInvalid

LAST_CHUNK = b"0\r\n\r\n"
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*")
_LONGEST_LINE = 4096
_LONGEST_STRICT_LINE = 17
_MOST_TRAILERS = 32_768


class FramedBody:
    """The body of one message: feed it what comes behind the head."""

    __slots__ = ("_chunked", "_left", "_line", "_strict", "_trailing", "finished", "until_close")

    def __init__(self, length: int | None, *, chunked: bool, strict: bool) -> None:
        self._chunked = chunked
        self._strict = strict
        self._left = length or 0
        """Of the body, or of a chunk with its CRLF."""
        self._line = b""
        self._trailing = -1
        """How many bytes of trailers there were; -1 before the last chunk."""
        self.until_close = length is None and not chunked
        """Whether only the end of the connection ends it."""
        self.finished = not chunked and length == 0

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """What is the body's, and what is behind it; `HeadInvalid` where the chunks are malformed."""
        if self.finished:
            return b"", data
        if self.until_close:
            return data, b""
        if not self._chunked:
            taken = data[: self._left] if len(data) > self._left else data
            self._left -= len(taken)
            self.finished = self._left == 0
            return taken, data[len(taken) :]
        return self._chunks(data)

    def end(self) -> None:
        """The connection ended; `HeadInvalid` where the body is not complete."""
        if self.until_close:
            self.finished = True
        if not self.finished:
            raise HeadInvalid("the connection ended within a body")

    def _chunks(self, data: bytes) -> tuple[bytes, bytes]:
        pieces: list[bytes] = []
        at = 0
        while at < len(data) and not self.finished:
            if self._left > 2:
                piece = data[at : at + self._left - 2]
                pieces.append(piece)
                self._left -= len(piece)
                at += len(piece)
            elif self._left:
                self._require(data[at] == b"\r\n"[2 - self._left], "a chunk that is longer than it says")
                self._left -= 1
                at += 1
            else:
                at += self._read_line(data, at)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), data[at:]

    def _read_line(self, data: bytes, at: int) -> int:
        """Reads on in a size line or a trailer. Says how many bytes were read."""
        end = data.find(b"\n", at)
        part = data[at:] if end < 0 else data[at : end + 1]
        self._line += part
        longest = _LONGEST_STRICT_LINE if self._strict else _LONGEST_LINE
        self._require(len(self._line) <= longest, "a line that is too long")
        if end < 0:
            return len(part)
        line, self._line = self._line, b""
        self._require(line.endswith(b"\r\n"), "a malformed chunk")
        if self._trailing < 0:
            self._size(line[:-2])
        elif line == b"\r\n":
            self.finished = True
        else:
            self._require(not self._strict, "a trailer")
            self._trailing += len(line)
            self._require(self._trailing <= _MOST_TRAILERS, "trailers that are too long")
        return len(part)

    def _size(self, line: bytes) -> None:
        text, _, extension = line.partition(b";")
        size = _SIZE.fullmatch(text)
        strict = extension == b"" and b";" not in line and size is not None and size[1] == text
        self._require(size is not None and (strict or not self._strict), "a malformed chunk, or one with an extension")
        assert size is not None
        self._left = int(size[1], 16) + 2
        if self._left == 2:
            self._left, self._trailing = 0, 0

    @staticmethod
    def _require(fits: bool, what: str) -> None:
        if not fits:
            raise HeadInvalid(f"the body has {what}")


def as_chunk(data: bytes) -> bytes:
    """One chunk; nothing for no bytes, because an empty chunk would be the end."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
