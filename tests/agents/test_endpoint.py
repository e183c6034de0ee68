"""A model's address leads to one clear place, or to none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.agents.endpoint import Endpoint, read_endpoint


@pytest.mark.parametrize(
    ("address", "destination", "loopback"),
    [
        ("https://api.example.com/v1", "api.example.com:443", False),
        ("http://API.Example.com.", "api.example.com:80", False),
        ("https://[2001:db8::1]:8443", "[2001:db8::1]:8443", False),
        ("http://127.1:9100", "127.0.0.1:9100", True),
        ("http://localhost:9100", "localhost:9100", True),
        ("http://a.localhost:9100", "a.localhost:9100", True),
    ],
)
def test_an_address_has_one_spelling(address: str, destination: str, loopback: bool) -> None:
    endpoint = read_endpoint(address)

    assert (endpoint.destination, endpoint.loopback) == (destination, loopback)


@given(st.text())
def test_no_text_fails_in_another_way(text: str) -> None:
    try:
        endpoint = read_endpoint(text)
    except ValueError:
        return
    assert isinstance(endpoint, Endpoint)
