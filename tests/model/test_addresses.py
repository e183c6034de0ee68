"""Every row of the table of addresses, at both of its ends, and what may not fall through it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.model.addresses import TABLE, AddressKind, Row, canonical, classify, within

ANY_ADDRESS = st.one_of(st.integers(0, 2**32 - 1).map(IPv4Address), st.integers(0, 2**128 - 1).map(IPv6Address)).map(
    str
)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: str(row.network))
def test_both_ends_of_a_row_have_its_kind_unless_a_narrower_row_says_otherwise(row: Row) -> None:
    for address in (row.network.network_address, row.network.broadcast_address):
        narrower = [
            other for other in TABLE if address in other.network and other.network.prefixlen > row.network.prefixlen
        ]
        expected = max(narrower, key=lambda other: other.network.prefixlen) if narrower else row

        assert classify(str(address)) == expected


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("8.8.8.8", AddressKind.GLOBAL),
        ("1.1.1.1", AddressKind.GLOBAL),
        ("2606:4700::1111", AddressKind.GLOBAL),
        ("127.0.0.1", AddressKind.LOOPBACK),
        ("127.255.255.254", AddressKind.LOOPBACK),
        ("::1", AddressKind.LOOPBACK),
        ("0.0.0.0", AddressKind.UNSPECIFIED),
        ("::", AddressKind.UNSPECIFIED),
        ("10.0.0.1", AddressKind.PRIVATE),
        ("172.31.255.255", AddressKind.PRIVATE),
        ("172.32.0.0", AddressKind.GLOBAL),
        ("192.168.1.1", AddressKind.PRIVATE),
        ("fd00::1", AddressKind.PRIVATE),
        ("fec0::1", AddressKind.PRIVATE),
        ("100.64.0.1", AddressKind.SHARED),
        ("100.128.0.0", AddressKind.GLOBAL),
        ("169.254.0.1", AddressKind.LINK_LOCAL),
        ("fe80::1", AddressKind.LINK_LOCAL),
        ("169.254.169.254", AddressKind.METADATA),
        ("fd00:ec2::254", AddressKind.METADATA),
        ("168.63.129.16", AddressKind.METADATA),
        ("100.100.100.200", AddressKind.METADATA),
        ("192.0.0.192", AddressKind.METADATA),
        ("224.0.0.1", AddressKind.MULTICAST),
        ("ff02::1", AddressKind.MULTICAST),
        ("255.255.255.255", AddressKind.BROADCAST),
        ("240.0.0.1", AddressKind.RESERVED),
        ("198.18.0.1", AddressKind.BENCHMARK),
        ("64:ff9b::a9fe:a9fe", AddressKind.TRANSLATED),
        ("64:ff9b:1:fffe::a00:1", AddressKind.TRANSLATED),
        ("2a00:1450::5efe:7f00:1", AddressKind.TRANSLATED),
        ("2a00:1450::200:5efe:a00:1", AddressKind.TRANSLATED),
        ("fe80::5efe:a00:1", AddressKind.LINK_LOCAL),
        ("fd00:ec2::23", AddressKind.METADATA),
        ("fd00:42::42", AddressKind.METADATA),
        ("fd00:c1::a9fe:a9fe", AddressKind.METADATA),
        ("fd00:a9fe:a9fe::1", AddressKind.METADATA),
        ("2002:7f00:1::", AddressKind.TRANSLATED),
        ("2001:0:1::", AddressKind.TRANSLATED),
        ("::ffff:10.0.0.1", AddressKind.TRANSLATED),
        ("::10.0.0.1", AddressKind.TRANSLATED),
        ("2001:db8::1", AddressKind.DOCUMENTATION),
        ("3fff::1", AddressKind.DOCUMENTATION),
        ("5f00::1", AddressKind.RESERVED),
        ("4000::1", AddressKind.RESERVED),
    ],
)
def test_an_address_has_the_kind_that_people_know_it_by(address: str, kind: AddressKind) -> None:
    assert classify(address).kind is kind


@given(ANY_ADDRESS)
def test_what_the_standard_library_calls_not_global_is_never_global_here(address: str) -> None:
    if classify(address).kind is AddressKind.GLOBAL:
        assert ip_address(address).is_global


@given(ANY_ADDRESS)
def test_an_address_that_will_be_dialled_is_in_its_one_form_and_never_a_mapped_one(address: str) -> None:
    form = canonical(address)

    assert form is not None
    assert canonical(form) == form
    parsed = ip_address(form)
    assert not (isinstance(parsed, IPv6Address) and parsed.ipv4_mapped)


@pytest.mark.parametrize("text", ["fe80::1%eth0", "", "example.test", "127.1", "1.2.3.4 ", "010.0.0.1"])
def test_what_is_not_an_address_has_no_form(text: str) -> None:
    assert canonical(text) is None


def test_a_declared_range_holds_its_addresses_only() -> None:
    declared = (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))

    assert within("10.1.2.3", declared)
    assert within("fd12::1", declared)
    assert not within("10.2.0.1", declared)
    assert not within("8.8.8.8", ())
