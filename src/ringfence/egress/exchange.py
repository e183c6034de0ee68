"""One request and its answer between the two ends: both bodies move through the steps of the request, each direction as
fast as its sink allows.

It knows no rule and no protocol. What a step holds, it hands to its owner, and goes on when the owner says so.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from ringfence.egress.ends import ENOUGH, ClientEnd, ServerEnd, ServerFailed
from ringfence.egress.http_fields import connection_tokens
from ringfence.egress.http_forward import upgraded
from ringfence.egress.http_head import RequestHead
from ringfence.egress.http_response import ResponseHead
from ringfence.egress.inspection import NO_STEPS, Chain, Fields, Held, Steps
from ringfence.model.decision import Decision

_ROUNDS = 16
_INTERIMS = 16
_HARMLESS = frozenset(("GET", "HEAD", "OPTIONS"))
_BODYLESS = (204, 304)


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

    def keep(self, size: int) -> bool:
        """Whether so many bytes of the answer may be kept in all. Where not, the exchange is over."""
        ...

    def answered_all(self, *, reusable: bool, keep: bool) -> None:
        """The answer is complete, and written as far as possible. `reusable`: so is the request, and the server takes
        another one. `keep`: the client may send another one."""
        ...

    def switched(self, rest: bytes) -> None:
        """The server agreed to speak WebSocket; `rest` is the first of it."""
        ...

    def server_failed(self, failure: ServerFailed) -> None:
        """The server's answer is broken."""
        ...


