"""The battery's own web server hears what a careful one would refuse."""

from __future__ import annotations

from hpack import Encoder

from ringfence.verify.secure_origin import Http2Origin

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, ACKNOWLEDGED = bytes(3) + b"\4\0" + bytes(4), bytes(3) + b"\4\1" + bytes(4)


def frame(kind: int, flags: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + (1).to_bytes(4, "big") + payload


def answer() -> bytes:
    return frame(1, 4, b"\x88") + frame(0, 1, b"pong")


def test_two_hosts_in_one_request_are_both_heard() -> None:
    fields = [(":authority", "public.allowed.test"), (":authority", "public.evil.test")]
    origin = Http2Origin()

    said = origin.receive(PREFACE + SETTINGS + frame(1, 5, Encoder().encode(fields)))

    heard = b":authority=public.allowed.test\n:authority=public.evil.test\n"
    assert said == (SETTINGS + ACKNOWLEDGED + answer(), [heard])


def test_a_header_in_many_frames_that_come_byte_by_byte_is_counted_and_read_as_one() -> None:
    block = Encoder().encode([(":path", "/closed"), ("x", "y")])
    sent = PREFACE + frame(1, 1, block[:3]) + frame(9, 0, block[3:4]) + frame(9, 4, block[4:])
    origin = Http2Origin()

    said = [origin.receive(bytes((each,))) for each in sent]

    assert b"".join(each for each, _ in said) == SETTINGS + answer()
    assert [note for _, notes in said for note in notes] == [b":path=/closed\nx=y\n", b"2 CONTINUATION frames"]


def test_what_is_no_header_is_heard_as_it_came() -> None:
    origin = Http2Origin()

    said = origin.receive(PREFACE + frame(1, 4, b"\xff\xff\xff\xff\xff\xff\xff"))

    assert said == (SETTINGS + answer(), [b"what cannot be read=" + b"\xff" * 7 + b"\n"])
