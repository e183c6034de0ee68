"""What a client starts to speak, and which host it names with it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.egress.hellos import made_hello, real_hello, server_name

from ringfence.egress.first_bytes import Http, Other, Tls, look
from ringfence.egress.http_head import HeadInvalid, parse_head
from ringfence.egress.identity import foreign
from ringfence.egress.tls_hello import ClientHello, HelloInvalid, read_hello
from ringfence.model.host import Destination, parse_host

HELLO = made_hello(server_name(b"a.test"))


@pytest.mark.parametrize("name", ["a.test", None, "xn--bcher-kva.example"])
def test_a_real_hello_says_its_server_name(name: str | None) -> None:
    expected = None if name is None else name.encode()

    assert read_hello(real_hello(name)) == ClientHello(expected)
    assert look(real_hello(name)) == Tls(expected)


def test_a_hello_in_small_records_and_pieces_is_put_together() -> None:
    data = made_hello((10, bytes(300)), server_name(b"a.test"), record=7)

    for end in range(1, len(data)):
        assert look(data[:end]) is None
    assert look(data) == Tls(b"a.test")


@pytest.mark.parametrize(
    "data",
    [
        made_hello(server_name(b"a.test"), server_name(b"b.test")),
        made_hello((0, b"")),
        made_hello((0, b"\0\0")),
        made_hello((0, b"\0\x09\x01\0\x06a.test")),
        made_hello((0, b"\0\x12\0\0\x06a.test\0\0\x06b.test")),
        made_hello((0, b"\0\x09\0\0\x06a.testxx")),
        made_hello((0, b"\0\x09\0\0\x05a.test")),
        b"\x16\x03\x01\0\x04\x02\0\0\0",
        b"\x16\x03\x01\0\0\x01",
        b"\x16\x03\x01\xff\xff\x01",
        b"\x16\x03\x01\0\x04\x01\xff\xff\xff",
        b"\x16\x03\x01\0\x02\x01\0\x17\x03\x03\0\x01x",
        b"\x16\x03\x01\0\x05\x01\0\0\x01\x03",
    ],
)
def test_a_hello_that_could_mean_two_hosts_or_none_is_refused(data: bytes) -> None:
    with pytest.raises(HelloInvalid, match="TLS"):
        look(data)


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda tail: HELLO[:60] + tail)))
def test_any_bytes_are_a_hello_incomplete_or_invalid(data: bytes) -> None:
    try:
        read_hello(data)
    except HelloInvalid as invalid:
        assert str(invalid)


@given(st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=12)), max_size=4))
def test_a_hello_in_one_record_is_read_as_the_same_in_several(extensions: list[tuple[int, bytes]]) -> None:
    named = [server_name(content[1:]) if content[:1] > b"\x7f" else (kind, content) for kind, content in extensions]

    assert _understood(made_hello(*named)) == _understood(made_hello(*named, record=20))


def _understood(data: bytes) -> ClientHello | str | None:
    try:
        return read_hello(data)
    except HelloInvalid as invalid:
        return str(invalid)


@given(st.binary(max_size=100), st.booleans())
def test_any_first_bytes_are_something_undecided_or_invalid(data: bytes, ended: bool) -> None:
    try:
        spoken = look(data, ended=ended)
    except (HelloInvalid, HeadInvalid):
        return

    assert spoken is not None or not ended


def test_a_plain_request_is_read_to_the_end_of_its_head() -> None:
    data = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"

    for end in range(len(data)):
        assert look(data[:end]) is None
    assert look(data + b"body") == Http(parse_head(data), b"body")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\nHost: a.test\n\n",
        b"\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"get / http/1.1\r\nHost: a.test\r\n\r\n",
        b"GET\t/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"GET  / HTTP/1.1 \r\nHost: a.test\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\r\n",
        b"get http://b.test/\n",
        b"GET /" + b"x" * 20_000,
        b"x" * 20_000,
        b"GET" + b"x" * 50 + b" / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"GET ftp://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"GET ?x HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"GET\x0b/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"GET\r/\rHTTP/1.1\r\nHost: a.test\r\n\r\n",
        b" GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"GET\xa0/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
    ],
)
def test_a_request_that_only_lenient_servers_take_is_not_taken_for_something_else(data: bytes) -> None:
    with pytest.raises(HeadInvalid):
        look(data)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0\0\0\x08\x04\xd2\x16\x2f",
        b"AMQP\0\0\x09\x01",
        b"*1\r\n",
        b"EHLO a.test\r\n",
        b"\x16x",
        b"hello world\r\n",
        b"get key\r\n",
        b"OPTIONS rtsp://a.test/ RTSP/1.0\r\n",
        b"anything else\n",
        b"003egit-upload-pack /project.git\0host=myserver.test\0",
        b"{}",
        b"0\x0c\x02\x01\x01`\x07\x02\x01\x03\x04\x00\x80\x00",
    ],
)
def test_other_protocols_are_let_through_at_once(data: bytes) -> None:
    assert look(data) == Other()


def test_a_hello_in_the_format_of_ssl_2_which_names_no_host_is_refused() -> None:
    with pytest.raises(HelloInvalid):
        look(b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10")


@pytest.mark.parametrize("before", [b"\x15\x03\x01\0\x02\x01\x5a", b"\x14\x03\x03\0\x01\x01", b"\x16\x03\x01\0\0"])
def test_a_hello_behind_another_record_which_some_servers_skip_is_refused(before: bytes) -> None:
    with pytest.raises(HelloInvalid):
        look(before + real_hello("b.test"))


def test_a_hello_in_a_record_per_byte_is_refused_before_it_costs_time() -> None:
    with pytest.raises(HelloInvalid):
        look(made_hello((10, bytes(300)), server_name(b"a.test"), record=1))


@pytest.mark.parametrize(
    "data", [b"", b"G", b"\x16", b"PING", b"\r\n", b"x" * 100, b"anything else", b"\x80", b"\x80\x2e\x01\x03"]
)
def test_what_can_still_become_anything_is_waited_for_until_it_ends(data: bytes) -> None:
    assert look(data) is None
    assert look(data, ended=True) == Other()


@pytest.mark.parametrize(
    ("host", "name", "rule"),
    [
        ("a.test", b"a.test", None),
        ("a.test", b"A.TEST", None),
        ("a.test", b"b.test", "tls.name"),
        ("a.test", b"x.a.test", "tls.name"),
        ("a.test", b"a.test\0.b.test", "tls.name"),
        ("a.test", None, "tls.name"),
        ("192.0.2.1", None, None),
        ("192.0.2.1", b"192.0.2.1", None),
        ("192.0.2.1", b"a.test", "tls.name"),
    ],
)
def test_the_tls_server_name_is_the_authorised_host(host: str, name: bytes | None, rule: str | None) -> None:
    decision = foreign(Tls(name), Destination(host=parse_host(host), port=443), needs_request=False)

    assert (decision and decision.reasons[0].rule) == rule


@pytest.mark.parametrize(
    ("request_", "rule"),
    [
        (b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nHost: A.test:8080\r\n\r\n", None),
        (b"GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nHost: b.test\r\n\r\n", "http.host"),
        (b"GET http://b.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n", "http.host"),
        (b"CONNECT b.test:443 HTTP/1.1\r\n\r\n", "http.host"),
        (b"GET / HTTP/1.0\r\n\r\n", "http.host"),
    ],
)
def test_the_host_of_a_plain_request_is_the_authorised_host(request_: bytes, rule: str | None) -> None:
    spoken = look(request_)
    assert spoken is not None

    decision = foreign(spoken, Destination(host=parse_host("a.test"), port=80), needs_request=False)

    assert (decision and decision.reasons[0].rule) == rule


@pytest.mark.parametrize("spoken", [Tls(b"a.test"), Other()])
def test_what_hides_the_request_is_refused_where_a_rule_needs_it(spoken: Tls | Other) -> None:
    decision = foreign(spoken, Destination(host=parse_host("a.test"), port=443), needs_request=True)

    assert decision is not None
    assert decision.reasons[0].rule == "inspection.needed"
