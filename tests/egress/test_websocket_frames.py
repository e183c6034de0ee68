"""Frames of WebSockets: messages are whole, and however they come, they cost no more memory than a message may."""

from __future__ import annotations

import tracemalloc

import pytest

from ringfence.egress.websocket_frames import MOST_MESSAGE, FrameInvalid, FrameReader, Message

BEGIN, MORE, LAST = b"\x01\x00", b"\x00\x00", b"\x80\x05hello"


def test_a_message_in_pieces_is_put_together() -> None:
    reader = FrameReader(masked=False)
    reader.feed(b"\x01\x02he" + b"\x89\x00" + b"\x80\x03llo")

    assert [reader.next(), reader.next(), reader.next()][1:] == [Message(b"hello", True), None]


@pytest.mark.slow
def test_a_message_without_an_end_of_empty_frames_takes_no_memory() -> None:
    reader = FrameReader(masked=False)
    reader.feed(BEGIN)
    tracemalloc.start()
    try:
        for _ in range(50):
            reader.feed(MORE * 1000)
            assert reader.next() is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    reader.feed(LAST)

    assert reader.next() == Message(b"hello", True)
    assert peak < 100_000


def test_a_message_that_becomes_too_long_piece_by_piece_is_refused() -> None:
    reader = FrameReader(masked=False)
    half = b"\x00\x7f" + (MOST_MESSAGE // 2).to_bytes(8, "big") + bytes(MOST_MESSAGE // 2)
    reader.feed(b"\x02\x01x" + half + half)

    with pytest.raises(FrameInvalid):
        reader.next()
