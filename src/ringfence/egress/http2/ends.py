"""The two ends of a request that speak HTTP/2: one stream each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from h2.errors import ErrorCodes

from ringfence.egress.ends import ServerFailed
from ringfence.egress.http2.heads import read_answer, read_trailers, write_answer, write_request
from ringfence.egress.http2.wire import BROKEN, Headers, Stream, Wire
from ringfence.egress.http_fields import Said
from ringfence.egress.http_head import HeadInvalid, RequestHead
from ringfence.egress.http_response import ResponseHead
from ringfence.egress.inspection import Fields
from ringfence.model.host import Destination

GONE = "the client gave its request up"


class Http2Client:
    """A stream of a client's."""

    keeps = True

    def __init__(self, wire: Wire, stream: Stream, head: RequestHead, *, empty: bool) -> None:
        self.finished = empty
        self._left = None if head.chunked else head.length
        """How much of the body is still to come, where the head says it."""
        self._wire = wire
        self._stream = stream
        self._header: Headers | None = None
        """The head of the answer, until it is known whether anything follows it."""

    @property
    def waiting(self) -> int:
        """How many bytes wait to be written."""
        return self._wire.waiting(self._stream)

    @property
    def pass_on(self) -> None:
        """Nobody: it has frames of its own."""

    def take(self) -> bytes | None:
        """A piece of the body."""
        stream = self._stream
        if stream.code is not None:
            raise ConnectionAbortedError(GONE)
        if not stream.inbox and not stream.ended:
            return None
        self.finished = stream.ended
        data = self._wire.take(stream)
        if self._left is not None:
            # SECURITY: a server that is told another length in HTTP/1.1 takes the next request for the rest.
            self._left -= len(data)
            if self._left < 0 or (self.finished and self._left):
                raise HeadInvalid("the body is not as long as the header says")
        return data

    def interim(self, head: ResponseHead) -> None:
        """Tell an answer that is not the last one."""
        self._wire.headers(self._stream, write_answer(head, length=None, bodyless=True))

    def begin(self, head: ResponseHead, *, length: int | None, bodyless: bool) -> None:
        """Begin the answer."""
        self._header = write_answer(head, length=length, bodyless=bodyless)

    def answer(self, head: ResponseHead, data: bytes, *, bodyless: bool) -> None:
        """The whole answer, which is as long as its head says. It is written, and whatever was gathered before it."""
        self.begin(head, length=head.length, bodyless=bodyless)
        self.last(data, ())
        self.flush()

    def piece(self, data: bytes) -> None:
        """A piece of the answer."""
        if data:
            self._begin()
            self._wire.send(self._stream, data)

    def last(self, data: bytes, trailers: Fields) -> None:
        """The last piece, and the trailers. An answer that is all head stays one: gRPC tells errors so."""
        header = self._header
        if header is not None and not data and not trailers:
            self._header = None
            return self._wire.headers(self._stream, header, end=True)
        self.piece(data)
        self._begin()
        return self._wire.end(self._stream, trailers)

    def flush(self) -> None:
        """Write what was gathered in this turn."""
        self._begin()
        self._wire.flush_soon()

    def _begin(self) -> None:
        header, self._header = self._header, None
        if header is not None:
            self._wire.headers(self._stream, header)


class Http2Server:
    """A stream of ours."""

    def __init__(self, wire: Wire, stream: Stream, destination: Destination, over: Callable[[], None]) -> None:
        """`over` is called when the request needs the stream no more."""
        self.said = self.finished = False
        self.trailers: Fields = ()
        self.heads: deque[Headers] = deque()
        """Heads of answers that came and were not read yet."""
        self.behind: Headers | None = None
        """What came behind the body."""
        self._wire = wire
        self._stream = stream
        self._destination = destination
        self._over = over
        self._method = ""
        self._answered = False
        self._left: int | None = None
        """How much of the answer's body is still to come, where its head says it."""

    @property
    def waiting(self) -> int:
        """How many bytes wait to be written."""
        return self._wire.waiting(self._stream)

    @property
    def broken(self) -> bool:
        """Whether the server takes nothing any more on this stream."""
        return self._stream.code is not None

    @property
    def stays(self) -> bool:
        """Whether the server reads on although its answer is complete: it would give up the stream otherwise."""
        return self._stream.code is None

    @property
    def reusable(self) -> bool:
        """Nothing to reuse: the next request has a stream of its own."""
        return False

    def begin(self, head: RequestHead, header: Said, *, length: int | None, body: bytes | None) -> bool:
        """Send the head, and the body where the whole of it is there."""
        self._method = head.method
        written = write_request(head, header, self._destination, length=length)
        self._wire.headers(self._stream, written, end=body == b"")
        if body:
            self.send_last(body)
        return False

    def send(self, data: bytes) -> None:
        """A piece of the body."""
        self._wire.send(self._stream, data)

    def send_last(self, data: bytes) -> None:
        """The last piece."""
        self._wire.send(self._stream, data)
        self._wire.end(self._stream)

    def flush(self) -> None:
        """Write what was gathered in this turn."""
        self._wire.flush_soon()

    def receive(self) -> ResponseHead | bytes | None:
        """The head of an answer, then pieces of its body."""
        stream = self._stream
        if self.heads:
            self.said = True
            head = read_answer(self.heads.popleft(), self._method)
            self._answered = not head.interim
            self._left = head.length
            self._finish_if_ended()
            return head
        if self.finished:
            return b"" if stream.code is not None else None
        if stream.inbox:
            data = self._wire.take(stream)
            self._count(len(data))
            self._finish_if_ended()
            return data
        if stream.ended and self._answered:
            self._finish_if_ended()
            return b""
        if stream.code == BROKEN:
            raise ServerFailed("its connection broke before the answer was complete")
        if stream.code is not None or stream.ended:
            code = stream.code if stream.code else int(ErrorCodes.INTERNAL_ERROR)
            raise ServerFailed(f"it gave the request up ({_named(code)})", code)
        return None

    def whole(self) -> None:
        """Nothing: trailers may follow."""

    def rest(self) -> bytes:
        """Nothing: no stream switches to another protocol."""
        return b""

    def leave(self) -> None:
        """Nobody waits for the rest of the answer."""
        whole = self.finished and not self._stream.open
        if whole:
            self._wire.leave(self._stream)
        else:
            self._wire.reset(self._stream, ErrorCodes.CANCEL)
        self._wire.flush_soon()
        self._over()

    def _count(self, taken: int) -> None:
        if self._left is not None:
            self._left -= taken
            if self._left < 0:
                raise ServerFailed("its answer is longer than it says")

    def _finish_if_ended(self) -> None:
        if self._answered and self._stream.ended and not self._stream.inbox:
            if self._left:
                raise ServerFailed("its answer is shorter than it says")
            self.finished = True
            if self.behind is not None:
                self.trailers = read_trailers(self.behind)


def _named(code: int) -> str:
    try:
        return ErrorCodes(code).name
    except ValueError:
        return str(code)
