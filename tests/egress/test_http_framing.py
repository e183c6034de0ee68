"""Bodies in their framing, taken out of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.egress.http_framing import LAST_CHUNK, FramedBody, as_chunk
from ringfence.egress.http_head import HeadInvalid


def read(body: FramedBody, data: bytes, size: int) -> tuple[bytes, bytes]:
    taken, rest = b"", b""
    for at in range(0, len(data), size):
        part, behind = body.take(data[at : at + size])
        taken, rest = taken + part, rest + behind
    return taken, rest


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    rest=st.binary(max_size=20),
    size=st.integers(1, 60),
)
def test_what_was_put_into_chunks_comes_out_again(pieces: list[bytes], rest: bytes, size: int) -> None:
    body = FramedBody(None, chunked=True, strict=True)

    result = read(body, b"".join(map(as_chunk, pieces)) + LAST_CHUNK + rest, size)

    assert (result, body.finished) == ((b"".join(pieces), rest), True)


@given(content=st.binary(max_size=50), rest=st.binary(max_size=20), size=st.integers(1, 30))
def test_a_body_with_a_length_ends_there(content: bytes, rest: bytes, size: int) -> None:
    body = FramedBody(len(content), chunked=False, strict=True)

    assert read(body, content + rest, size) == (content, rest)
    assert body.finished


@pytest.mark.parametrize(
    "said",
    [
        b"3;name=value\r\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"0\r\nTrailer: x\r\n\r\n",
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"-1\r\n\r\n",
        b"\r\n3\r\nabc\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"0" * 5000,
    ],
)
def test_chunks_of_a_request_that_two_readers_could_read_differently_are_refused(said: bytes) -> None:
    with pytest.raises(HeadInvalid):
        read(FramedBody(None, chunked=True, strict=True), said, 4096)


def test_extensions_and_trailers_of_an_answer_are_dropped() -> None:
    body = FramedBody(None, chunked=True, strict=False)

    assert read(body, b"3;a=b\r\nabc\r\n2 \r\nde\r\n0\r\nX-Sum: 1\r\n\r\nrest", 7) == (b"abcde", b"rest")


def test_the_end_of_the_connection_ends_only_a_body_without_framing() -> None:
    open_ended, counted = FramedBody(None, chunked=False, strict=False), FramedBody(3, chunked=False, strict=False)

    open_ended.end()

    assert open_ended.finished
    with pytest.raises(HeadInvalid, match="within a body"):
        counted.end()
