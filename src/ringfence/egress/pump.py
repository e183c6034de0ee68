"""One direction of an open connection: moves bytes from a source to a sink as fast as both allow.

Small messages are read and written; once a full read shows a bulk transfer, bytes go through a pipe (`splice`) and
never enter this process. Sockets are edge-triggered, so a pump goes on until the source is empty, the sink is full, or
its turn is over.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable

from ringfence.egress.http_body import Body
from ringfence.egress.pipes import CAPACITY, Pipe, PipePool
from ringfence.egress.requests import Requests

CHUNK = 16_384
_ROUNDS = 16
_FINISHED = select.EPOLLRDHUP
"""The source has ended in order, and is not broken."""
_SPLICE = os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE


Meter = Callable[[int], None]
"""Is told how many bytes are about to go on, and raises where they may not."""


class Pump:
    """Bytes from `source` to `sink`, both non-blocking descriptors that somebody else owns and closes.

    `last` is the socket of the sink, where `ended` shuts it down: the last bytes then wait for that, so that both go in
    one segment, which costs half as much.
    `ended` is called once, when the source has ended and everything is written. `again` asks for another call of `run`
    after others had their turn.
    `OSError` comes from `run` when either side is broken.
    """

    # INVARIANT: bytes wait in `pending` or in the pipe (`piped` of them), never in both; while any wait, nothing is
    # read. Everything that decides about going on is kept here and not in a local, because a turn can end anywhere.
    __slots__ = (
        "_again",
        "_ended",
        "_hangup",
        "_last",
        "_meter",
        "_pipe",
        "_pipes",
        "finished",
        "moved",
        "pending",
        "piped",
        "sink",
        "source",
    )

    def __init__(
        self,
        source: int,
        sink: int,
        *,
        pipes: PipePool,
        ended: Callable[[], None],
        again: Callable[[], None],
        first: bytes = b"",
        meter: Meter | None = None,
        last: socket.socket | None = None,
    ) -> None:
        if meter is not None:
            meter(len(first))
        self._meter = meter
        self._last = last
        self.source = source
        self.sink = sink
        self.moved = 0
        self.finished = False
        """Whether nothing will move any more: the source ended, or `stop` was called."""
        self.pending: bytes | memoryview = first
        """What waits for the sink to take it, beside what is in the pipe."""
        self._pipe: Pipe | None = None
        self.piped = 0
        self._hangup = 0
        self._pipes = pipes
        self._ended = ended
        self._again = again

    @property
    def blocked(self) -> bool:
        """Whether bytes wait for the sink to take them."""
        return bool(self.pending) or self.piped > 0

    def run(self, hangup: int = 0) -> None:
        """Move what can be moved. `hangup`: the source was reported to have ended, somewhere behind its bytes."""
        if hangup:
            # An edge is reported once. Seen while the sink is full, it has to be remembered until it can be acted upon.
            self._hangup = hangup
        if self.finished:
            return
        if self.pending:
            self.start()
            if self.pending:
                return
        if self._pipe is not None:
            self._splice(self._pipe)
        else:
            self._copy()

    def start(self) -> None:
        """Write what waits, as far as there is room, and read nothing yet."""
        data = self.pending
        if data:
            try:
                written = os.write(self.sink, data)
            except BlockingIOError:
                return
            self.moved += written
            self.pending = b"" if written == len(data) else memoryview(data)[written:]

    def stop(self) -> None:
        """Move nothing any more, and let go of the pipe and of the owner."""
        self.finished = True
        # Without this every connection would be a cycle that waits for the garbage collector.
        self._ended = self._again = _nothing
        self._last = None
        if self._pipe is not None:
            self._release(empty=self.piped == 0)

    def _copy(self) -> None:
        source, sink = self.source, self.sink
        for _ in range(_ROUNDS):
            try:
                data = os.read(source, CHUNK)
            except BlockingIOError:
                return None
            if not data:
                self.finished = True
                return self._ended()
            if self._meter is not None:
                self._meter(len(data))
            size = len(data)
            if self._hangup == _FINISHED and self._last is not None and size < CHUNK:
                return self._copy_last(data, self._last)
            try:
                written = os.write(sink, data)
            except BlockingIOError:
                written = 0
            self.moved += written
            if written != size:
                self.pending = memoryview(data)[written:]
                return None
            if size == CHUNK:
                # Bytes that are counted before they go on have to be seen.
                self._pipe = self._pipes.take() if self._meter is None else None
                if self._pipe is not None:
                    return self._splice(self._pipe)
            elif not self._hangup:
                # A short read has emptied the source: what comes later makes a new edge.
                return None
        self._again()
        return None

    def _copy_last(self, data: bytes, sink: socket.socket) -> None:
        """Write what is the last of the source, most likely."""
        ended, broken = False, None
        try:
            rest = os.read(self.source, CHUNK)
            ended = not rest
            if self._meter is not None:
                self._meter(len(rest))
            data += rest
        except BlockingIOError:
            pass
        except OSError as error:
            broken = error
        try:
            written = sink.send(data, socket.MSG_MORE if ended else 0)
        except BlockingIOError:
            written = 0
        self.moved += written
        if broken is not None:
            raise broken
        if written != len(data):
            self.pending = memoryview(data)[written:]
        elif ended:
            self.finished = True
            self._ended()
        else:
            self._again()

    def _splice(self, pipe: Pipe) -> None:
        reading, writing = pipe
        for _ in range(_ROUNDS):
            if self.piped == 0:
                try:
                    self.piped = os.splice(self.source, writing, CAPACITY, flags=_SPLICE)
                except BlockingIOError:
                    return self._release(empty=True)
                if self.piped == 0:
                    self._release(empty=True)
                    return self._end()
            try:
                moved = os.splice(reading, self.sink, self.piped, flags=_SPLICE)
            except BlockingIOError:
                return None
            self.piped -= moved
            self.moved += moved
        self._again()
        return None

    def _release(self, *, empty: bool) -> None:
        pipe, self._pipe, self.piped = self._pipe, None, 0
        if pipe is not None:
            self._pipes.give_back(pipe, empty=empty)

    def _end(self) -> None:
        self.finished = True
        self._ended()


def _nothing() -> None:
    """There is nobody to tell."""


class RequestPump(Pump):
    """One request's body from the client to the server, and nothing behind it.

    What the client sends after the body is read and dropped, up to a limit: unread bytes would turn the close of the
    connection into a reset, and the client would lose the end of the answer.
    """

    __slots__ = ("_body", "_dropped")

    _DROPPED_AT_MOST = 1 << 20

    def __init__(
        self,
        source: int,
        sink: int,
        *,
        pipes: PipePool,
        ended: Callable[[], None],
        again: Callable[[], None],
        first: bytes,
        body: Body,
        meter: Meter | None = None,
    ) -> None:
        super().__init__(source, sink, pipes=pipes, ended=ended, again=again, first=first, meter=meter)
        self._body = body
        self._dropped = 0

    def _copy(self) -> None:
        for _ in range(_ROUNDS):
            try:
                data = os.read(self.source, CHUNK * 4)
            except BlockingIOError:
                return None
            if not data:
                return self._end()
            part = self._body.take(data)
            self._dropped += len(data) - len(part)
            if self._dropped > self._DROPPED_AT_MOST:
                return self._end()
            if part and self._meter is not None:
                self._meter(len(part))
            if part:
                self.pending = part
                self.start()
                if self.pending:
                    return None
        self._again()
        return None


class RequestsPump(Pump):
    """All requests of a client to the server, each looked at before it goes on."""

    __slots__ = ("_requests",)

    def __init__(
        self,
        source: int,
        sink: int,
        *,
        pipes: PipePool,
        ended: Callable[[], None],
        again: Callable[[], None],
        first: bytes,
        requests: Requests,
        meter: Meter | None = None,
    ) -> None:
        passed = requests.take(first)
        super().__init__(source, sink, pipes=pipes, ended=ended, again=again, first=passed, meter=meter)
        self._requests = requests

    def _copy(self) -> None:
        for _ in range(_ROUNDS):
            try:
                data = os.read(self.source, CHUNK * 4)
            except BlockingIOError:
                return None
            if not data:
                return self._end()
            part = self._requests.take(data)
            if part and self._meter is not None:
                self._meter(len(part))
            if part:
                self.pending = part
                self.start()
                if self.pending:
                    return None
        self._again()
        return None
