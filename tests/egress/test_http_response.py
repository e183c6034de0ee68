"""Heads of answers."""

from __future__ import annotations

import contextlib
import time

import msgspec
import pytest

from ringfence.egress.http_forward import answered
from ringfence.egress.http_response import ResponseHead, ResponseInvalid, parse_response


def test_an_answer_is_read_into_one_value() -> None:
    head = parse_response(b"HTTP/1.1 200 Fine and well\r\nContent-Length: 5\r\nX-A:  b \r\n\r\n", "GET")

    assert head == ResponseHead(
        status=200,
        phrase=b"Fine and well",
        fields=((b"content-length", b"5"), (b"x-a", b"b")),
        length=5,
        chunked=False,
        minor=1,
        written=(head.fields, b"X-A: b\r\n"),
    )


def test_a_client_gets_the_fields_that_somebody_changed() -> None:
    head = parse_response(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\n", "GET")
    changed = msgspec.structs.replace(head, fields=((b"x-a", b"c"),))

    assert [
        answered(one, length=5, chunked=False, keep=True, bodyless=False).split(b"\r\n")[1] for one in (head, changed)
    ] == [b"X-A: b", b"x-a: c"]


@pytest.mark.parametrize(
    ("head", "method", "length", "chunked"),
    [
        (b"HTTP/1.1 200\r\n\r\n", "GET", None, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", None, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", 0, False),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", 0, False),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", 0, False),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "POST", 0, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "GET", 5, False),
    ],
)
def test_the_end_of_an_answer_is_known_from_its_head(
    head: bytes, method: str, length: int | None, chunked: bool
) -> None:
    parsed = parse_response(head, method)

    assert (parsed.length, parsed.chunked) == (length, chunked)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 99 Low\r\n\r\n",
        b"HTTP/1.1 600 High\r\n\r\n",
        b"HTTP/1.1 200 OK\nX: y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nName : x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
    ],
)
def test_an_answer_that_two_readers_could_read_differently_is_refused(head: bytes) -> None:
    with pytest.raises(ResponseInvalid):
        parse_response(head, "GET")


@pytest.mark.parametrize("end", [b"\x01", b"x"])
def test_a_header_of_white_space_is_read_at_once(end: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nX:" + b" " * 60_000 + end + b"\r\n\r\n"
    start = time.thread_time()

    with contextlib.suppress(ResponseInvalid):
        parse_response(head, "GET")

    assert time.thread_time() - start < 1
