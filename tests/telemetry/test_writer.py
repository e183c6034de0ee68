"""What the writer takes together: whoever waits is answered at once, and what nobody waits for waits for others."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from ringfence.telemetry import frames
from ringfence.telemetry.writer import Writer


@pytest.fixture
def link() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def asked(kind: int, event_id: str) -> bytes:
    return frames.event_frame(kind, event_id, "notice", b"{}")


def test_what_nobody_waits_for_is_written_with_the_next_that_somebody_waits_for(
    link: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = link
    writer = Writer(theirs.fileno(), "/nonexistent/ledger.db", "s", 1.0, linger_seconds=60.0)
    ours.sendall(asked(frames.NOTE, "a"))
    later = threading.Timer(0.05, ours.sendall, [asked(frames.EVENT, "b") + asked(frames.NOTE, "c")])
    later.start()

    drafts = writer.take()

    later.join()
    assert [event_id for _, _, event_id, _ in drafts] == ["a", "b", "c"]


def test_what_nobody_waits_for_does_not_wait_for_ever(link: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = link
    writer = Writer(theirs.fileno(), "/nonexistent/ledger.db", "s", 1.0, linger_seconds=0.01)
    ours.sendall(asked(frames.NOTE, "a"))

    assert [event_id for _, _, event_id, _ in writer.take()] == ["a"]


def test_what_nobody_waits_for_is_written_when_its_session_dies(link: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = link
    writer = Writer(theirs.fileno(), "/nonexistent/ledger.db", "s", 1.0, linger_seconds=60.0)
    ours.sendall(asked(frames.NOTE, "a"))
    ours.close()

    assert [event_id for _, _, event_id, _ in writer.take()] == ["a"]


def test_more_than_a_batch_is_taken_in_order(link: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = link
    writer = Writer(theirs.fileno(), "/nonexistent/ledger.db", "s", 1.0)
    ours.sendall(b"".join(asked(frames.EVENT, f"e{number}") for number in range(300)))

    first, second = writer.take(), writer.take()

    assert [event_id for _, _, event_id, _ in first + second] == [f"e{number}" for number in range(300)]
    assert len(first) == 256


def test_a_frame_is_whole_only_with_its_last_byte() -> None:
    whole = asked(frames.EVENT, "a") + asked(frames.NOTE, "b")
    cut = frames.Frames()

    pieces = [cut.feed(whole[at : at + 1]) for at in range(len(whole))]

    assert [frame for piece in pieces for frame in piece] == [
        (frames.EVENT, b"a\0notice\0{}"),
        (frames.NOTE, b"b\0notice\0{}"),
    ]
    assert frames.Frames().feed(whole) == [frame for piece in pieces for frame in piece]


def test_a_frame_that_no_peer_would_send_is_refused() -> None:
    with pytest.raises(ValueError, match="over the limit"):
        frames.Frames().feed(b"\xff\xff\xff\xff\0")
