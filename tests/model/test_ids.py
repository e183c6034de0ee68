"""Identifiers sort by the time they were made."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.model.ids import new_id, ulid


def test_an_id_is_the_ulid_of_its_moment() -> None:
    # The specification's own example of a time, 01ARZ3NDEKTSV4RRFFQ69G5FAV.
    assert ulid(1469922850259, bytes(10)) == "01arz3ndek" + "0" * 16
    assert ulid(1469922850259, bytes.fromhex("d7b2ba1f5c89d2b5a95d"))[:10] == "01arz3ndek"


@settings(deadline=None)
@given(st.tuples(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10)), st.integers(0, 2**48 - 1))
def test_later_ids_are_greater(first: tuple[int, bytes], later: int) -> None:
    one, other = ulid(*first), ulid(later, bytes(10))

    assert len(one) == len(other) == 26
    assert first[0] == later or (one < other) == (first[0] < later)


def test_too_little_randomness_is_refused() -> None:
    with pytest.raises(ValueError, match="10 random bytes, not 9"):
        ulid(0, bytes(9))


def test_fresh_ids_differ() -> None:
    assert len({new_id() for _ in range(1000)}) == 1000
