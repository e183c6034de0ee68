"""Attacks on the quick patterns: the one that passes a whole answer on, and the one that reads a usual request line."""

from __future__ import annotations

import asyncio
import re
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.egress.http2.speaking import http2_client, request
from tests.egress.inspecting import Answers, inspecting, leave, server, tunnel
from tests.fuzz.properties.heads import same_when_passed_on

from ringfence.egress import http1_ends, http_head
from ringfence.egress.http_head import HeadInvalid, RequestHead, parse_head
from ringfence.egress.inspection import Request, Steps
from ringfence.egress.whole_answers import passed_on

_USUAL = b"HTTP/1.1 200 OK\r\nServer: a\r\nContent-Length: 4\r\nConnection: keep-alive\r\nX-A: b\r\n\r\nbody"
_PIECES = (
    b"\r\n", b"\r", b"\n", b"\0", b" ", b"\t", b":", b"0", b"4", b"a", b"-", b"\xe9", b"close", b"\r\n ", b"\r\n\r\n",
    b"TE: a\r\n", b"Content-Length: 4\r\n", b"content-length:04\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n", b"Keep-Alive: 5\r\n", b"Proxy-A: b\r\n", b"X-Proxy-A: b\r\n",
    b"WWW-Authenticate: NTLM\r\n", b"Alt-Svc: a\r\n", b"Trailer: X-A\r\n", b"Upgrade: h2c\r\n", b"HTTP/1.1 200 OK\r\n",
)  # fmt: skip
_REQUEST = b"GET /a/b.c?d=/.e HTTP/1.1\r\nHost: a.test\r\nX-A: /.b\r\n\r\n"
_REQUEST_PIECES = (
    b"/", b".", b"/.", b"/..", b"?", b" ", b"%", b"%2e", b"#", b"\\", b"*", b"a", b":", b"@", b"\r\n", b"\n", b"\0",
    b"\xe9", b"http://a.test", b"CONNECT ", b" HTTP/1.0", b" HTTP/1.1\r\n", b"Host: b.test\r\n",
)  # fmt: skip


def _changed(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """With some bytes taken out and others put in, at some places."""
    for at, out, put in changes:
        at %= len(data) + 1
        data = data[:at] + put + data[at + out :]
    return data


def _changes(pieces: tuple[bytes, ...]) -> st.SearchStrategy[list[tuple[int, int, bytes]]]:
    return st.lists(
        st.tuples(st.integers(0, 120), st.integers(0, 2), st.sampled_from((b"", *pieces))), min_size=1, max_size=4
    )


@given(changes=_changes(_PIECES))
@settings(max_examples=3000, deadline=None, derandomize=True)
def test_a_usual_answer_with_a_few_odd_bytes_means_the_same_or_is_read_field_by_field(
    changes: list[tuple[int, int, bytes]],
) -> None:
    assert same_when_passed_on(_USUAL)
    same_when_passed_on(_changed(_USUAL, changes))


@given(changes=_changes(_REQUEST_PIECES))
@settings(max_examples=3000, deadline=None, derandomize=True)
def test_a_usual_request_with_a_few_odd_bytes_is_read_as_without_the_pattern(
    changes: list[tuple[int, int, bytes]],
) -> None:
    head = _changed(_REQUEST, changes)
    quick = _read(head)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_head, "_PLAIN", re.compile(rb"(?!)"))
        assert _read(head) == quick


def _read(head: bytes) -> RequestHead | str:
    try:
        return parse_head(head)
    except HeadInvalid as invalid:
        return str(invalid)


@pytest.mark.parametrize("line", [b"GET / ", b"GET /a/b.c/d-e/?f=/../%2e#g ", b"M-SEARCH //a@b:c ", b"GET /? "])
def test_usual_request_lines_take_the_quick_way(line: bytes) -> None:
    assert http_head._PLAIN.match(line + b"HTTP/1.1\r\n")


