"""The reader of HTTP heads: what it understands, and every trick that has to be refused."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.egress.http_body import Body
from ringfence.egress.http_forward import server_head
from ringfence.egress.http_head import HeadInvalid, RequestHead, Target, parse_head
from ringfence.model.host import Destination, Host

FRAGMENT = st.sampled_from(
    b"GET |CONNECT |POST |http://|a.test|:443|/|/p?q| HTTP/1.1| HTTP/1.0|\r\n|Host: |Content-Length: |5".split(b"|")
    + b"Transfer-Encoding: |chunked|,|\n|\0|\xff| |%2e".split(b"|")
)


def head(*lines: str) -> bytes:
    """A head of these lines."""
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def to(host: str, port: int) -> Destination:
    return Destination(host=Host(name=host), port=port)


@given(st.text("/.ab~-_9?", min_size=1, max_size=12))
def test_a_path_is_the_same_whether_its_letters_are_escaped_or_not(rest: str) -> None:
    path, question, query = f"/{rest}".partition("?")
    escaped = "".join(letter if letter == "/" else f"%{ord(letter):02x}" for letter in path)

    assert _outcome(path + question + query) == _outcome(escaped + question + query)


def _outcome(target: str) -> RequestHead | bool:
    try:
        return parse_head(head(f"GET {target} HTTP/1.1", "Host: a.test"))
    except HeadInvalid:
        return False


def test_a_connect_request_names_its_destination() -> None:
    assert parse_head(head("CONNECT A.test:443 HTTP/1.1", "Host: a.test:443")) == RequestHead(
        method="CONNECT",
        target=Target.AUTHORITY,
        destination=to("a.test", 443),
        path="",
        query="",
        fields=((b"host", b"a.test:443"),),
    )


def test_a_request_to_a_proxy_names_the_whole_url() -> None:
    assert parse_head(
        head("POST http://a.test/p/%7Eq?x=%2e HTTP/1.1", "Host: a.test", "Content-Length: 3")
    ) == RequestHead(
        method="POST",
        target=Target.ABSOLUTE,
        destination=to("a.test", 80),
        path="/p/~q",
        query="?x=%2e",
        fields=((b"host", b"a.test"), (b"content-length", b"3")),
        length=3,
    )


def test_a_request_to_a_server_goes_where_its_host_header_says() -> None:
    parsed = parse_head(head("GET /x HTTP/1.1", "Host: [::1]:8080"))

    assert parsed.target is Target.ORIGIN
    assert parsed.destination == Destination(host=Host(name="::1", address="::1"), port=8080)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["GET /x HTTP/1.1"], "no Host header"),
        (["GET /x HTTP/1.1", "Host: a.test", "Host: b.test"], "more than one Host"),
        (["GET /x HTTP/1.1", "Host: a.test", "host: a.test"], "more than one Host"),
        (["GET /x HTTP/1.1", "Host: a.test\0.b.test"], "malformed"),
        (["GET /x HTTP/1.1", "Host: a.test b.test"], "white space"),
        (["GET /x HTTP/1.1", "Host: user@a.test"], "user name"),
        (["GET /x HTTP/1.1", "Host: a%2etest"], "escapes"),
        (["GET /x HTTP/1.1", "Host: "], "empty"),
        (["GET /x HTTP/1.1", "Host : a.test"], "malformed"),
        (["GET /x HTTP/1.1", " Host: a.test"], "malformed"),
        (["GET /x HTTP/1.1", "Host: a.test", " folded"], "malformed"),
        (["GET /x HTTP/1.1", "Host: a.test", "\tfolded"], "malformed"),
        (["GET /x HTTP/1.1", "Host: a.test", ": empty"], "malformed"),
        (["GET /x HTTP/1.1", "Host: a.test\nX: y"], "malformed"),
        (["GET /x HTTP/1.1", "Host: a.test\rX: y"], "malformed"),
        (["GET /x HTTP/1.1\nX: y", "Host: a.test"], "request line"),
        (["GET  /x HTTP/1.1", "Host: a.test"], "request line"),
        (["GET\t/x HTTP/1.1", "Host: a.test"], "request line"),
        (["GET /x  HTTP/1.1", "Host: a.test"], "request line"),
        (["GET /x HTTP/1.1 ", "Host: a.test"], "request line"),
        (["get /x HTTP/1.1", "Host: a.test"], "request line"),
        (["GET /x http/1.1", "Host: a.test"], "request line"),
        (["GET /x HTTP/2.0", "Host: a.test"], "request line"),
        (["PRI * HTTP/2.0"], "request line"),
        (["GET /x", "Host: a.test"], "request line"),
        (["", "GET /x HTTP/1.1", "Host: a.test"], "request line"),
        (["GET /\xe9 HTTP/1.1", "Host: a.test"], "request line"),
        (["GET x HTTP/1.1", "Host: a.test"], "neither a path"),
        (["GET https://a.test/ HTTP/1.1", "Host: a.test"], "use CONNECT"),
        (["GET ftp://a.test/ HTTP/1.1", "Host: a.test"], "neither a path"),
        (["GET http://a.test/ HTTP/1.1", "Host: b.test"], "not the target"),
        (["GET http://a.test/ HTTP/1.1", "Host: a.test:81"], "not the target"),
        (["GET http://u:p@a.test/ HTTP/1.1", "Host: a.test"], "port `p@a.test`"),
        (["GET http://u@a.test/ HTTP/1.1", "Host: a.test"], "user name"),
        (["GET http:///x HTTP/1.1", "Host: a.test"], "empty"),
        (["GET http://a.test#@b.test/ HTTP/1.1", "Host: a.test"], "fragment"),
        (["GET http://a.test\\@b.test/ HTTP/1.1", "Host: a.test"], "user name|only letters"),
        (["CONNECT a.test HTTP/1.1"], "no port"),
        (["CONNECT a.test:443 HTTP/1.1", "Host: b.test:443"], "not the target"),
        (["CONNECT a.test:443 HTTP/1.1", "Host: a.test:80"], "not the target"),
        (["CONNECT /x HTTP/1.1", "Host: a.test"], "no port"),
        (["CONNECT http://a.test:443 HTTP/1.1"], "colons"),
        (["GET /x HTTP/1.1", "Host: a.test", "Content-Length: 1", "Transfer-Encoding: chunked"], "both"),
        (["GET /x HTTP/1.1", "Host: a.test", "Content-Length: 1", "Content-Length: 1"], "more than once"),
        (["GET /x HTTP/1.1", "Host: a.test", "Content-Length: 1, 1"], "not a number"),
        (["GET /x HTTP/1.1", "Host: a.test", "Content-Length: +1"], "not a number"),
        (["GET /x HTTP/1.1", "Host: a.test", "Content-Length: -1"], "not a number"),
        (["GET /x HTTP/1.1", "Host: a.test", "Content-Length: 0x1"], "not a number"),
        (["GET /x HTTP/1.1", "Host: a.test", "Content-Length: "], "not a number"),
        (["GET /x HTTP/1.1", "Host: a.test", "Content-Length: 99999999999999999999"], "not a number"),
        (["GET /x HTTP/1.1", "Host: a.test", "Transfer-Encoding: gzip, chunked"], "only `chunked`"),
        (["GET /x HTTP/1.1", "Host: a.test", "Transfer-Encoding: identity"], "only `chunked`"),
        (["GET /x HTTP/1.1", "Host: a.test", "Transfer-Encoding: \x0bchunked"], "malformed"),
        (["GET /x HTTP/1.1", "Host: a.test"] + ["Transfer-Encoding: chunked"] * 2, "more than once"),
        (["GET /x HTTP/1.0", "Host: a.test", "Transfer-Encoding: chunked"], "not accepted in HTTP/1.0"),
        (["GET /a/../b HTTP/1.1", "Host: a.test"], "segment"),
        (["GET /a/%2e%2E/b HTTP/1.1", "Host: a.test"], "segment"),
        (["GET /a/. HTTP/1.1", "Host: a.test"], "segment"),
        (["GET /a\\b HTTP/1.1", "Host: a.test"], "has to be escaped"),
        (["GET /a#b HTTP/1.1", "Host: a.test"], "has to be escaped"),
        (["GET /a%0 HTTP/1.1", "Host: a.test"], "malformed escape"),
        (["GET /a% HTTP/1.1", "Host: a.test"], "malformed escape"),
        (["GET /a%zz HTTP/1.1", "Host: a.test"], "malformed escape"),
        (["GET /a%00 HTTP/1.1", "Host: a.test"], "escaped NUL"),
        (["GET /x HTTP/1.1", "Host: a.test"] + ["X: y"] * 200, "more than 128"),
    ],
)
def test_what_two_programs_could_read_differently_is_refused(lines: list[str], words: str) -> None:
    with pytest.raises(HeadInvalid, match=words):
        parse_head(head(*lines))


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("/%61dmin", "/admin"),
        ("/a%2fb", "/a%2Fb"),
        ("/%C3%a9", "/%C3%A9"),
        ("/a//b", "/a//b"),
        ("*", "*"),
        ("/a;b", "/a;b"),
    ],
)
def test_a_path_has_one_spelling(written: str, path: str) -> None:
    assert parse_head(head(f"GET {written} HTTP/1.1", "Host: a.test")).path == path


@given(st.one_of(st.binary(max_size=200), st.lists(FRAGMENT, max_size=20).map(b"".join)))
def test_any_bytes_are_a_request_or_invalid(data: bytes) -> None:
    for candidate in (data, data + b"\r\n\r\n"):
        try:
            parsed = parse_head(candidate)
        except HeadInvalid:
            continue
        assert parsed.destination is not None or parsed.minor == 0


def test_the_server_gets_a_request_of_its_own() -> None:
    parsed = parse_head(
        head(
            "POST http://a.test:8080/p?q HTTP/1.1",
            "Host: a.test:8080",
            "Proxy-Authorization: Basic x",
            "Proxy-Connection: keep-alive",
            "Connection: keep-alive, X-Private, content-type",
            "X-Private: 1",
            "Keep-Alive: 5",
            "TE: trailers",
            "Upgrade: h2c",
            "Content-Length: 3",
            "Accept: */*",
        )
    )
    assert parsed.destination is not None

    assert server_head(parsed, parsed.destination) == head(
        "POST /p?q HTTP/1.1", "Host: a.test:8080", "accept: */*", "Content-Length: 3", "Connection: close"
    )


def test_a_re_issued_request_means_the_same() -> None:
    parsed = parse_head(head("PUT http://a.test/x HTTP/1.1", "Host: a.test", "Transfer-Encoding: Chunked", "A: b"))
    assert parsed.destination is not None

    again = parse_head(server_head(parsed, parsed.destination))

    assert (again.method, again.destination, again.path, again.chunked) == ("PUT", to("a.test", 80), "/x", True)


CHUNKED = parse_head(head("PUT /x HTTP/1.1", "Host: a.test", "Transfer-Encoding: chunked"))


def _take(body: Body, data: bytes, steps: int) -> bytes:
    return b"".join(body.take(data[at : at + steps]) for at in range(0, len(data), steps))


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 100])
def test_a_chunked_body_ends_where_it_ends(steps: int) -> None:
    stream = b"5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n"
    body = Body(CHUNKED)

    assert _take(body, stream + b"GET /next HTTP/1.1\r\n\r\n", steps) == stream
    assert body.finished


@pytest.mark.parametrize("steps", [1, 3, 100])
@pytest.mark.parametrize(
    "stream",
    [
        b"5;ext=1\r\nhello\r\n",
        b"5 \r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"\r\n",
        b"5\nhello\r\n",
        b"5\r\nhello!\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"0\r\nTrailer: x\r\n\r\n",
        b"0\r\n5\r\n",
        b"0\r\n\n",
        b"ffffffffffffffff1\r\n",
        b"x" * 40,
    ],
)
def test_a_malformed_chunk_is_refused(stream: bytes, steps: int) -> None:
    with pytest.raises(HeadInvalid, match="body has a"):
        _take(Body(CHUNKED), stream, steps)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=6), st.integers(1, 60), st.binary(max_size=20))
def test_any_chunks_in_any_pieces_are_passed_on_whole_and_nothing_behind_them(
    chunks: list[bytes], steps: int, behind: bytes
) -> None:
    stream = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    body = Body(CHUNKED)

    assert _take(body, stream + behind, steps) == stream
    assert body.finished


@given(st.binary(max_size=100))
def test_any_bytes_are_a_chunked_body_or_refused(data: bytes) -> None:
    body = Body(CHUNKED)
    try:
        taken = body.take(data)
    except HeadInvalid:
        return

    assert data.startswith(taken)
    assert body.finished or taken == data


@given(st.integers(0, 100), st.binary(max_size=150), st.integers(1, 50))
def test_a_body_of_known_length_ends_there(length: int, data: bytes, steps: int) -> None:
    body = Body(parse_head(head("PUT /x HTTP/1.1", "Host: a.test", f"Content-Length: {length}")))

    assert _take(body, data, steps) == data[:length]
    assert body.finished is (len(data) >= length)


@pytest.mark.parametrize("end", [b"\x01", b"x"])
def test_a_header_of_white_space_is_read_at_once(end: bytes) -> None:
    head = b"GET / HTTP/1.1\r\nHost: a.test\r\nX:" + b" " * 60_000 + end + b"\r\n\r\n"
    start = time.thread_time()

    with contextlib.suppress(HeadInvalid):
        parse_head(head)

    assert time.thread_time() - start < 1
