"""The two ends of a request that speak HTTP/1.1: bodies out of the framing they came in, into one of ours."""

from __future__ import annotations

from collections.abc import Callable

from ringfence.egress.ends import ServerFailed
from ringfence.egress.http_fields import Said
from ringfence.egress.http_forward import answered, reissued
from ringfence.egress.http_framing import LAST_CHUNK, FramedBody, as_chunk
from ringfence.egress.http_head import END, RequestHead
from ringfence.egress.http_response import ResponseHead, ResponseInvalid, parse_response
from ringfence.egress.inspection import Fields
from ringfence.egress.leg import Leg
from ringfence.egress.upstreams import Upstream
from ringfence.egress.whole_answers import passed_on
from ringfence.model.host import Destination

NO_ANSWER = "it closed the connection without an answer"
_TOGETHER = 65_536
_LONGEST_HEAD = 262_144
_PASSED_ON = ResponseHead(status=200, fields=(), length=0)
"""Of an answer that nobody read field by field: it neither ends its connection nor binds it to a client."""


class Http1Client:
    """A client's connection, for one request after the other."""

    __slots__ = ("_body", "_chunked", "_gathered", "_minor", "_out", "finished", "keeps", "leg", "unread")

    def __init__(self, leg: Leg, unread: bytes) -> None:
        self.leg = leg
        self.unread = unread
        """What the client sent and nobody has taken yet."""
        self.keeps = True
        """Whether the client may send another request behind the answer."""
        self.finished = True
        """Whether the whole body was taken."""
        self._minor = 1
        self._body: FramedBody | None = None
        self._chunked = False
        self._out: list[bytes] = []
        self._gathered = 0

    @property
    def waiting(self) -> int:
        """How many bytes wait to be written."""
        return self.leg.waiting

    def expect(self, head: RequestHead, header: Said) -> None:
        """A request begins, with what its header says; its body comes next."""
        self._minor = head.minor
        self.finished = not (head.length or head.chunked)
        self._body = None if self.finished else FramedBody(head.length, chunked=head.chunked, strict=True)
        self.keeps = bool(head.minor) and not header.closes

    @property
    def pass_on(self) -> Callable[[bytes], None] | None:
        """Writes a whole answer as it is, where the client keeps its connection and nothing was gathered for it."""
        return self.leg.write if self.keeps and not self._out else None

    def take(self) -> bytes | None:
        """A piece of the body."""
        data, self.unread = self.unread, b""
        if not data:
            read = self.leg.read() if self.leg.ready else None
            if read is None:
                return None
            if not read:
                raise ConnectionAbortedError("the client went away within its request")
            data = read
        body = self._body
        if body is None:
            self.unread = data
            return b""
        payload, self.unread = body.take(data)
        self.finished = body.finished
        return payload

    def interim(self, head: ResponseHead) -> None:
        """Tell an answer that is not the last one; HTTP/1.0 does not know them."""
        if self._minor:
            self._put(answered(head, length=None, chunked=False, keep=True, bodyless=True))

    def begin(self, head: ResponseHead, *, length: int | None, bodyless: bool) -> None:
        """Begin the answer."""
        unknown = length is None and not bodyless
        self._chunked = unknown and self._minor == 1
        self.keeps = self.keeps and (self._chunked or not unknown)
        self._put(answered(head, length=length, chunked=self._chunked, keep=self.keeps, bodyless=bodyless))

    def answer(self, head: ResponseHead, data: bytes, *, bodyless: bool) -> None:
        """The whole answer, which is as long as its head says. It is written, and whatever was gathered before it."""
        first = answered(head, length=head.length, chunked=False, keep=self.keeps, bodyless=bodyless)
        if self._out:
            self._put(first + data)
            self.flush()
        else:
            self.leg.write(first + data)

    def piece(self, data: bytes) -> None:
        """A piece of the answer."""
        self._put(as_chunk(data) if self._chunked else data)

    def last(self, data: bytes, trailers: Fields) -> None:
        """The last piece. Trailers do not arrive: who asked in HTTP/1.1 does not need them."""
        self._put(as_chunk(data) + LAST_CHUNK if self._chunked else data)

    def flush(self) -> None:
        """Write what was gathered in this turn."""
        if self._out:
            data = b"".join(self._out) if len(self._out) > 1 else self._out[0]
            self._out, self._gathered = [], 0
            self.leg.write(data)

    def _put(self, data: bytes) -> None:
        """Write, together with what else is written in this turn: each record of TLS costs."""
        if data:
            self._out.append(data)
            self._gathered += len(data)
            if self._gathered >= _TOGETHER:
                self.flush()


