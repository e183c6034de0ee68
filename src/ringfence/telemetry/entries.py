"""The leaf of the tree that binds an entry. Standard library only, and as little of that as there can be.

The leaf binds order, time and a salted commitment to the content. When content and salt are erased, the leaf can still
be computed from what stays, so every proof stays valid; and without the salt nobody can guess what the content was.
"""

from __future__ import annotations

from hashlib import sha256

from ringfence.telemetry.tree import leaf_hash

SALT_BYTES = 16
MAX_CONTENT = 4 * 1024 * 1024
"""Bytes of one event. The client cuts long texts far below this; whatever is larger is refused."""

_NAME = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-"


def commitment_of(salt: bytes, content: bytes) -> bytes:
    """What the leaf holds of the content."""
    return sha256(salt + content).digest()


def is_name(text: str) -> bool:
    """Whether a session, an id or an event's name can stand in a leaf without any escaping."""
    return 0 < len(text) <= 64 and text.isascii() and not text.encode().translate(None, _NAME)


def leaf_of(sequence: int, time_ns: int, session: str, event: str, event_id: str, commitment: bytes) -> bytes:
    """The hash that stands for an entry in the tree."""
    return leaf_hash(leaf_content(sequence, time_ns, session, event, event_id, commitment))


def leaf_content(sequence: int, time_ns: int, session: str, event: str, event_id: str, commitment: bytes) -> bytes:
    """The canonical JSON (RFC 8785) that is hashed.

    Written by hand, as the names need no escaping. The time is a string, because nanoseconds exceed the integers that
    every JSON reader agrees on.
    """
    # INVARIANT: members stand in the order of their names.
    return (
        f'{{"commitment":"{commitment.hex()}","event":"{event}","id":"{event_id}","schema":1,'
        f'"sequence":{sequence},"session":"{session}","time_ns":"{time_ns}"}}'
    ).encode("ascii")
