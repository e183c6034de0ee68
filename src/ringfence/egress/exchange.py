"""One request and its answer between a client and a server, both in our own framing: the two bodies move through the
steps of the request, each direction as fast as its sink allows.

It knows no rule. What a step holds, it hands to its owner, and goes on when the owner says so.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

import msgspec

from ringfence.egress.http_forward import answered, connection_tokens
from ringfence.egress.http_framing import LAST_CHUNK, FramedBody, as_chunk
from ringfence.egress.http_head import END, RequestHead
from ringfence.egress.http_response import ResponseHead, ResponseInvalid, parse_response
from ringfence.egress.inspection import Chain, Held, Steps
from ringfence.egress.leg import Leg
from ringfence.egress.upstreams import Upstream
from ringfence.model.decision import Decision

_ENOUGH = 262_144
"""Bytes that may wait for a sink before its source is left alone."""
_ROUNDS = 16
_TOGETHER = 65_536
_LONGEST_HEAD = 262_144
_INTERIMS = 16
_OF_AN_UPGRADE = frozenset((b"connection", b"upgrade", b"sec-websocket-accept", b"sec-websocket-protocol"))


class Side(Enum):
    """The two directions."""

    UP = "up"
    DOWN = "down"


class Owner(Protocol):
    """Who runs the exchange."""

    def held(self, side: Side, held: Held) -> None:
        """A step holds something. `Exchange.resume` goes on, or the owner ends it."""
        ...

    def again(self) -> None:
        """Call `Exchange.move` after the others had their turn."""
        ...

    def answered_all(self, *, reusable: bool, keep: bool) -> None:
        """The answer is complete, and written as far as possible. `reusable`: so is the request, and the server takes
        another one. `keep`: the client may send another one."""
        ...

    def switched(self, rest: bytes) -> None:
        """The server agreed to speak WebSocket; `rest` is the first of it."""
        ...

    def server_failed(self, reason: str, *, silent: bool) -> None:
        """The server's answer is broken. `silent`: it has not said anything yet."""
        ...


