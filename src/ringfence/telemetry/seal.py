"""Sealing the ledger: a signed checkpoint over everything recorded so far, in the database and in a file beside it.

The file is there to be copied elsewhere: a ledger that later shows fewer entries, or others, contradicts it.
"""

from __future__ import annotations

import os
import sqlite3

from ringfence.telemetry import notes
from ringfence.telemetry.database import state, transaction


def key_file(ledger: str) -> str:
    """Where the signing key of a ledger lies; the verifier's key has `.pub` appended."""
    return os.path.join(os.path.dirname(ledger), "ledger-key")


def checkpoint_file(ledger: str) -> str:
    """Where the checkpoints of a ledger are appended."""
    return os.path.join(os.path.dirname(ledger), "ledger-checkpoints.txt")


def seal(connection: sqlite3.Connection, ledger: str, now_ns: int) -> None:
    """Sign the present state, unless the last checkpoint already holds it."""
    with transaction(connection):
        now = state(connection)
        sealed = connection.execute("SELECT coalesce(max(size), 0) FROM checkpoint").fetchone()[0]
        if now.size == sealed:
            return
        note = notes.sign(notes.Checkpoint(now.origin, now.size, now.root()), key_file(ledger))
        connection.execute("INSERT INTO checkpoint VALUES (?, ?, ?)", (now.size, max(now_ns, now.time_ns), note))
        _append(checkpoint_file(ledger), note)


def _append(path: str, note: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, (note + "\n").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
