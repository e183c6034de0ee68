"""Finds the end of one request's body, so that nothing behind it is ever forwarded.

Chunks are read strictly: extensions and trailers are refused, because nobody needs them and parsers differ on them.
"""

from __future__ import annotations

import re

from ringfence.egress.http_head import HeadInvalid, RequestHead

_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_LONGEST_SIZE_LINE = 17


class Body:
    """The rest of one request. Feed it what the client sends; it gives back what belongs to the body."""

    __slots__ = ("_chunked", "_last", "_left", "_line", "finished")

    def __init__(self, head: RequestHead) -> None:
        self._chunked = head.chunked
        self._left = head.length
        self._line = b""
        self._last = False
        self.finished = not head.chunked and head.length == 0

    def take(self, data: bytes) -> bytes:
        """The part of `data` that belongs to the body; `HeadInvalid` where the chunks are malformed."""
        if self.finished:
            return b""
        if self._chunked:
            return data[: self._chunks(data)]
        taken = data[: self._left]
        self._left -= len(taken)
        self.finished = self._left == 0
        return taken

    def _chunks(self, data: bytes) -> int:
        """How far into `data` the chunks reach."""
        at = 0
        while at < len(data) and not self.finished:
            if self._left > 2:
                step = min(self._left - 2, len(data) - at)
                self._left -= step
                at += step
            elif self._left:
                self._require(data[at] == b"\r\n"[2 - self._left], "a chunk that is longer than it says")
                self._left -= 1
                at += 1
            else:
                at += self._size_line(data, at)
        return at

    def _size_line(self, data: bytes, at: int) -> int:
        """Reads on in a size line; `_left` becomes the chunk with its CRLF. Says how many bytes were read."""
        end = data.find(b"\n", at)
        part = data[at:] if end < 0 else data[at : end + 1]
        self._line += part
        if len(self._line) > _LONGEST_SIZE_LINE:
            raise HeadInvalid("the body has a chunk size that is too long, or with an extension")
        if end < 0:
            return len(part)
        if self._last:
            # What follows the last chunk is one empty line; anything else would be a trailer.
            self._require(self._line == b"\r\n", "a trailer")
            self.finished = True
            return len(part)
        size = self._line.removesuffix(b"\r\n")
        self._require(size != self._line and _SIZE.fullmatch(size) is not None, "a malformed chunk")
        self._left = int(size, 16) + 2
        if self._left == 2:
            self._left, self._last = 0, True
        self._line = b""
        return len(part)

    @staticmethod
    def _require(fits: bool, what: str) -> None:
        if not fits:
            raise HeadInvalid(f"the body has {what}")