class Exchange:
    """Starts with the request's head written; ends when the answer is complete."""

    __slots__ = (
        "_answer",
        "_answer_done",
        "_body",
        "_chunked_down",
        "_chunked_up",
        "_client",
        "_closing",
        "_down",
        "_head",
        "_held",
        "_interims",
        "_last_down",
        "_last_up",
        "_out",
        "_owner",
        "_rest",
        "_said",
        "_sink_broken",
        "_up",
        "_upgrade",
        "_upstream",
        "_waiting",
        "answer",
        "over",
        "unread",
    )

    def __init__(
        self,
        owner: Owner,
        client: Leg,
        upstream: Upstream,
        head: RequestHead,
        steps: tuple[Steps, ...],
        *,
        body: FramedBody,
        unread: bytes,
        chunked: bool,
        closing: bool,
        upgrade: bool,
        fault: Callable[[], Decision],
    ) -> None:
        self.unread = unread
        """What the client sent and nobody has taken yet."""
        self.over = False
        self.answer: ResponseHead | None = None
        """The head of the answer, as it came."""
        self._owner = owner
        self._client = client
        self._upstream = upstream
        self._head = head
        self._up, self._down = Chain(steps, fault), Chain(steps, fault)
        self._body = body
        self._answer: FramedBody | None = None
        self._answer_done = False
        self._chunked_up, self._chunked_down = chunked, False
        self._closing = closing
        self._upgrade = upgrade
        self._rest = upstream.rest
        upstream.rest = b""
        self._held: dict[Side, str] = {}
        """What is held in each direction: `piece`, `end` or `head`."""
        self._sink_broken = False
        self._last_up = self._last_down = b""
        self._interims = 0
        self._out: list[bytes] = []
        self._waiting = 0
        self._said = False

    @property
    def replayable(self) -> bool:
        """Whether the server can be asked again elsewhere without anybody noticing: nothing came, nothing was sent."""
        return not self._said and self._head.method in _HARMLESS and not self._head.chunked and not self._head.length

    @property
    def request_done(self) -> bool:
        """Whether the whole request is written."""
        return self._body.finished and Side.UP not in self._held and not self._upstream.leg.waiting

    @property
    def begun(self) -> bool:
        """Whether the client has got something of the answer."""
        return self._answer is not None

    def start(self, first: bytes) -> None:
        """Begin; `first` was read of the body before."""
        if first:
            self._send(first, last=False)
        self.move()

    def move(self) -> None:
        """Move what can be moved, both ways."""
        if not self.over:
            self._move_up()
            if self._answer_done:
                self._complete()
        if not self.over:
            self._move_down()
            self._flush_client()

    def resume(self, side: Side, held: Held) -> None:
        """What was held may go on."""
        what = self._held.pop(side)
        if side is Side.UP:
            if what == "end":
                self._deliver_last(self._up.finish(_sent, _all_sent, resumed=held.data))
            else:
                self._deliver(self._up.run(held.data, _sent, resume=True))
                if self._body.finished and side not in self._held:
                    self._deliver_last(self._up.finish(_sent, _all_sent))
        elif what == "head":
            assert isinstance(held.head, ResponseHead)
            self._begin_answer(self._down.run(held.head, _response, resume=True))
        elif what == "end":
            self._receive_last(self._down.finish(_received, _all_received, resumed=held.data))
        else:
            self._receive(self._down.run(held.data, _received, resume=True))
            if not self.over and self._answer is not None and self._answer.finished and side not in self._held:
                self._receive_last(self._down.finish(_received, _all_received))
        if not self.over:
            self.move()

    def server_broken(self) -> None:
        """The server takes nothing any more; it may still have answered."""
        self._sink_broken = True

    # the request

    def _move_up(self) -> None:
        for _ in range(_ROUNDS):
            if self._body.finished or Side.UP in self._held or self._upstream.leg.waiting > _ENOUGH:
                return
            data, self.unread = self.unread, b""
            if not data:
                read = self._client.read() if self._client.ready else None
                if read is None:
                    return
                if not read:
                    raise ConnectionAbortedError("the client went away within its request")
                data = read
            payload, self.unread = self._body.take(data)
            self._send(payload, last=self._body.finished)
        self._owner.again()

    def _send(self, payload: bytes, *, last: bool) -> None:
        passed = self._up.run(payload, _sent) if payload else b""
        if not last or isinstance(passed, Held):
            self._deliver(passed)
        else:
            # What may be the end of something that must not go out is not sent before its end was looked at.
            self._last_up = passed
            self._deliver_last(self._up.finish(_sent, _all_sent))

    def _deliver(self, passed: bytes | Held) -> None:
        if isinstance(passed, Held):
            self._hold(Side.UP, "piece", passed)
        else:
            self._to_server(as_chunk(passed) if self._chunked_up else passed)

    def _deliver_last(self, passed: bytes | Held) -> None:
        if isinstance(passed, Held):
            self._hold(Side.UP, "end", passed)
        else:
            passed, self._last_up = self._last_up + passed, b""
            self._to_server(as_chunk(passed) + LAST_CHUNK if self._chunked_up else passed)

    def _to_server(self, data: bytes) -> None:
        if not self._sink_broken:
            try:
                self._upstream.leg.write(data)
            except OSError:
                self._sink_broken = True

    # the answer

    def _to_client(self, data: bytes) -> None:
        """Write, together with what else is written in this turn: each record of TLS costs."""
        if data:
            self._out.append(data)
            self._waiting += len(data)
            if self._waiting >= _TOGETHER:
                self._flush_client()

    def _flush_client(self) -> None:
        if self._out:
            data = b"".join(self._out) if len(self._out) > 1 else self._out[0]
            self._out, self._waiting = [], 0
            self._client.write(data)

    def _move_down(self) -> None:
        for _ in range(_ROUNDS):
            if self.over or Side.DOWN in self._held or self._client.waiting > _ENOUGH:
                return None
            data = self._rest
            if not data or (self._answer is None and END not in data):
                read = self._read_server()
                if read is None:
                    return None
                if not read:
                    return self._server_ended(data)
                data += read
            self._rest = b""
            self._said = True
            if self._answer is None:
                self._read_head(data)
            elif self._answer_done:
                self._sink_broken, self._rest = True, data
                return self._complete()
            else:
                payload, self._rest = self._answer.take(data)
                self._receive_more(payload)
        return self._owner.again()

    def _read_server(self) -> bytes | None:
        leg = self._upstream.leg
        try:
            return leg.read() if leg.ready else None
        except OSError as error:
            self._fail((error.strerror or str(error)).lower())
            return None

    def _server_ended(self, data: bytes) -> None:
        if self._answer_done:
            self._sink_broken = True
            return self._complete()
        if self._answer is None:
            return self._fail("it closed the connection without an answer" if not data else "its answer is cut short")
        self._answer.end()
        return self._receive_more(b"")

    def _read_head(self, data: bytes) -> None:
        end = data.find(END)
        if end < 0:
            self._rest = data
            if len(data) > _LONGEST_HEAD:
                self._fail("the head of its answer does not end")
            return None
        try:
            head = parse_response(data[: end + len(END)], self._head.method)
        except ResponseInvalid as invalid:
            return self._fail(str(invalid))
        self._rest = data[end + len(END) :]
        if head.interim:
            return self._interim(head)
        if head.status == 101:
            return self._switch(head)
        self.answer = head
        return self._begin_answer(self._down.run(head, _response))

    def _interim(self, head: ResponseHead) -> None:
        self._interims += 1
        if self._interims > _INTERIMS:
            return self._fail("it sends interim answers without end")
        if self._head.minor:
            # SECURITY: no step sees these heads, and a server may repeat there what it was sent.
            head = msgspec.structs.replace(head, fields=()) if self._down.steps else head
            self._to_client(answered(head, length=None, chunked=False, keep=True, bodyless=True))
        return None

    def _switch(self, head: ResponseHead) -> None:
        tokens = connection_tokens(head.fields)
        if not self._upgrade or b"upgrade" not in tokens or (head.field(b"upgrade") or b"").lower() != b"websocket":
            return self._fail("it switches to another protocol, which nobody asked for")
        if head.field(b"sec-websocket-extensions") is not None:
            return self._fail("it uses a WebSocket extension that was not offered")
        self.answer = head
        needed = tuple(field for field in head.fields if field[0] in _OF_AN_UPGRADE)
        head = msgspec.structs.replace(head, fields=needed) if self._down.steps else head
        self._to_client(answered(head, length=None, chunked=False, keep=True, bodyless=True))
        self.over = True
        self._flush_client()
        rest, self._rest = self._rest, b""
        return self._owner.switched(rest)

    def _begin_answer(self, passed: ResponseHead | Held) -> None:
        if isinstance(passed, Held):
            return self._hold(Side.DOWN, "head", passed)
        came = self.answer
        assert came is not None
        self._answer = FramedBody(came.length, chunked=came.chunked, strict=False)
        bodyless = self._head.method == "HEAD" or came.status in (204, 304)
        known = came.length if not any(step.resizes_answer for step in self._down.steps) else None
        self._chunked_down = known is None and not bodyless and self._head.minor == 1
        if known is None and not bodyless and not self._chunked_down:
            self._closing = True
        self._to_client(
            answered(passed, length=known, chunked=self._chunked_down, keep=not self._closing, bodyless=bodyless)
        )
        if self._answer.finished:
            last = self._down.finish(_received, _all_received)
            self._receive_last(b"" if bodyless and isinstance(last, bytes) else last)
        return None

    def _receive_more(self, payload: bytes) -> None:
        assert self._answer is not None
        passed = self._down.run(payload, _received) if payload else b""
        if not self._answer.finished or isinstance(passed, Held):
            self._receive(passed)
        else:
            self._last_down = passed
            self._receive_last(self._down.finish(_received, _all_received))

    def _receive(self, passed: bytes | Held) -> None:
        if isinstance(passed, Held):
            self._hold(Side.DOWN, "piece", passed)
        else:
            self._to_client(as_chunk(passed) if self._chunked_down else passed)

    def _receive_last(self, passed: bytes | Held) -> None:
        if isinstance(passed, Held):
            return self._hold(Side.DOWN, "end", passed)
        passed, self._last_down = self._last_down + passed, b""
        self._to_client(as_chunk(passed) + LAST_CHUNK if self._chunked_down else passed)
        self._answer_done = True
        return self._complete()

    def _complete(self) -> None:
        """End it, unless the answer came early and the server still reads what the client has to say."""
        assert self.answer is not None
        if self.over or not (self.request_done or self._sink_broken or not _stays(self.answer)):
            return
        self.over = True
        self._flush_client()
        keep = not self._closing and self.request_done
        self._owner.answered_all(reusable=self._reusable(), keep=keep)

    def _reusable(self) -> bool:
        """Whether the connection to the server can carry another request of anybody in this session."""
        answer = self.answer
        assert answer is not None and self._answer is not None
        return (
            self.request_done
            and not self._sink_broken
            and not self._rest  # SECURITY: more than one answer to one request would be the answer to the next
            and not self._answer.until_close
            and _stays(answer)
            and not _bound_to_connection(self._head, answer)
        )

    def _hold(self, side: Side, what: str, held: Held) -> None:
        self._held[side] = what
        self._flush_client()
        self._owner.held(side, held)

    def _fail(self, reason: str) -> None:
        self.over = True
        self._owner.server_failed(reason, silent=not self._said)


def _stays(answer: ResponseHead) -> bool:
    """Whether the server keeps its connection open behind this answer."""
    return answer.minor == 1 and b"close" not in connection_tokens(answer.fields)


_HARMLESS = frozenset(("GET", "HEAD", "OPTIONS"))


def _bound_to_connection(head: RequestHead, answer: ResponseHead) -> bool:
    """Whether the two agree on who the client is for the whole connection, and not for each request."""
    words = [value for name, value in head.fields if name in (b"authorization", b"proxy-authorization")]
    words += [value for name, value in answer.fields if name == b"www-authenticate"]
    return any(word.lower().startswith((b"ntlm", b"negotiate")) for word in words)


def _sent(step: Steps, data: bytes) -> bytes | Held:
    return step.sent(data)


def _all_sent(step: Steps) -> bytes | Held:
    return step.all_sent()


def _received(step: Steps, data: bytes) -> bytes | Held:
    return step.received(data)


def _all_received(step: Steps) -> bytes | Held:
    return step.all_received()


def _response(step: Steps, head: ResponseHead) -> ResponseHead | Held:
    return step.response(head)
