"""What rows of tests are called."""

from __future__ import annotations

import gzip

import pytest

from tests.conftest import pytest_make_parametrize_id


@pytest.mark.parametrize("second", [0, 1_900_000_000])
def test_a_row_of_packed_bytes_has_a_name_without_the_second_in_which_they_were_packed(second: int) -> None:
    assert pytest_make_parametrize_id(gzip.compress(b"x", mtime=second), "body") == "body"


@pytest.mark.parametrize("value", [b"GET / HTTP/1.1", "text", 1])
def test_a_row_that_can_be_read_is_called_by_what_it_holds(value: object) -> None:
    assert pytest_make_parametrize_id(value, "body") is None
