"""Entries: what the ledger keeps of an event, and the leaf of the tree that binds it. Standard library only.

The leaf binds order, time and a salted commitment to the content. When content and salt are erased, the leaf can still
be computed from what stays, so every proof stays valid; and without the salt nobody can guess what the content was.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import NamedTuple

from ringfence.telemetry.tree import leaf_hash

SALT_BYTES = 16
MAX_CONTENT = 4 * 1024 * 1024
"""Bytes of one event. The client cuts long texts far below this; whatever is larger is refused."""

_NAME = re.compile(r"[0-9A-Za-z._-]{1,64}")


class Entry(NamedTuple):
    """One row of the ledger."""

    sequence: int
    time_ns: int
    session: str
    event: str
    id: str
    commitment: bytes
    salt: bytes | None
    """None where the content was erased."""
    content: bytes | None
    """The event as JSON; None where it was erased."""

    def leaf(self) -> bytes:
        """The hash that stands for this entry in the tree."""
        return leaf_hash(leaf_content(self))


def commitment_of(salt: bytes, content: bytes) -> bytes:
    """What the leaf holds of the content."""
    return sha256(salt + content).digest()


def is_name(text: str) -> bool:
    """Whether a session, an id or an event's name can stand in a leaf without any escaping."""
    return _NAME.fullmatch(text) is not None


def leaf_content(entry: Entry) -> bytes:
    """The canonical JSON (RFC 8785) that is hashed.

    Written by hand, as the names need no escaping. The time is a string, because nanoseconds exceed the integers that
    every JSON reader agrees on.
    """
    # INVARIANT: members stand in the order of their names.
    return (
        f'{{"commitment":"{entry.commitment.hex()}","event":"{entry.event}","id":"{entry.id}","schema":1,'
        f'"sequence":{entry.sequence},"session":"{entry.session}","time_ns":"{entry.time_ns}"}}'
    ).encode("ascii")
