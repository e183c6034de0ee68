"""A whole plain answer is passed on by one pattern; it has to come to what reading it field by field comes to."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.egress.inspecting import inspecting, leave, server, tunnel
from tests.fuzz.properties.heads import same_when_passed_on

from ringfence.egress import http_head
from ringfence.egress.http_head import HeadInvalid, RequestHead, parse_head
from ringfence.egress.whole_answers import passed_on

_LINES = (
    b"Server: nginx", b"Date: Tue, 24 Nov 2026 00:00:05 GMT", b'ETag: "5"', b"X-A:b", b"X-B: \t c \t", b"X-C:",
    b"Vary: \xe9", b"Content-Length: 4", b"content-length:4", b"Content-Length: 4 ", b"CONTENT-LENGTH: 4",
    b"Content-Length: +4", b"Content-Length: 4, 4", b"Content-Length: 5", b"Content-Length : 4",
    b"Transfer-Encoding: chunked", b"tRANSFER-ENCODING: identity", b"Connection: keep-alive", b"connection: Keep-Alive",
    b"Connection: close", b"CONNECTION: X-A", b"Keep-Alive: timeout=5", b"KEEP-ALIVE: x", b"Proxy-Connection: close",
    b"Proxy-Authenticate: Basic", b"WWW-Authenticate: NTLM", b"WWW-Authenticate: Basic", b"Authorization: Negotiate x",
    b'Alt-Svc: h3=":443"', b"Trailer: X", b"Upgrade: h2c", b"TE: trailers", b"Text: te:", b"Host: a", b"Hosted: a",
    b"HTTP2-Settings: x", b" folded", b"X-D: a\x00", b"X-E: a\nX-F: b", b"X-G: a\rX-H: b", b"X Y: a", b": a", b"",
)  # fmt: skip
_STATUS = (
    b"HTTP/1.1 200 OK", b"HTTP/1.1 404 ", b"HTTP/1.1 200", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No", b"HTTP/1.1 304 No",
    b"HTTP/1.1 100 Go on", b"HTTP/1.1 101 Other", b"HTTP/1.1 599 \xe9", b"HTTP/1.1 600 High", b"HTTP/1.1 200 a\x00",
)  # fmt: skip


@given(
    status=st.sampled_from((_STATUS[0], *_STATUS)),
    lines=st.lists(st.sampled_from(_LINES), max_size=7),
    length=st.sampled_from((b"Content-Length: 4", b"content-length:4")),
    at=st.integers(0, 7),
    body=st.sampled_from((b"body", b"body", b"bod", b"bodyHTTP/1.1 200 OK\r\n\r\n")),
)
@settings(max_examples=1500, deadline=None, derandomize=True)
def test_it_means_the_same_as_read_field_by_field(
    status: bytes, lines: list[bytes], length: bytes, at: int, body: bytes
) -> None:
    same_when_passed_on(b"\r\n".join((status, *lines[:at], length, *lines[at:], b"", body)))


@pytest.mark.parametrize(
    "lines",
    [
        (b"Server: nginx", b"Content-Length: 4", b"Connection: keep-alive", b'ETag: "5-6"', b"Accept-Ranges: bytes"),
        (b"content-type: text/plain", b"Connection: keep-alive", b"Keep-Alive: timeout=5", b"content-length: 4"),
        (b"Content-Length: 4",),
        (
            b"Text: te",
            b"Tea: x",
            b"Hosted: by",
            b"Uses: x",
            b"Content-Length: 4",
            b"Content-Language: de",
            b"X-Keep-A: 1",
        ),
        (*(b"X-%d: a" % at for at in range(255)), b"Content-Length: 4"),
    ],
)
def test_usual_answers_take_this_way(lines: tuple[bytes, ...]) -> None:
    data = b"\r\n".join((b"HTTP/1.1 200 OK", *lines, b"", b"body"))

    assert same_when_passed_on(data)
    assert b"keep-alive" not in (passed_on(data) or b"").lower()


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n", b"bodyHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n", b"bod"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n", b"body"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\ncontent-length: 5\r\n", b"body"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"body"),
        (b"HTTP/1.1 200 OK\r\ntransfer-ENCODING:chunked\r\nContent-Length: 4\r\n", b"body"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n", b"body"),
        (b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-A\r\nX-A: 1\r\nContent-Length: 4\r\n", b"body"),
        (b"HTTP/1.1 200 OK\r\nWWW-Authenticate: NTLM\r\nContent-Length: 4\r\n", b"body"),
        (b'HTTP/1.1 200 OK\r\nAlt-Svc: h3=":443"\r\nContent-Length: 4\r\n', b"body"),
        (b"HTTP/1.1 200 OK\r\nProxy-Connection: close\r\nContent-Length: 4\r\n", b"body"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n folded\r\n", b"body"),
        (b"HTTP/1.1 200 OK\r\nX: a\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n", b"body"),
        (b"HTTP/1.1 200 OK\nContent-Length: 4\r\n", b"body"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n", b"body"),
        (b"HTTP/1.1 101 Switching\r\nContent-Length: 4\r\n", b"body"),
        (b"HTTP/1.1 100 Continue\r\nContent-Length: 4\r\n", b"body"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n", b"body"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n", b"body"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 256 + b"Content-Length: 4\r\n", b"body"),
    ],
)
def test_what_says_more_is_read_field_by_field(head: bytes, body: bytes) -> None:
    assert passed_on(head + b"\r\n" + body) is None


async def test_a_second_answer_behind_the_first_answers_nobody() -> None:
    asked, connections = 0, 0

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked, connections
        connections += 1
        while True:
            await reader.readuntil(b"\r\n\r\n")
            asked += 1
            evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil" if asked == 2 else b""
            writer.write(b"HTTP/1.1 200 OK\r\nX-Number: %d\r\nContent-Length: 4\r\n\r\nbody%b" % (asked, evil))
            await writer.drain()

    told = b""
    async with server(answers) as port, inspecting() as gateway, asyncio.timeout(20):
        reader, writer = await tunnel(gateway.port, port)
        for _ in range(4):
            writer.write(b"GET / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % port)
            told += await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(4)
        await leave(writer)

    assert re.findall(rb"(?i)x-number: (.)", told) == [b"1", b"2", b"3", b"4"]
    assert b"evil" not in told
    assert connections == 2, "the first one is kept after a plain answer, and closed after the odd one"


async def test_the_length_in_an_answer_to_head_is_not_that_of_what_follows() -> None:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            method = (await reader.readuntil(b"\r\n\r\n")).partition(b" ")[0]
            body = b"" if method == b"HEAD" else b"body"
            writer.write(b"HTTP/1.1 200 OK\r\nX: %b\r\nContent-Length: 4\r\n\r\n%b" % (method, body))
            await writer.drain()

    told = []
    async with server(answers) as port, inspecting() as gateway, asyncio.timeout(20):
        reader, writer = await tunnel(gateway.port, port)
        for method in (b"HEAD", b"GET", b"HEAD", b"GET"):
            writer.write(b"%b / HTTP/1.1\r\nHost: a.test:%d\r\n\r\n" % (method, port))
            head = await reader.readuntil(b"\r\n\r\n")
            told.append((method in head, b"4" in head, method == b"HEAD" or await reader.readexactly(4)))
        await leave(writer)

    assert told == [(True, True, True), (True, True, b"body")] * 2


@pytest.mark.parametrize(
    "asks", [b"GET / HTTP/1.0\r\nHost: a.test:%d\r\n", b"GET / HTTP/1.1\r\nHost: a.test:%d\r\nConnection: close\r\n"]
)
async def test_a_client_that_does_not_stay_is_told_the_end(asks: bytes) -> None:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody")
            await writer.drain()

    async with server(answers) as port, inspecting() as gateway, asyncio.timeout(20):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(asks % port + b"\r\n")
        told = await reader.read()
        await leave(writer)

    assert b"Connection: close\r\n" in told and told.endswith(b"\r\n\r\nbody")


_METHODS = ("GET", "POST", "CONNECT", "OPTIONS", "get", "M-SEARCH", "")
_TARGETS = (
    "/",
    "/a/b?c=d",
    "/a%2e/b",
    "/..",
    "/.a",
    "//",
    "/a?",
    "/a#b",
    "*",
    "a.test:80",
    "http://a.test/x",
    "/\\",
    "/a b",
)
_HEADERS = (
    "Host: a.test", "Host: b.test", "Content-Length: 3", "Transfer-Encoding: chunked", "X: y", "Host:", " folded", "X"
)  # fmt: skip


@given(
    method=st.sampled_from(_METHODS),
    target=st.sampled_from(_TARGETS),
    version=st.sampled_from(("HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "http/1.1")),
    lines=st.lists(st.sampled_from(_HEADERS), max_size=4),
)
@settings(max_examples=1500, deadline=None, derandomize=True)
def test_a_usual_request_line_is_read_as_any_other(method: str, target: str, version: str, lines: list[str]) -> None:
    head = "\r\n".join((f"{method} {target} {version}", *lines, "", "")).encode()

    quick = _read(head)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_head, "_PLAIN", re.compile(rb"(?!)"))
        assert _read(head) == quick


def _read(head: bytes) -> RequestHead | str:
    try:
        return parse_head(head)
    except HeadInvalid as invalid:
        return str(invalid)
