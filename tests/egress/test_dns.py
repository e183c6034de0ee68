"""DNS as the sandbox sees it: every name has an address, and only the gateway knows what it means."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.egress.dns import Code, Resolve
from ringfence.egress.name_budget import NameBudget, NameLimits
from ringfence.egress.synthetic import RANGE4, RANGE6, SyntheticAddresses, is_synthetic

A, AAAA, TXT, HTTPS, PTR = 1, 28, 16, 65, 12


def query(name: str | bytes, kind: int = A, *, klass: int = 1, flags: int = 0x0100, count: int = 1) -> bytes:
    """A question as a stub resolver asks it."""
    raw = name.encode() if isinstance(name, str) else name
    labels = b"".join(bytes([len(label)]) + label for label in raw.split(b".") if label)
    return struct.pack(">HHHHHH", 7, flags, count, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, klass)


def read(answer: bytes | None) -> tuple[int, str | None, int | None]:
    """Response code, address and time to live."""
    assert answer is not None
    identity, flags, _, answers, _, _ = struct.unpack_from(">HHHHHH", answer)
    assert (identity, flags & 0x8000) == (7, 0x8000)
    if not answers:
        return flags & 15, None, None
    ttl, length = struct.unpack(">IH", answer[-(4 + 6) : -4] if answer[-6:-4] == b"\0\x04" else answer[-22:-16])
    return flags & 15, str(ip_address(answer[-length:])), ttl


@pytest.fixture
def names() -> SyntheticAddresses:
    return SyntheticAddresses(100)


@pytest.fixture
def dns(names: SyntheticAddresses) -> Resolve:
    return Resolve(names, 1000)


def test_a_name_gets_an_address_that_means_it(dns: Resolve, names: SyntheticAddresses) -> None:
    code, address, ttl = read(dns.answer(query("Api.Example.COM")))
    code6, address6, ttl6 = read(dns.answer(query("api.example.com", AAAA)))

    assert (code, code6, ttl, ttl6) == (0, 0, 1, 1)
    assert address is not None and address6 is not None
    assert (names.name(address), names.name(address6)) == ("api.example.com", "api.example.com")
    assert IPv4Address(address) in RANGE4
    assert IPv6Address(address6) in RANGE6


def test_the_question_is_repeated_as_it_was_asked(dns: Resolve) -> None:
    asked = query("aPi.eXample.com")

    answer = dns.answer(asked)

    assert answer is not None
    assert answer[12 : len(asked)] == asked[12:]


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST.", "app.localhost"])
def test_localhost_is_the_sandboxes_own(dns: Resolve, name: str) -> None:
    assert read(dns.answer(query(name)))[:2] == (0, "127.0.0.1")
    assert read(dns.answer(query(name, AAAA)))[:2] == (0, "::1")


@pytest.mark.parametrize("kind", [TXT, HTTPS, 64, 15, 255, PTR])
def test_other_kinds_of_records_are_empty(dns: Resolve, kind: int) -> None:
    assert read(dns.answer(query("api.example.com", kind))) == (0, None, None)


@pytest.mark.parametrize(
    "name", [b"a b.test", b"a\0.test", b"\xff.test", b"-a.test", b"1.2.3.4", b"a.1", b"a" * 63 + b".%"]
)
def test_what_no_rule_could_name_does_not_exist(dns: Resolve, name: bytes) -> None:
    assert read(dns.answer(query(name))) == (3, None, None)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (query("a.test", count=0), 1),
        (query("a.test", count=2), 1),
        (query("a.test")[:-1], 1),
        (query("a.test")[:14], 1),
        (query("a.test")[:12] + b"\xc0\x0c\0\x01\0\x01", 1),
        (query("a.test")[:12] + b"\x03a.b\0\0\x01\0\x01", 1),
        (query("a." * 140 + "test"), 1),
        (query("a.test", klass=3), 5),
        (query("a.test", flags=0x2800), 4),
    ],
)
def test_a_message_that_is_not_a_plain_question_is_told_so(dns: Resolve, message: bytes, code: int) -> None:
    assert read(dns.answer(message)) == (code, None, None)


@pytest.mark.parametrize("message", [b"", b"short", query("a.test", flags=0x8100)])
def test_what_is_not_a_question_is_not_answered(dns: Resolve, message: bytes) -> None:
    assert dns.answer(message) is None


def test_the_session_has_a_budget_of_questions_and_names() -> None:
    dns = Resolve(SyntheticAddresses(2), 4)

    codes = [read(dns.answer(query(name)))[0] for name in ("a.test", "b.test", "c.test", "a.test", "a.test")]

    assert codes == [0, 0, 2, 0, 5]


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=60).map(lambda tail: query("a.test")[:12] + tail)))
def test_any_message_is_answered_or_dropped(message: bytes) -> None:
    answer = Resolve(SyntheticAddresses(100), 1000).answer(message)

    assert answer is None or answer[:2] == message[:2]


@pytest.mark.slow
@given(st.lists(st.from_regex(r"\A[a-z]{1,3}\Z"), max_size=200))
def test_an_address_never_means_another_name(asked: list[str]) -> None:
    names = SyntheticAddresses(1000)
    given_out: dict[str, str] = {}

    for name in asked:
        addresses = names.of(name)
        assert addresses is not None
        for address in addresses:
            assert given_out.setdefault(str(address), name) == name
            assert names.name(str(address)) == name
            assert is_synthetic(str(address))


def test_the_address_of_a_name_is_the_same_in_every_session() -> None:
    one, other = SyntheticAddresses(10), SyntheticAddresses(10)
    other.of("another.test")

    assert one.of("a.test") == other.of("a.test")


def test_names_that_fall_on_one_address_get_two(names: SyntheticAddresses) -> None:
    big = SyntheticAddresses(1 << 16)

    addresses = {big.of(f"n{number}.test") for number in range(20_000)}

    assert len(addresses) == 20_000


def test_an_address_that_was_not_given_out_means_nothing(names: SyntheticAddresses) -> None:
    assert names.name("198.18.0.1") is None
    assert names.name("8.8.8.8") is None
    assert names.name("2001:4860:4860::8888") is None
    assert not is_synthetic("8.8.8.8")


def test_a_name_that_looks_like_a_tunnel_is_refused_and_told_once_for_its_domain() -> None:
    told: list[tuple[str, str]] = []
    limits = NameLimits(names=100, names_of_domain=3, encoded_of_domain=1, chosen=80, labels=4)
    resolver = Resolve(
        SyntheticAddresses(100), 100, asked=NameBudget(limits), refused=lambda *words: told.append(words)
    )

    codes = [read(resolver.answer(query(f"n{count}.tunnel.test")))[0] for count in range(6)]

    assert codes == [Code.NO_ERROR] * 3 + [Code.REFUSED] * 3
    assert told == [("n3.tunnel.test", "this session has asked for 3 names below `tunnel.test`, which is the limit")]


def test_the_end_of_the_questions_is_told_once() -> None:
    told: list[tuple[str, str]] = []
    resolver = Resolve(SyntheticAddresses(100), 2, refused=lambda *words: told.append(words))

    codes = [read(resolver.answer(query("a.test")))[0] for _ in range(4)]

    assert codes == [Code.NO_ERROR] * 2 + [Code.REFUSED] * 2
    assert told == [("a.test", "this session has asked 2 questions")]