class Exchange:
    """Starts with the request's head written; ends when the answer is complete."""

    __slots__ = (
        "_answer",
        "_answer_done",
        "_client",
        "_down",
        "_head",
        "_held",
        "_interims",
        "_kept",
        "_last_down",
        "_last_up",
        "_owner",
        "_server",
        "_up",
        "_upgrade",
        "_waiting_head",
        "begun",
        "over",
    )

    def __init__(
        self,
        owner: Owner,
        client: ClientEnd,
        server: ServerEnd,
        head: RequestHead,
        steps: tuple[Steps, ...],
        *,
        upgrade: bool,
        fault: Callable[[], Decision],
    ) -> None:
        self._owner = owner
        self._client = client
        self._server = server
        self._head = head
        self._upgrade = upgrade
        self._held: dict[Side, str] = {}
        """What is held in each direction: `piece`, `end`, `head` or `trailers`."""
        self.over = False
        self.begun = False
        """Whether the client has got something of the answer."""
        self._up = Chain(steps, fault) if steps else NO_STEPS
        self._down = Chain(steps, fault) if steps else NO_STEPS
        self._answer: ResponseHead | None = None
        self._answer_done = False
        self._last_up = self._last_down = b""
        self._interims = 0
        self._kept = 0
        """How much of the answer the steps keep."""
        self._waiting_head: tuple[ResponseHead, int | None, bool] | None = None
        """What the answer begins with, once there is something of it."""

    @property
    def replayable(self) -> bool:
        """Whether the server can be asked again elsewhere: nothing came, no body was sent, and twice does no harm."""
        head = self._head
        return not self._server.said and head.method in _HARMLESS and not head.chunked and not head.length

    @property
    def request_done(self) -> bool:
        """Whether the whole request is written."""
        held = bool(self._held) and Side.UP in self._held
        return self._client.finished and not held and not self._server.waiting

    def start(self, first: bytes) -> None:
        """Begin; `first` was read of the body before."""
        if first:
            self._send(first, last=False)
        self.move()

    def go_on(self, head: ResponseHead) -> None:
        """Begin with the head of an answer to a request that was sent whole."""
        try:
            self._look_at(head)
        except ServerFailed as failure:
            return self._fail(failure)
        return self.move()

    def move(self) -> None:
        """Move what can be moved, both ways."""
        if self.over:
            return None
        if not self._client.finished:
            self._move_up()
        if self._answer_done:
            self._complete()
        if not self.over:
            try:
                self._move_down()
            except ServerFailed as failure:
                self._client.flush()
                return self._fail(failure)
        if not self.over:
            self._client.flush()
            self._server.flush()
        return None

    def resume(self, side: Side, held: Held) -> None:
        """What was held may go on."""
        what = self._held.pop(side)
        if side is Side.UP:
            self._resume_up(what, held)
        elif what == "head":
            assert isinstance(held.head, ResponseHead)
            self._begin_answer(self._down.run(held.head, _response, resume=True))
        elif what == "end":
            self._receive_last(self._down.finish(_received, _all_received, resumed=held.data))
        elif what == "trailers":
            self._end_answer(self._down.run(held.fields, _trailers, resume=True))
        else:
            self._receive(self._down.run(held.data, _received, resume=True))
            if not self.over and self._answer is not None and self._server.finished and side not in self._held:
                self._receive_last(self._down.finish(_received, _all_received))
        if not self.over:
            self.move()

    # the request

    def _resume_up(self, what: str, held: Held) -> None:
        if what == "end":
            return self._deliver_last(self._up.finish(_sent, _all_sent, resumed=held.data))
        self._deliver(self._up.run(held.data, _sent, resume=True))
        if self._client.finished and Side.UP not in self._held:
            self._deliver_last(self._up.finish(_sent, _all_sent))
        return None

    def _move_up(self) -> None:
        for _ in range(_ROUNDS):
            if self._client.finished or (self._held and Side.UP in self._held) or self._server.waiting > ENOUGH:
                return
            payload = self._client.take()
            if payload is None:
                return
            self._send(payload, last=self._client.finished)
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
            self._server.send(passed)

    def _deliver_last(self, passed: bytes | Held) -> None:
        if isinstance(passed, Held):
            self._hold(Side.UP, "end", passed)
        else:
            passed, self._last_up = self._last_up + passed, b""
            self._server.send_last(passed)

    # the answer

    def _move_down(self) -> None:
        for _ in range(_ROUNDS):
            # SECURITY: a server that answers early says nothing to what somebody else is asked about the request.
            if self.over or self._held or self._client.waiting > ENOUGH:
                return
            came = self._server.receive()
            if came is None:
                return
            if isinstance(came, ResponseHead):
                self._look_at(came)
            elif self._answer_done:
                self._complete()
            else:
                self._receive_more(came)
        self._owner.again()

    def _look_at(self, head: ResponseHead) -> None:
        if head.status < 200:
            return self._switch(head) if head.status == 101 else self._interim(head)
        self._answer = head
        if not self._down.steps:
            whole = self._server.whole()
            if whole is not None:
                self.begun = self._answer_done = True
                self._client.answer(head, whole, bodyless=bodyless(head, self._head))
                return self._complete()
            if not self._server.finished:
                self.begun = True
                return self._client.begin(head, length=head.length, bodyless=bodyless(head, self._head))
        return self._begin_answer(self._down.run(head, _response))

    def _interim(self, head: ResponseHead) -> None:
        self._interims += 1
        if self._interims > _INTERIMS:
            raise ServerFailed("it sends interim answers without end")
        # SECURITY: no step sees these heads, and a server may repeat there what it was sent.
        self._client.interim(ResponseHead(status=head.status, fields=()) if self._down.steps else head)

    def _switch(self, head: ResponseHead) -> None:
        tokens = connection_tokens(head.fields)
        if not self._upgrade or b"upgrade" not in tokens or (head.field(b"upgrade") or b"").lower() != b"websocket":
            raise ServerFailed("it switches to another protocol, which nobody asked for")
        if head.field(b"sec-websocket-extensions") is not None:
            raise ServerFailed("it uses a WebSocket extension that was not offered")
        self._client.interim(upgraded(self._head, head) if self._down.steps else head)
        self.over = True
        self._client.flush()
        self._owner.switched(self._server.rest())

    def _begin_answer(self, passed: ResponseHead | Held) -> None:
        if isinstance(passed, Held):
            return self._hold(Side.DOWN, "head", passed)
        came = self._answer
        assert came is not None
        empty = bodyless(came, self._head)
        steps = self._down.steps
        known = None if steps and any(step.resizes_answer for step in steps) else came.length
        self._waiting_head = (passed, known, empty)
        if empty or not any(step.gathers for step in steps):
            self._begin()
        if self._server.finished:
            last = self._down.finish(_received, _all_received)
            self._receive_last(b"" if empty and isinstance(last, bytes) else last)
        return None

    def _begin(self) -> None:
        if self._waiting_head is not None:
            (head, known, empty), self._waiting_head = self._waiting_head, None
            self.begun = True
            self._client.begin(head, length=known, bodyless=empty)

    def _receive_more(self, payload: bytes) -> None:
        if not self._down.steps:
            return self._pass_on(payload)
        passed = self._down.run(payload, _received) if payload else b""
        if not self._has_room():
            return None
        if not self._server.finished or isinstance(passed, Held):
            self._receive(passed)
        else:
            self._last_down = passed
            self._receive_last(self._down.finish(_received, _all_received))
        return None

    def _has_room(self) -> bool:
        # SECURITY: each answer is bounded by its step; a thousand of them at once are bounded here.
        kept = 0
        for step in self._down.steps:
            kept += step.kept
        if kept == self._kept:
            return True
        self._kept = kept
        return self._owner.keep(kept)

    def _pass_on(self, payload: bytes) -> None:
        """A piece of the answer where nobody looks into it."""
        server, client = self._server, self._client
        if not server.finished:
            return client.piece(payload)
        client.last(payload, server.trailers)
        self._answer_done = True
        return self._complete()

    def _receive(self, passed: bytes | Held) -> None:
        if isinstance(passed, Held):
            self._hold(Side.DOWN, "piece", passed)
        elif passed:
            self._begin()
            self._client.piece(passed)

    def _receive_last(self, passed: bytes | Held) -> None:
        if isinstance(passed, Held):
            return self._hold(Side.DOWN, "end", passed)
        self._last_down += passed
        trailers = self._server.trailers
        return self._end_answer(self._down.run(trailers, _trailers) if trailers else trailers)

    def _end_answer(self, trailers: Fields | Held) -> None:
        if isinstance(trailers, Held):
            return self._hold(Side.DOWN, "trailers", trailers)
        last, self._last_down = self._last_down, b""
        self._begin()
        self._client.last(last, trailers)
        self._answer_done = True
        return self._complete()

    def _complete(self) -> None:
        """End it, unless the answer came early and the server still reads what the client has to say."""
        client, server = self._client, self._server
        if self.over or self._held:
            return
        done = client.finished and not server.waiting
        if not (done or server.broken or not server.stays):
            return
        self.over = True
        client.flush()
        server.flush()
        done = done or self.request_done
        self._owner.answered_all(reusable=done and server.reusable, keep=done and client.keeps)

    def _hold(self, side: Side, what: str, held: Held) -> None:
        self._held[side] = what
        self._client.flush()
        self._owner.held(side, held)

    def _fail(self, failure: ServerFailed) -> None:
        self.over = True
        self._owner.server_failed(failure)


def bodyless(answer: ResponseHead, request: RequestHead) -> bool:
    """Whether an answer has no body, whatever its head says."""
    return answer.status in _BODYLESS or request.method == "HEAD"


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


def _trailers(step: Steps, fields: Fields) -> Fields | Held:
    return step.trailers(fields)
