"""The Merkle tree of RFC 6962: hashes, the growing tree, and inclusion and consistency proofs. Standard library only.

It knows hashes and positions; what a leaf means, where it is stored and who signs a root is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(content: bytes) -> bytes:
    """The hash of a leaf. The prefix keeps a leaf from being passed off as a node (second preimage)."""
    return sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an interior node."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that only grows, held as the roots of its complete subtrees, largest first: 32 bytes per bit of its size.

    INVARIANT: the number of subtrees is the number of ones in `size`.
    """

    def __init__(self, size: int = 0, packed: bytes = b"") -> None:
        if len(packed) != 32 * size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} subtrees, not {len(packed) / 32:g}")
        self.size = size
        self._subtrees = [packed[start : start + 32] for start in range(0, len(packed), 32)]

    def append(self, leaf: bytes) -> None:
        """Add the hash of a leaf."""
        carry, size = leaf, self.size
        while size & 1:
            carry = node_hash(self._subtrees.pop(), carry)
            size >>= 1
        self._subtrees.append(carry)
        self.size += 1

    def root(self) -> bytes:
        """The root over everything that was added."""
        if not self._subtrees:
            return EMPTY_ROOT
        root = self._subtrees[-1]
        for subtree in reversed(self._subtrees[:-1]):
            root = node_hash(subtree, root)
        return root

    def packed(self) -> bytes:
        """The state to store, and to hand to the constructor with `size`."""
        return b"".join(self._subtrees)


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over these leaf hashes."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def inclusion_proof(index: int, leaves: Sequence[bytes]) -> tuple[bytes, ...]:
    """The siblings from a leaf up to the root."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"leaf {index} is not in a tree of {len(leaves)}")
    if len(leaves) == 1:
        return ()
    middle = _split(len(leaves))
    if index < middle:
        return (*inclusion_proof(index, leaves[:middle]), root_of(leaves[middle:]))
    return (*inclusion_proof(index - middle, leaves[middle:]), root_of(leaves[:middle]))


def root_from_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes | None:
    """The root that a proof leads to, or None where the proof does not fit the position (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return None
    position, last, root = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return None
        if position & 1 or position == last:
            root = node_hash(sibling, root)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        position, last = position >> 1, last >> 1
    return root if last == 0 else None


def consistency_proof(first: int, leaves: Sequence[bytes]) -> tuple[bytes, ...]:
    """The nodes which show that the tree of the first `first` leaves is the beginning of this one."""
    if not 0 < first <= len(leaves):
        raise ValueError(f"a tree of {first} is not the beginning of a tree of {len(leaves)}")
    return _consistency(first, leaves, complete=True)


def _consistency(first: int, leaves: Sequence[bytes], *, complete: bool) -> tuple[bytes, ...]:
    if first == len(leaves):
        return () if complete else (root_of(leaves),)
    middle = _split(len(leaves))
    if first <= middle:
        return (*_consistency(first, leaves[:middle], complete=complete), root_of(leaves[middle:]))
    return (*_consistency(first - middle, leaves[middle:], complete=False), root_of(leaves[:middle]))


def is_consistent(first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a proof shows that the second tree continues the first (RFC 9162, 2.1.4.2)."""
    if first == second:
        return not proof and first_root == second_root
    if not 0 < first < second or not proof:
        return False
    nodes = [first_root, *proof] if first & (first - 1) == 0 else list(proof)
    position, last = first - 1, second - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new = node_hash(new, node)
        position, last = position >> 1, last >> 1
    return old == first_root and new == second_root and last == 0


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1
