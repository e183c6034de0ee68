"""Frames are passed on as they are, but for GOAWAY, and counted, however they are cut."""

from __future__ import annotations

import contextlib
import itertools
import socket

import pytest
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame
from hypothesis import given
from hypothesis import strategies as st

from ringfence.egress.http2.frames import MOST, PER_FRAME_SENT, PER_SECOND, PREFACE, Flood, Frames, GoAway
from ringfence.egress.http2.wire import OF_CLIENTS, Wire, WireBroken
from ringfence.egress.leg import Leg

GOODBYE = GoAwayFrame(0, last_stream_id=7, error_code=2, additional_data=b"because")


def as_bytes(*frames: Frame) -> bytes:
    return b"".join(frame.serialize() for frame in frames)


def fed(frames: Frames, pieces: list[bytes], now: float = 0.0) -> tuple[bytes, list[GoAway]]:
    passed, farewells = b"", []
    for piece in pieces:
        more, told = frames.take(piece, now)
        passed += more
        farewells += told
    return passed, farewells


some_frames = st.lists(
    st.one_of(
        st.builds(lambda data: DataFrame(1, data), st.binary(max_size=40)),
        st.just(PingFrame(0, b"12345678")),
        st.just(GOODBYE),
        st.just(HeadersFrame(1, b"xyz", flags=["END_HEADERS"])),
        st.just(SettingsFrame(0)),
    ),
    max_size=8,
)


@given(some_frames, st.lists(st.integers(0, 400), max_size=12), st.booleans())
def test_however_it_is_cut_the_same_is_passed_on(frames: list[Frame], cuts: list[int], preface: bool) -> None:
    start = PREFACE if preface else b""
    whole = start + as_bytes(*frames)
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[one:other] for one, other in itertools.pairwise(edges)]

    passed, farewells = fed(Frames(0.0, preface=preface), pieces)

    assert passed == start + as_bytes(*(frame for frame in frames if frame is not GOODBYE))
    assert farewells == [GoAway(last=7, code=2)] * frames.count(GOODBYE)


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_passed_on_or_too_much(pieces: list[bytes]) -> None:
    with contextlib.suppress(Flood):
        fed(Frames(0.0, preface=False), pieces)


def test_what_moves_nothing_is_counted_and_time_brings_it_back() -> None:
    frames = Frames(0.0, preface=False)
    fed(frames, [as_bytes(PingFrame(0, b"12345678")) * MOST])

    fed(frames, [as_bytes(PingFrame(0, b"12345678")) * PER_SECOND], now=1.0)

    with pytest.raises(Flood):
        fed(frames, [as_bytes(PingFrame(0, b"12345678"))], now=1.0)


def test_what_we_send_may_be_answered() -> None:
    frames = Frames(0.0, preface=False)
    fed(frames, [as_bytes(PingFrame(0, b"12345678")) * MOST])

    frames.sent(1)
    fed(frames, [as_bytes(PingFrame(0, b"12345678")) * PER_FRAME_SENT])

    with pytest.raises(Flood):
        fed(frames, [as_bytes(PingFrame(0, b"12345678"))])


def test_bodies_and_headers_cost_nothing() -> None:
    frames = Frames(0.0, preface=False)

    fed(frames, [as_bytes(HeadersFrame(1, b"x"), DataFrame(1, b"x")) * (2 * MOST)])

    with pytest.raises(Flood):
        fed(frames, [as_bytes(RstStreamFrame(1, 8)) * (MOST // 4 + 1)])


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(some_frames, max_size=3))
def test_a_connection_takes_any_bytes_or_is_broken(noise: list[bytes], frames: list[list[Frame]]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        wire = Wire(Leg(ours), lambda: 0.0, lambda _: None, client_side=False, windows=OF_CLIENTS)
        with contextlib.suppress(WireBroken):
            for piece in (PREFACE + as_bytes(SettingsFrame(0)), *(as_bytes(*one) for one in frames), *noise):
                theirs.sendall(piece)
                wire.leg.ready = True
                while wire.receive() is not None:
                    wire.flush()


def test_a_connection_that_was_handed_on_is_not_written_to() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire = Wire(Leg(ours), lambda: 0.0, lambda _: None, client_side=False, windows=OF_CLIENTS)
        wire.flush()
        before = theirs.recv(1000)

        wire.stop()
        wire.goodbye()
        ours.shutdown(socket.SHUT_WR)
        after = theirs.recv(1000)

    assert (bool(before), after) == (True, b"")
