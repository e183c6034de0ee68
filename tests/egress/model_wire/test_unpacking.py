"""Packed bodies give what their clients get of them."""

from __future__ import annotations

import gzip

import pytest
import zstandard

from ringfence.egress.model_wire.unpacking import unpacking

TWO = {
    "gzip": gzip.compress(b"one, ") + gzip.compress(b"and two") + bytes(3),
    "zstd": zstandard.compress(b"one, ") + zstandard.compress(b"and two"),
}


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("coding", TWO)
def test_a_body_of_several_members_is_read_to_its_end(coding: str, size: int) -> None:
    unpack, packed = unpacking(coding), TWO[coding]

    pieces = [unpack(packed[at : at + size], 1000) for at in range(0, len(packed), size)]

    assert b"".join(pieces) == b"one, and two"
