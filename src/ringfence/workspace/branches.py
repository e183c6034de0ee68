"""Which branches a repository had at the moment of a snapshot."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from ringfence.workspace.entries import Entry, Kind
from ringfence.workspace.store import Store

_PACKED = re.compile(rb"^[0-9a-f]+ refs/heads/(.+)$", re.MULTILINE)


def branches(entries: Iterable[Entry], store: Store, repository: bytes) -> frozenset[str]:
    """The branches of a repository, by the path of its own folder in the workspace."""
    found = set[bytes]()
    loose, packed = repository + b"/refs/heads/", repository + b"/packed-refs"
    for entry in entries:
        if entry.kind is not Kind.FILE:
            continue
        if entry.path.startswith(loose):
            found.add(entry.path[len(loose) :])
        elif entry.path == packed:
            found.update(_PACKED.findall(b"".join(map(store.piece, entry.chunks))))
    return frozenset(map(os.fsdecode, found))
