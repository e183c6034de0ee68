"""SOCKS5 as the proxy speaks it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.egress import socks
from ringfence.egress.socks import Request, SocksInvalid, read_greeting, read_request
from ringfence.model.host import Destination, Host


def name(host: bytes, port: int = 443) -> bytes:
    return b"\x05\x01\0\x03" + bytes([len(host)]) + host + port.to_bytes(2, "big")


def test_a_client_without_a_password_is_welcome() -> None:
    assert read_greeting(b"\x05\x02\x02\x00rest") == b"rest"


@pytest.mark.parametrize(
    ("greeting", "reply"),
    [
        (b"\x05\x01\x02", socks.NONE_ACCEPTABLE),
        (b"\x05\x00", socks.NONE_ACCEPTABLE),
        (b"\x04\x01\x00\x50\x01\x02\x03\x04\0", socks.SOCKS4_REFUSED),
        (b"\x04\x01\x00\x50\0\0\0\x01\0a.test\0", socks.SOCKS4_REFUSED),
        (b"\x06", b""),
    ],
)
def test_another_greeting_is_refused_in_its_own_protocol(greeting: bytes, reply: bytes) -> None:
    with pytest.raises(SocksInvalid) as refused:
        read_greeting(greeting)

    assert refused.value.reply == reply


@pytest.mark.parametrize(
    ("data", "host", "rest"),
    [
        (name(b"A.test"), Host(name="a.test"), b""),
        (name(b"a.test") + b"more", Host(name="a.test"), b"more"),
        (name(b"0x7f.1"), Host(name="127.0.0.1", address="127.0.0.1"), b""),
        (b"\x05\x01\0\x01\x7f\0\0\x01\x01\xbb", Host(name="127.0.0.1", address="127.0.0.1"), b""),
        (b"\x05\x01\0\x04" + bytes(15) + b"\x01\x01\xbb", Host(name="::1", address="::1"), b""),
        (
            b"\x05\x01\0\x04" + bytes(10) + b"\xff\xff\x7f\0\0\x01\x01\xbb",
            Host(name="127.0.0.1", address="127.0.0.1"),
            b"",
        ),
    ],
)
def test_a_request_names_its_destination(data: bytes, host: Host, rest: bytes) -> None:
    assert read_request(data) == Request(Destination(host=host, port=443), rest)
    for short in range(len(data) - len(rest)):
        assert read_request(data[:short]) is None


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"\x05\x02\0\x01\x7f\0\0\x01\x01\xbb", 7),  # BIND
        (b"\x05\x03\0\x01\x7f\0\0\x01\x01\xbb", 7),  # UDP ASSOCIATE
        (b"\x05\x01\0\x02\x7f\0\0\x01\x01\xbb", 8),
        (b"\x05\x01\x01\x01\x7f\0\0\x01\x01\xbb", 1),
        (b"\x04\x01\0\x01\x7f\0\0\x01\x01\xbb", 1),
        (name(b"evil.test\0.github.com"), 2),
        (name(b"github.com\r\n"), 2),
        (name(b"a%2etest"), 2),
        (name(b"b\xfccher.test"), 2),
        (name(b""), 2),
        (name(b"a.test", port=0), 2),
    ],
)
def test_another_request_is_refused_with_the_code_for_it(data: bytes, reply: int) -> None:
    with pytest.raises(SocksInvalid) as refused:
        read_request(data)

    assert refused.value.reply == socks.reply(reply)


@given(st.one_of(st.binary(max_size=40), st.binary(max_size=30).map(lambda tail: b"\x05\x01\0\x03" + tail)))
def test_any_bytes_are_a_step_incomplete_or_refused(data: bytes) -> None:
    for read in (read_greeting, read_request):
        try:
            read(data)
        except SocksInvalid as invalid:
            assert str(invalid).isprintable()
