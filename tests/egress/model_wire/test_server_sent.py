"""Server-sent events, put together as the clients of models put them together."""

from __future__ import annotations

import pytest

from ringfence.egress.model_wire.server_sent import ServerSent


def read(*pieces: bytes) -> list[bytes]:
    stream = ServerSent()
    return [event for piece in pieces for event in stream.take(piece)]


@pytest.mark.parametrize(
    ("pieces", "events"),
    [
        ((b"data: a\n\ndata: b\n\n",), [b"a", b"b"]),
        ((b"data: a\r", b"\n", b"\ndata: b\r\n\r\n"), [b"a", b"b"]),
        ((b"data: a\r\r", b"\n", b"data: b\r\r"), [b"a", b"b"]),
        ((b"\xef\xbb\xbfdata: a\n\n",), [b"a"]),
        ((b"\xef\xbb", b"\xbfdata: a\n\n"), [b"a"]),
        ((b"data\ndata: a\n\n",), [b"\na"]),
        ((b"datax: a\ndata : a\n\n",), []),
    ],
)
def test_events_are_what_the_standard_says_however_they_are_cut(pieces: tuple[bytes, ...], events: list[bytes]) -> None:
    assert read(*pieces) == events