class Http1Server:
    """A server's connection, for one request."""

    __slots__ = (
        "_answer",
        "_binds",
        "_body",
        "_chunked",
        "_destination",
        "_method",
        "_rest",
        "_upgrade",
        "_upstream",
        "broken",
        "finished",
        "said",
        "trailers",
    )

    def __init__(self, upstream: Upstream, destination: Destination, *, upgrade: bool) -> None:
        self.said = self.broken = False
        self.finished = False
        """Whether the whole answer was received."""
        self.trailers: Fields = ()
        self._upstream = upstream
        self._destination = destination
        self._upgrade = upgrade
        self._method = ""
        self._binds = False
        """Whether the request is about who the client is for the whole connection."""
        self._chunked = False
        self._answer: ResponseHead | None = None
        """The head of the answer that is not followed by another one."""
        self._body: FramedBody | None = None
        """Its body, once a piece of it was asked for."""
        self._rest = b""
        """What was read and not yet understood."""

    @property
    def waiting(self) -> int:
        """How many bytes wait to be written."""
        return self._upstream.leg.waiting

    @property
    def stays(self) -> bool:
        """Whether the server keeps its connection open behind this answer."""
        answer = self._answer
        return answer is not None and answer.minor == 1 and not answer.closes

    @property
    def reusable(self) -> bool:
        """Whether the connection can carry another request of anybody in this session."""
        answer = self._answer
        return (
            answer is not None
            and self.finished
            and not self.broken
            and not self._rest  # SECURITY: more than one answer to one request would be the answer to the next
            and (answer.length is not None or answer.chunked)
            and answer.minor == 1
            and not answer.closes
            and not answer.binds
            and not self._binds
        )

    def begin(self, head: RequestHead, header: Said, *, length: int | None, body: bytes | None) -> bool:
        """Send the head, and the body where the whole of it is there."""
        leg = self._upstream.leg
        self._method, self._chunked = head.method, length is None
        self._binds = header.binds
        secure = self._upstream.key[2]
        first = reissued(
            head, self._destination, header, length=length, keep=True, secure=secure, upgrade=self._upgrade
        )
        try:
            leg.write(first + body if body else first)
        except OSError:
            self.broken = True
        return not (self.broken or self._rest or leg.ready)

    def took(self, head: RequestHead, header: Said, came: bytes | None, *, broken: bool) -> None:
        """Be as `begin` leaves it, for a request without a body that was sent before; `came` is what was read since."""
        self._method, self._binds, self.broken = head.method, header.binds, broken
        if came:
            self._rest, self.said = came, True

    def send(self, data: bytes) -> None:
        """A piece of the body."""
        self._write(as_chunk(data) if self._chunked else data)

    def send_last(self, data: bytes) -> None:
        """The last piece."""
        self._write(as_chunk(data) + LAST_CHUNK if self._chunked else data)

    def flush(self) -> None:
        """Nothing is gathered here: what a client sends goes at once."""

    def resume(self) -> None:
        """There is room for what waits."""
        if self._upstream.leg.waiting:
            try:
                self._upstream.leg.flush()
            except OSError:
                self.broken = True

    def receive(self, *, passes_on: bool = False) -> ResponseHead | bytes | None:
        """The head of an answer, then pieces of its body. Behind the answer, whatever happens breaks the connection.

        `passes_on`: instead of the head, the whole answer as `pass_on` writes it, where that is all that came."""
        data, answer, leg = self._rest, self._answer, self._upstream.leg
        while not data or (answer is None and END not in data):
            if len(data) > _LONGEST_HEAD:
                raise ServerFailed("the head of its answer does not end")
            try:
                read = leg.read() if leg.ready else None
            except OSError as error:
                raise ServerFailed((error.strerror or str(error)).lower()) from None
            if not read:
                self._rest = data
                return None if read is None else self._ended()
            self.said = True
            data = data + read if data else read
        self.said = True
        if answer is None:
            if passes_on:
                whole = passed_on(data)
                if whole is not None:
                    self._answer, self._rest, self.finished = _PASSED_ON, b"", True
                    return whole
            end = data.find(END) + 4
            try:
                answer = parse_response(data[:end], self._method)
            except ResponseInvalid as invalid:
                raise ServerFailed(str(invalid)) from None
            self._rest = data[end:]
            if answer.status >= 200 or answer.status == 101:
                self._answer = answer
                self.finished = answer.length == 0 and answer.status != 101
            return answer
        self._rest = b""
        if self.finished:
            self.broken, self._rest = True, data
            return b""
        body = self._body = self._body or FramedBody(answer.length, chunked=answer.chunked, strict=False)
        payload, self._rest = body.take(data)
        self.finished = body.finished
        return payload

    def whole(self) -> bytes | None:
        """The body behind a head that was just received, where all of it and nothing else came together with that."""
        answer, data = self._answer, self._rest
        if answer is None or answer.length != len(data):
            return None
        self._rest, self.finished = b"", True
        return data

    def rest(self) -> bytes:
        """What came behind a head that switched to another protocol."""
        rest, self._rest = self._rest, b""
        return rest

    def leave(self) -> None:
        """Nobody waits for the rest of the answer: the connection is of no use any more, and its owner closes it."""

    def _ended(self) -> bytes:
        answer = self._answer
        if answer is None:
            cut = bool(self._rest)
            raise ServerFailed("its answer is cut short" if cut else NO_ANSWER)
        if self.finished:
            self.broken = True
        else:
            body = self._body or FramedBody(answer.length, chunked=answer.chunked, strict=False)
            body.end()
            self.finished = body.finished
        return b""

    def _write(self, data: bytes) -> None:
        if not self.broken:
            try:
                self._upstream.leg.write(data)
            except OSError:
                self.broken = True
