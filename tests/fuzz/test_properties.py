"""The properties of the readers of the wire, with a few inputs of our own and all that the fuzzer kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.properties import PROPERTIES, holds
from tests.fuzz.tokens import put_together

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", PROPERTIES)
@given(data=st.binary(max_size=300))
@settings(max_examples=60, derandomize=True, deadline=None)
def test_it_holds_of_any_bytes(name: str, data: bytes) -> None:
    holds(name, data)


@pytest.mark.parametrize("name", PROPERTIES)
@given(numbers=st.binary(min_size=1, max_size=24))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_it_holds_of_rows_of_words(name: str, numbers: bytes) -> None:
    holds(name, put_together(name, numbers))