@pytest.mark.parametrize("length", [b"04", b"00000000000000004", b"0x4", b"4,4", b"-4", b"4" * 19, b""])
def test_a_length_that_others_may_read_differently_is_not_passed_on(length: bytes) -> None:
    assert passed_on(b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\nbody" % length) is None


@pytest.mark.parametrize(("before", "behind", "passes"), [(128, 127, True), (0, 255, True), (128, 128, False)])
def test_fields_are_counted_on_both_sides_of_the_length(before: int, behind: int, passes: bool) -> None:
    lines = (b"X: a\r\n" * before, b"Content-Length: 4\r\n", b"X: a\r\n" * behind)

    assert (passed_on(b"HTTP/1.1 200 OK\r\n%b%b%b\r\nbody" % lines) is not None) is passes


_LONG = 262_144


@pytest.mark.parametrize("end", [b"Content-Length: 0\r\n\r\n", b"\0\r\n\r\n", b"Content-Length: 0\r\n\0\r\n\r\n"])
@pytest.mark.parametrize(
    "line", [b"a:\r\n", b"Keep-Alive:\r\n", b"Connection: keep-alive\r\n", b"a: eep-\r\n", b"proxy:\r\n"]
)
def test_an_answer_of_many_lines_is_held_once(line: bytes, end: bytes) -> None:
    data = b"HTTP/1.1 200 OK\r\n" + line * (_LONG // len(line)) + end

    assert _held(lambda: passed_on(data)) < _LONG


@pytest.mark.parametrize("end", [b"", b"%", b"\0", b"?\0"])
@pytest.mark.parametrize("piece", [b"/", b"/a", b"a/.", b"a."])
def test_a_request_for_many_segments_is_held_a_few_times(piece: bytes, end: bytes) -> None:
    data = b"GET /" + piece * (65_536 // len(piece)) + end + b" HTTP/1.1\r\nHost: a.test\r\n\r\n"

    assert _held(lambda: http_head._PLAIN.match(data)) < 65_536


def _held(work: Callable[[], object]) -> int:
    """The most bytes that it took at once."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# on the real gateway


def answering(*pieces: bytes, connections: list[int] | None = None) -> Answers:
    """A server that answers each request with the same pieces, each in a record of TLS of its own."""

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if connections is not None:
            connections.append(0)
        while True:
            await reader.readuntil(b"\r\n\r\n")
            for piece in pieces:
                writer.write(piece)
            await writer.drain()

    return answers


async def _told(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(4)


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[bytes | None]:
    """What came of each try to pass an answer on."""
    tried: list[bytes | None] = []

    def trying(data: bytes) -> bytes | None:
        tried.append(passed_on(data))
        return tried[-1]

    monkeypatch.setattr(http1_ends, "passed_on", trying)
    return tried


async def test_a_client_gets_the_length_in_its_one_spelling() -> None:
    answers = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0004\r\n\r\nbody")
    async with server(answers) as port, inspecting() as gateway, asyncio.timeout(20):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port)
        told = await _told(reader)
        await leave(writer)

    assert told == b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"


async def test_a_second_answer_in_a_record_of_its_own_answers_nobody(passed: list[bytes | None]) -> None:
    connections: list[int] = []
    answers = answering(
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        connections=connections,
    )
    told = []
    async with server(answers) as port, inspecting() as gateway, asyncio.timeout(20):
        reader, writer = await tunnel(gateway.port, port)
        for _ in range(3):
            writer.write(b"GET / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port)
            # The server has said both by then, in one turn of the loop that all of them share.
            told.append((await _told(reader))[-4:])
        await leave(writer)

    assert told == [b"body"] * 3
    assert len(connections) == 3
    assert any(passed)


async def test_a_server_that_ends_its_connection_gets_no_other_request_on_it(passed: list[bytes | None]) -> None:
    connections: list[int] = []
    answers = answering(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody", connections=connections
    )
    async with server(answers) as port, inspecting() as gateway, asyncio.timeout(20):
        reader, writer = await tunnel(gateway.port, port)
        for _ in range(3):
            writer.write(b"GET / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port)
            assert await _told(reader) == b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"
        await leave(writer)

    assert (len(connections), passed) == (3, [None] * 3)


class Passing(Steps):
    """Looks into everything, and lets it pass."""


def looks(request: Request) -> Steps:
    return Passing()


@pytest.mark.parametrize(
    ("looked_into", "method", "more", "tries"),
    [
        (False, b"GET", b"1", 1),
        (True, b"GET", b"1", 0),
        (False, b"HEAD", b"1", 0),
        (False, b"GET", b"0", 0),
        (False, b"GET", b"1\r\nConnection: close", 0),
    ],
)
async def test_it_is_tried_only_where_nobody_looks_and_the_client_stays(
    passed: list[bytes | None], looked_into: bool, method: bytes, more: bytes, tries: int
) -> None:
    body = b"" if method == b"HEAD" else b"body"
    answers = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + body)
    amendments = (looks,) if looked_into else ()
    async with server(answers) as port, inspecting(amendments=amendments) as gateway, asyncio.timeout(20):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(b"%b / HTTP/1.%b\r\nHost: a.test:%d\r\n\r\n" % (method, more, port))
        told = await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(len(body))
        await leave(writer)

    assert told.startswith(b"HTTP/1.1 200 OK\r\n") and told.endswith(b"\r\n\r\n" + body)
    assert len(passed) == tries


async def test_a_client_of_http2_gets_frames_and_no_answer_of_http1(passed: list[bytes | None]) -> None:
    answers = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")
    async with (
        server(answers) as port,
        inspecting(http2=True) as gateway,
        asyncio.timeout(20),
        http2_client(gateway.port, port) as client,
    ):
        told = await client.whole(client.ask(request(port)))

    assert (told.value(b":status"), bytes(told.body), passed) == (b"200", b"body", [])
