"""The Merkle tree, against the vectors of Certificate Transparency and against its definition."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.telemetry.tree import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    leaf_hash,
    node_hash,
    root_from_inclusion,
    root_of,
)

LEAVES = [
    leaf_hash(bytes.fromhex(text))
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

hashes = st.lists(st.binary(min_size=1, max_size=4).map(leaf_hash), min_size=1, max_size=40)


def defined_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, 2.1, word by word."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    middle = max(1 << power for power in range(20) if 1 << power < len(leaves))
    return node_hash(defined_root(leaves[:middle]), defined_root(leaves[middle:]))


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    assert root_of(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_an_empty_tree_has_the_hash_of_nothing() -> None:
    assert Frontier().root() == EMPTY_ROOT == defined_root([])


@settings(deadline=None, max_examples=60)
@given(hashes, st.integers(0, 39))
def test_a_stored_tree_goes_on_where_it_stopped(leaves: list[bytes], stop: int) -> None:
    first = Frontier()
    for leaf in leaves[:stop]:
        first.append(leaf)

    second = Frontier(first.size, first.packed())
    for leaf in leaves[stop:]:
        second.append(leaf)

    assert second.root() == defined_root(leaves)


def test_a_stored_tree_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="a tree of 3 leaves has 2 subtrees, not 1"):
        Frontier(3, b"x" * 32)


@settings(deadline=None, max_examples=60)
@given(hashes, st.data())
def test_every_leaf_has_a_proof_and_no_other_leaf_fits_it(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = inclusion_proof(index, leaves)
    root = defined_root(leaves)

    assert root_from_inclusion(index, len(leaves), leaves[index], proof) == root
    assert root_from_inclusion(index, len(leaves), leaf_hash(b"another leaf"), proof) != root
    assert root_from_inclusion(index, len(leaves), leaves[index], (*proof, root)) != root
    assert proof == () or root_from_inclusion(index, len(leaves), leaves[index], proof[:-1]) != root


@settings(deadline=None, max_examples=60)
@given(hashes, st.data())
def test_a_tree_continues_its_beginning_and_no_other(leaves: list[bytes], data: st.DataObject) -> None:
    first = data.draw(st.integers(1, len(leaves)))
    proof = consistency_proof(first, leaves)
    old, new = defined_root(leaves[:first]), defined_root(leaves)

    assert is_consistent(first, len(leaves), old, new, proof)
    assert not is_consistent(first, len(leaves), leaf_hash(b"another past"), new, proof)
    assert not is_consistent(first, len(leaves), old, leaf_hash(b"another present"), proof)
