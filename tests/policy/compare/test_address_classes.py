"""Every address is of one kind, and an example of it is treated as it is."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.model.addresses import TABLE, classify
from ringfence.policy.compare.address_classes import BOUNDARIES, address_kinds

RANGES = ("10.1.0.0/16", "10.1.2.0/24", "10.1.2.0/25", "10.1.2.128/25", "0.0.0.0/0", "::/0", "fd00::/120", "8.8.8.8/32")
ADDRESSES = st.one_of(
    st.integers(0, 2**32 - 1).map(IPv4Address),
    st.integers(0, 2**128 - 1).map(IPv6Address),
    st.sampled_from([*RANGES, *(str(row.network) for row in TABLE), *(str(one) for one in BOUNDARIES)]).flatmap(
        lambda text: st.sampled_from([ip_network(text)[0], ip_network(text)[-1]])
    ),
)


def test_python_draws_no_border_of_public_addresses_that_is_not_among_ours() -> None:
    known = {*BOUNDARIES, *(row.network for row in TABLE)}

    drawn = {
        network
        for address in (IPv4Address, IPv6Address)
        for name in ("_private_networks", "_private_networks_exceptions")
        for network in getattr(address._constants, name, ())
    }

    assert drawn - known == set()


@pytest.mark.slow
@settings(max_examples=300)
@given(ADDRESSES)
def test_an_address_has_the_properties_of_the_example_of_its_innermost_range(
    address: IPv4Address | IPv6Address,
) -> None:
    kinds = address_kinds(ip_network(text) for text in RANGES)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return

    kind = max((one for one in kinds if address in one.range), key=lambda one: one.range.prefixlen)

    example = ip_address(kind.example)
    assert (example.is_global, classify(kind.example)) == (address.is_global, classify(str(address)))
    assert [example in ip_network(text) for text in RANGES] == [address in ip_network(text) for text in RANGES]


@pytest.mark.parametrize("text", ["10.1.2.0/24"])
def test_a_range_that_narrower_ones_fill_is_no_kind(text: str) -> None:
    kinds = address_kinds(ip_network(one) for one in RANGES)

    assert ip_network(text) not in {kind.range for kind in kinds}
