"""One direction of a connection, driven by hand: every way in which its turn can end.

The two ends are pipes, whose capacity is exact, so that "full" and "empty" happen where a test says.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
from collections.abc import Iterator

import pytest

from ringfence.egress.http_body import Body
from ringfence.egress.http_head import parse_head
from ringfence.egress.pipes import Pipe, PipePool
from ringfence.egress.pump import CHUNK, Pump, RequestPump

HANGUP = select.EPOLLRDHUP
CHUNK_OF_BYTES = bytes(range(256)) * (CHUNK // 256)


class NoPipes(PipePool):
    """A process without free descriptors."""

    def take(self) -> Pipe | None:
        return None


def _pipe(capacity: int) -> Pipe:
    pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, capacity)
    return pipe


class Bench:
    """A pump between two pipes, of which the test holds the outer ends."""

    def __init__(self, pipes: PipePool, *, sink: int = 1 << 20, first: bytes = b"", body: Body | None = None) -> None:
        self.source, self.sender = _pipe(1 << 20)
        self.receiver, self.sink = _pipe(sink)
        self.pipes = pipes
        self.ends = 0
        self.turns = 0
        if body is None:
            self.pump = Pump(self.source, self.sink, pipes=pipes, ended=self._end, again=self._turn, first=first)
        else:
            self.pump = RequestPump(
                self.source, self.sink, pipes=pipes, ended=self._end, again=self._turn, first=first, body=body
            )

    def _end(self) -> None:
        self.ends += 1

    def _turn(self) -> None:
        self.turns += 1

    def finish_sending(self) -> None:
        """The sender says that there is no more."""
        os.close(self.sender)
        self.sender = -1

    def received(self) -> bytes:
        """Everything that has arrived by now."""
        data = b""
        try:
            while part := os.read(self.receiver, 1 << 20):
                data += part
        except BlockingIOError:
            pass
        return data

    def close(self) -> None:
        """Close what is open."""
        self.pump.stop()
        for descriptor in (self.source, self.sender, self.receiver, self.sink):
            if descriptor >= 0:
                os.close(descriptor)
        self.pipes.close()


@pytest.fixture(params=["pipes", "no pipes"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(PipePool() if request.param == "pipes" else NoPipes())
    yield made
    made.close()


@pytest.fixture(params=["pipes", "no pipes"])
def narrow(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(PipePool() if request.param == "pipes" else NoPipes(), sink=4096)
    yield made
    made.close()


def test_a_message_is_moved_and_counted(bench: Bench) -> None:
    os.write(bench.sender, b"hello")

    bench.pump.run()

    assert (bench.received(), bench.pump.moved, bench.ends) == (b"hello", 5, 0)


def test_what_was_given_to_begin_with_goes_first() -> None:
    bench = Bench(PipePool(), first=b"first ")
    os.write(bench.sender, b"second")

    bench.pump.run()

    assert bench.received() == b"first second"
    bench.close()


def test_the_end_is_told_once_and_after_the_bytes(bench: Bench) -> None:
    os.write(bench.sender, CHUNK_OF_BYTES + b"tail")
    bench.finish_sending()

    bench.pump.run(HANGUP)
    bench.pump.run(HANGUP)

    assert (bench.received(), bench.ends, bench.pump.finished) == (CHUNK_OF_BYTES + b"tail", 1, True)


@pytest.mark.parametrize("message", [b"end", b"e" * 5000, CHUNK_OF_BYTES, CHUNK_OF_BYTES * 3])
def test_an_end_that_was_reported_while_the_sink_was_full_is_not_forgotten(narrow: Bench, message: bytes) -> None:
    os.write(narrow.sink, bytes(4096))
    os.write(narrow.sender, message)
    narrow.finish_sending()
    narrow.pump.run(HANGUP)
    assert narrow.ends == 0

    received = b""
    for _ in range(100):
        received += narrow.received()
        narrow.pump.run()  # as for "the sink is writable again": the end is not reported a second time

    assert (received, narrow.ends) == (bytes(4096) + message, 1)


def test_nothing_is_read_while_bytes_wait_for_the_sink(narrow: Bench) -> None:
    os.write(narrow.sink, bytes(4096))
    os.write(narrow.sender, b"one")
    narrow.pump.run()
    os.write(narrow.sender, b"two")

    narrow.pump.run()

    assert narrow.pump.blocked
    assert os.read(narrow.source, 10) == b"two"


def test_a_message_behind_a_bulk_transfer_that_waits_does_not_overtake_it(narrow: Bench) -> None:
    os.write(narrow.sender, CHUNK_OF_BYTES)
    narrow.pump.run()
    os.write(narrow.sender, CHUNK_OF_BYTES)
    narrow.pump.run()
    os.write(narrow.sender, b"message")
    narrow.pump.run()

    received = b""
    for _ in range(100):
        received += narrow.received()
        narrow.pump.run()

    assert received == CHUNK_OF_BYTES * 2 + b"message"
    assert narrow.pump.moved == len(received)


@pytest.mark.parametrize("size", [3000, CHUNK])
def test_a_long_run_asks_for_another_turn_and_loses_nothing(size: int) -> None:
    bench = Bench(NoPipes())
    for _ in range(40):
        os.write(bench.sender, CHUNK_OF_BYTES[:size])
    bench.finish_sending()

    received = b""
    runs = 0
    while bench.turns == runs:
        runs += 1
        bench.pump.run(HANGUP if runs == 1 else 0)
        received += bench.received()

    assert received == CHUNK_OF_BYTES[:size] * 40
    assert runs == 1 + 40 * size // (16 * CHUNK)
    assert bench.ends == 1
    bench.close()


def test_a_pipe_that_still_holds_bytes_is_not_given_to_another_connection() -> None:
    bench = Bench(PipePool(), sink=4096)
    for _ in range(2):
        os.write(bench.sender, CHUNK_OF_BYTES)
    bench.pump.run()
    bench.received()
    bench.pump.run()
    assert bench.pump.blocked

    bench.pump.stop()

    reading, writing = bench.pipes.take() or (-1, -1)
    with pytest.raises(BlockingIOError):
        os.read(reading, 1)
    bench.pipes.give_back((reading, writing), empty=True)
    bench.close()


def test_a_broken_sink_is_an_error(bench: Bench) -> None:
    os.close(bench.receiver)
    bench.receiver = -1
    os.write(bench.sender, b"x")

    with pytest.raises(BrokenPipeError):
        bench.pump.run()


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_request_is_forwarded_with_its_body_and_nothing_behind_it(step: int) -> None:
    head = parse_head(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n")
    bench = Bench(PipePool(), first=b"HEAD ", body=Body(head))
    stream = b"12345GET /second HTTP/1.1\r\n\r\n"

    for at in range(0, len(stream), step):
        os.write(bench.sender, stream[at : at + step])
        bench.pump.run()
    bench.finish_sending()
    bench.pump.run(HANGUP)

    assert bench.received() == b"HEAD 12345"
    assert (bench.ends, bench.pump.moved) == (1, 10)
    bench.close()


def test_the_body_of_a_request_waits_for_a_slow_server() -> None:
    head = parse_head(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 50000\r\n\r\n")
    bench = Bench(PipePool(), sink=4096, first=b"HEAD ", body=Body(head))
    body = (CHUNK_OF_BYTES * 4)[:50_000]
    os.write(bench.sender, body + b"more")

    received = b""
    for _ in range(100):
        bench.pump.run()
        received += bench.received()

    assert received == b"HEAD " + body
    bench.close()


class Last:
    """Two pairs of sockets with a pump between them, which is told that its sink is a socket."""

    def __init__(self) -> None:
        self.sender, self.source = socket.socketpair()
        self.sink, self.receiver = socket.socketpair()
        for sock in (self.source, self.sink, self.receiver):
            sock.setblocking(False)
        self.ends = self.turns = 0
        self.pump = Pump(
            self.source.fileno(),
            self.sink.fileno(),
            pipes=NoPipes(),
            ended=self._end,
            again=self._turn,
            last=self.sink,
        )

    def _end(self) -> None:
        self.ends += 1
        self.sink.shutdown(socket.SHUT_WR)

    def _turn(self) -> None:
        self.turns += 1

    def received(self) -> bytes:
        """Everything that has arrived by now."""
        data = b""
        try:
            while part := self.receiver.recv(1 << 20):
                data += part
        except BlockingIOError:
            pass
        return data

    def close(self) -> None:
        """Close everything."""
        for sock in (self.sender, self.source, self.sink, self.receiver):
            sock.close()


@pytest.fixture
def last() -> Iterator[Last]:
    made = Last()
    yield made
    made.close()


def test_the_last_bytes_and_the_end_behind_them_arrive_in_one_turn(last: Last) -> None:
    last.sender.send(b"answer")
    last.sender.shutdown(socket.SHUT_WR)

    last.pump.run(HANGUP)

    assert (last.received(), last.ends, last.pump.moved, last.pump.finished) == (b"answer", 1, 6, True)


def test_bytes_behind_which_the_end_is_not_to_be_seen_yet_do_not_wait_for_it(last: Last) -> None:
    last.sender.send(b"answer")

    last.pump.run(HANGUP)
    before = last.received()
    last.sender.close()
    while not last.pump.finished:
        last.pump.run(HANGUP)

    assert (before, last.received(), last.ends) == (b"answer", b"", 1)


def test_the_last_bytes_wait_for_a_sink_that_is_full_and_the_end_waits_with_them(last: Last) -> None:
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filled += last.sink.send(bytes(4096))
    last.sender.send(b"answer")
    last.sender.shutdown(socket.SHUT_WR)

    last.pump.run(HANGUP)
    ends = last.ends
    first = last.received()
    last.pump.run()

    assert (ends, last.ends, (first + last.received())[filled:]) == (0, 1, b"answer")
