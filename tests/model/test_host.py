"""The host normaliser: one spelling for every host, and nothing that two programs could read differently."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.model.host import Destination, Host, parse_destination, parse_host
from ringfence.model.host_pattern import HostPattern

HOSTILE = st.text(alphabet=st.sampled_from("aA0189xX.-_:[]%@* \0\r\n/\u3002\uff0e\u00e9\u0130\uff10"), max_size=40)
LABEL = st.from_regex(r"\A[a-z]([a-z0-9-]{0,10}[a-z])?\Z")
NAME = st.lists(LABEL, min_size=1, max_size=4).map(".".join)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.Com.", "example.com"),
        (b"example.com", "example.com"),
        ("my_host.internal", "my_host.internal"),
        ("_dmarc.example.com", "_dmarc.example.com"),
        ("r3---sn-x.example", "r3---sn-x.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("example\u3002com", "example.com"),
        ("0xdeadbeef.example", "0xdeadbeef.example"),
        ("localhost", "localhost"),
    ],
)
def test_every_spelling_of_a_name_becomes_one(written: str | bytes, name: str) -> None:
    assert parse_host(written) == Host(name=name)


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0X7F000001", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0177.0.0.01", "127.0.0.1"),
        ("169.254.43518", "169.254.169.254"),
        ("0", "0.0.0.0"),
        ("0.0", "0.0.0.0"),
        ("１２７.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("FD00:EC2::254", "fd00:ec2::254"),
        ("::ffff:169.254.169.254", "169.254.169.254"),
        ("[::FFFF:7f00:1]", "127.0.0.1"),
        ("64:ff9b::a9fe:a9fe", "64:ff9b::a9fe:a9fe"),
    ],
)
def test_every_notation_of_an_address_becomes_one(written: str, address: str) -> None:
    assert parse_host(written) == Host(name=address, address=address)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("", "the host is empty"),
        ("evil.test\0.github.com", "white space or a control character"),
        (b"evil.test\0.github.com", "white space or a control character"),
        ("github.com\r\nHost: evil.test", "white space or a control character"),
        (" github.com", "white space or a control character"),
        ("evil%2etest", "neither escapes nor zone ids"),
        ("fe80::1%eth0", "neither escapes nor zone ids"),
        ("user@evil.test", "a user name does not belong"),
        ("github.com..", "an empty label"),
        (".github.com", "an empty label"),
        ("a..b", "an empty label"),
        (".", "not a name"),
        ("-x.test", "starts or ends with a hyphen"),
        ("x-.test", "starts or ends with a hyphen"),
        ("a" * 64 + ".test", "longer than 63"),
        ("a." * 127 + "test", "longer than 253"),
        ("a" * 5000, "longer than 253"),
        ("a/b", "only letters, digits"),
        ("a,b", "only letters, digits"),
        ("*.test", "only letters, digits"),
        ("b\u00fccher.example".encode(), "is not ASCII"),
        ("stra\u00dfe.example", "means two names"),
        ("1.2.3.4.5", "more than four parts"),
        ("256.0.0.1", "a part is too large"),
        ("1.2.3.256", "a part is too large"),
        ("4294967296", "a part is too large"),
        ("09.0.0.1", "`09` is not a number"),
        ("0x.1", "`0x` is not a number"),
        ("0x1_0.1", "`0x1_0` is not a number"),
        ("example.1", "`example` is not a number"),
        ("[1.2.3.4]", "brackets"),
        ("[example.com]", "brackets"),
        ("[::1", "brackets"),
        ("::1::", "not an IPv6 address"),
        ("1::g", "not an IPv6 address"),
        ("example.com:443", "not an IPv6 address"),
    ],
)
def test_what_could_be_misread_is_refused_with_the_reason(written: str | bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        parse_host(written)

    assert str(refused.value).isprintable()


@given(st.one_of(st.binary(max_size=80), st.text(max_size=80), HOSTILE))
def test_any_input_is_a_host_or_a_value_error_and_a_host_is_its_own_normal_form(text: str | bytes) -> None:
    try:
        host = parse_host(text)
    except ValueError:
        return

    assert parse_host(host.name) == host
    assert parse_host(host.name.encode("ascii")) == host
    assert host.name == host.name.lower()
    assert host.address in (None, host.name)


@given(st.integers(min_value=0, max_value=2**32 - 1), st.sampled_from([str, hex, lambda n: f"0{n:o}"]))
def test_an_ipv4_address_as_one_number_is_that_address(value: int, notation: object) -> None:
    text = notation(value)  # type: ignore[operator]

    assert parse_host(text).address == str(IPv4Address(value))


@given(st.integers(min_value=0, max_value=2**128 - 1).map(IPv6Address))
def test_an_ipv6_address_is_the_same_in_long_and_short_form(address: IPv6Address) -> None:
    assert parse_host(address.exploded) == parse_host(f"[{address.compressed}]".upper())


@given(NAME)
def test_a_trailing_dot_and_upper_case_change_nothing(name: str) -> None:
    assert parse_host(f"{name.upper()}.") == parse_host(name)


def test_a_destination_is_a_host_and_a_port() -> None:
    assert parse_destination("API.test:443") == Destination(host=Host(name="api.test"), port=443)
    assert parse_destination(b"[::1]:80") == Destination(host=Host(name="::1", address="::1"), port=80)
    assert parse_destination("api.test", default_port=80) == Destination(host=Host(name="api.test"), port=80)
    assert str(parse_destination("[::1]:80")) == "[::1]:80"


@pytest.mark.parametrize(
    "written",
    [
        *("api.test", "api.test:", "api.test:0", "api.test:65536", "api.test:+1", "api.test: 1", "api.test:1:2"),
        *("::1:443", "[::1]443", "[::1", "[::1]:", ":443", "user@api.test:443", "api.test:٤٤٣", "api.test:443/", ""),
    ],
)
def test_a_destination_that_is_not_one_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"port|host|destination"):
        parse_destination(written)


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60), HOSTILE))
def test_any_input_is_a_destination_or_a_value_error(text: str | bytes) -> None:
    try:
        destination = parse_destination(text)
    except ValueError:
        return

    assert parse_destination(str(destination)) == destination


@pytest.mark.parametrize(
    ("pattern", "host", "port", "expected"),
    [
        ("api.test", "api.test", 443, True),
        ("api.test", "API.test.", 443, True),
        ("api.test", "x.api.test", 443, False),
        ("api.test:443", "api.test", 443, True),
        ("api.test:443", "api.test", 80, False),
        ("*.api.test", "x.api.test", 1, True),
        ("*.api.test", "y.x.api.test", 1, True),
        ("*.api.test", "api.test", 1, False),
        ("*.api.test", "evilapi.test", 1, False),
        ("*.api.test", "x.api.test.evil.test", 1, False),
        ("**.api.test", "api.test", 1, True),
        ("**.api.test", "x.api.test", 1, True),
        ("**.api.test", "evilapi.test", 1, False),
        ("*", "anything.test", 1, True),
        ("*", "10.0.0.1", 1, True),
        ("*:443", "anything.test", 80, False),
        ("10.0.0.1", "10.0.0.1", 1, True),
        ("10.0.0.1", "0xa.1", 1, True),
        ("10.0.0.0/8", "10.200.3.4", 1, True),
        ("10.0.0.0/8", "::ffff:10.1.1.1", 1, True),
        ("10.0.0.0/8:5432", "10.1.1.1", 5432, True),
        ("10.0.0.0/8:5432", "10.1.1.1", 5433, False),
        ("::ffff:10.0.0.0/104", "10.1.1.1", 1, True),
        ("10.0.0.0/8", "fd00::1", 1, False),
        ("10.0.0.0/8", "ten.test", 1, False),
        ("fd00::/8", "fd12::1", 1, True),
        ("[fd00::/8]:22", "fd12::1", 22, True),
        ("[::1]:8080", "::1", 8080, True),
        ("[::1]:8080", "::1", 8081, False),
        ("::1", "::1", 7, True),
        ("bücher.example", "xn--bcher-kva.example", 1, True),
    ],
)
def test_a_pattern_matches_what_it_says(pattern: str, host: str, port: int, expected: bool) -> None:
    assert HostPattern.parse(pattern).matches(parse_host(host), port) is expected


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("", "the host is empty"),
        ("x.*.test", "in another place"),
        ("*api.test", "in another place"),
        ("***.api.test", "in another place"),
        ("*.10.0.0.1", "puts `\\*` before an address"),
        ("*.", "the host is empty"),
        ("api.test:http", "not a number from 1 to 65535"),
        ("api.test:0", "not a number from 1 to 65535"),
        ("10.0.0.1/8", "write `10.0.0.0/8`"),
        ("10.0.0.0/33", "between 0 and 32"),
        ("10.0.0.0/", "not a range"),
        ("10.0.0.0/255.0.0.0", "not a range"),
        ("api.test/8", "not a range"),
        ("https://api.test/v1", "is a URL; write the host alone"),
        ("[::1", "not `\\[IPv6"),
        ("[api.test]:1", "not `\\[IPv6"),
    ],
)
def test_a_pattern_that_means_nothing_is_refused_with_the_reason(pattern: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        HostPattern.parse(pattern)


@given(st.one_of(st.text(max_size=60), HOSTILE))
def test_any_text_is_a_pattern_or_a_value_error_and_prints_as_itself(text: str) -> None:
    try:
        pattern = HostPattern.parse(text)
    except ValueError:
        return

    assert HostPattern.parse(str(pattern)) == pattern


@given(st.integers(min_value=0, max_value=2**32 - 1), st.integers(min_value=0, max_value=32))
def test_a_range_matches_exactly_the_addresses_in_it(value: int, bits: int) -> None:
    network = ip_network((value, bits), strict=False)

    pattern = HostPattern.parse(str(network))

    assert pattern.network == network
    assert pattern.matches(parse_host(str(network.broadcast_address)), 1)
    beyond = (int(network.broadcast_address) + 1) % 2**32
    assert pattern.matches(parse_host(str(ip_address(beyond))), 1) is (bits == 0)
