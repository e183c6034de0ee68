"""The two ends of one request, whatever protocol each of them speaks: the client's, which gives the body and takes the
answer, and the server's, which takes the body and gives the answer.

An end frames and unframes, and holds back what its peer does not take yet. It looks into nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ringfence.egress.http_fields import Said
from ringfence.egress.http_head import RequestHead
from ringfence.egress.http_response import ResponseHead
from ringfence.egress.inspection import Fields

ENOUGH = 262_144
"""Bytes that may wait for a sink before its source is left alone."""


class ServerFailed(Exception):
    """The server does not answer as it should; the message says what it does instead."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code
        """How it gave up the one stream, where it speaks HTTP/2."""


class ClientEnd(Protocol):
    """Where a request comes from."""

    @property
    def finished(self) -> bool:
        """Whether the whole body was taken."""
        ...

    @property
    def waiting(self) -> int:
        """How many bytes wait to be written."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether the client may send another request behind the answer."""
        ...

    @property
    def pass_on(self) -> Callable[[bytes], None] | None:
        """Writes an answer that is whole and worded as HTTP/1.1 words it, where the client takes one as it is."""
        ...

    def take(self) -> bytes | None:
        """A piece of the body; None where there is nothing now. `ConnectionAbortedError` where the client is gone."""
        ...

    def interim(self, head: ResponseHead) -> None:
        """Tell an answer that is not the last one."""
        ...

    def begin(self, head: ResponseHead, *, length: int | None, bodyless: bool) -> None:
        """Begin the answer. `length` is that of the body as it will come, None where that is not known; `bodyless`:
        there is none, whatever the head says."""
        ...

    def answer(self, head: ResponseHead, data: bytes, *, bodyless: bool) -> None:
        """The whole answer, which is as long as its head says. It is written, and whatever was gathered before it."""
        ...

    def piece(self, data: bytes) -> None:
        """A piece of the answer."""
        ...

    def last(self, data: bytes, trailers: Fields) -> None:
        """The last piece, and the fields behind it, as far as the protocol has room for them."""
        ...

    def flush(self) -> None:
        """Write what was gathered in this turn."""
        ...


class ServerEnd(Protocol):
    """Where a request goes to."""

    trailers: Fields
    """The fields behind the body of a finished answer."""

    @property
    def said(self) -> bool:
        """Whether the server has said anything yet."""
        ...

    @property
    def broken(self) -> bool:
        """Whether it takes nothing any more; it may still have answered."""
        ...

    @property
    def waiting(self) -> int:
        """How many bytes wait to be written."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the whole answer was received."""
        ...

    @property
    def stays(self) -> bool:
        """Whether the server reads on although its answer is complete."""
        ...

    @property
    def reusable(self) -> bool:
        """Whether, behind a complete answer, another request of anybody in this session can follow."""
        ...

    def begin(self, head: RequestHead, header: Said, *, length: int | None, body: bytes | None) -> bool:
        """Send the head, whose header says `header`, and the body where the whole of it is there. Whether there can be
        no answer before the next event of the server's. `length`: None where it is not known, -1 for no body."""
        ...

    def send(self, data: bytes) -> None:
        """A piece of the body."""
        ...

    def send_last(self, data: bytes) -> None:
        """The last piece."""
        ...

    def flush(self) -> None:
        """Write what was gathered in this turn."""
        ...

    def receive(self) -> ResponseHead | bytes | None:
        """The head of an answer, then pieces of its body; None where there is nothing now. `ServerFailed` where the
        answer is broken."""
        ...

    def whole(self) -> bytes | None:
        """The body behind a head that was just received, where all of it and nothing else came together with that; it
        counts as received then. Else None, and it comes in pieces."""
        ...

    def rest(self) -> bytes:
        """What came behind a head that switched to another protocol."""
        ...

    def leave(self) -> None:
        """Nobody waits for the rest of the answer."""
        ...
