"""The ledger's database: its tables, how it is opened, and how a batch is appended. Little of the standard library.

Several writers share one database: `BEGIN IMMEDIATE` puts their batches one after the other, and the state of the tree
is a row like any other, so it can never disagree with the entries after a crash.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ringfence.telemetry.entries import SALT_BYTES, commitment_of, leaf_of
from ringfence.telemetry.tree import EMPTY_ROOT, Frontier

SCHEMA = 1
LOCK_SECONDS = 10.0
"""How long a writer waits for another session's batch before it gives up."""

_TABLES = """
CREATE TABLE IF NOT EXISTS ledger (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    schema INTEGER NOT NULL,
    origin TEXT NOT NULL,
    size INTEGER NOT NULL,
    frontier BLOB NOT NULL,
    time_ns INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS entry (
    sequence INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,
    session TEXT NOT NULL,
    event TEXT NOT NULL,
    id TEXT NOT NULL,
    commitment BLOB NOT NULL,
    salt BLOB,
    content BLOB
);
CREATE INDEX IF NOT EXISTS entry_session ON entry (session, sequence);
CREATE INDEX IF NOT EXISTS entry_start ON entry (sequence) WHERE event = 'session.started';
CREATE TABLE IF NOT EXISTS checkpoint (
    size INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,
    note TEXT NOT NULL
);
"""


class State:
    """How far the ledger has grown."""

    def __init__(self, origin: str, size: int, frontier: bytes, time_ns: int) -> None:
        self.origin = origin
        """The name under which its checkpoints are signed."""
        self.size = size
        self.frontier = frontier
        self.time_ns = time_ns
        """The time of the last entry."""

    def root(self) -> bytes:
        """The root of the tree."""
        return Frontier(self.size, self.frontier).root() if self.size else EMPTY_ROOT


Draft = tuple[str, str, str, bytes]
"""An event on its way into the ledger: session, name of the event, id, content."""


def open_for_writing(path: str, lock_seconds: float = LOCK_SECONDS) -> sqlite3.Connection:
    """Open the ledger, and make it where its folder has none: for its owner alone, durable at every commit."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, timeout=lock_seconds, isolation_level=None)
    try:
        _set_journal(connection, time.monotonic() + lock_seconds)
        connection.execute("PRAGMA synchronous = FULL")
        _prepare(connection)
    except BaseException:
        connection.close()
        raise
    return connection


class FilesGone(Exception):
    """A file of the ledger is not where it was any more."""


class Files:
    """The files of an open ledger. SQLite goes on writing where they were removed, moved or replaced, and what it
    writes is on no record that anybody can find."""

    def __init__(self, path: str) -> None:
        self._known = {path: _identity(path)}
        self._log = f"{path}-wal"

    def check(self) -> None:
        """After a batch: `FilesGone` unless it lies where it is looked for."""
        self._known.setdefault(self._log, _identity(self._log))
        for path, known in self._known.items():
            if known is None or _identity(path) != known:
                raise FilesGone(f"`{path}` was removed, moved or replaced")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _set_journal(connection: sqlite3.Connection, deadline: float) -> None:
    """Switch to the write-ahead log. SQLite does not wait for a lock in this one statement, so we do: two sessions may
    start on a ledger that neither has made yet."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as busy:
            if busy.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        time.sleep(0.005)


def _prepare(connection: sqlite3.Connection) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version == SCHEMA:
        return
    if version > SCHEMA:
        raise sqlite3.DatabaseError(f"the ledger was written by a newer version (schema {version})")
    with transaction(connection):
        for statement in _TABLES.split(";"):
            connection.execute(statement)
        connection.execute(
            "INSERT OR IGNORE INTO ledger VALUES (1, ?, ?, 0, x'', 0)",
            (SCHEMA, f"ringfence.local/{os.urandom(8).hex()}"),
        )
        connection.execute(f"PRAGMA user_version = {SCHEMA}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything inside, or nothing; no other writer in between."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk has often rolled back on its own; a second ROLLBACK would hide the first error.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def state(connection: sqlite3.Connection) -> State:
    """The state of the tree."""
    row = connection.execute("SELECT origin, size, frontier, time_ns FROM ledger").fetchone()
    if row is None:
        raise sqlite3.DatabaseError("the ledger has lost the state of its tree")
    return State(*row)


def unended(connection: sqlite3.Connection, session: str) -> bool:
    """Whether a session's start is on record, and its end is not."""
    rows = connection.execute(
        "SELECT DISTINCT event FROM entry WHERE session = ? AND event IN ('session.started', 'session.ended')",
        (session,),
    )
    return [row[0] for row in rows] == ["session.started"]


def append(connection: sqlite3.Connection, drafts: Sequence[Draft], now_ns: int) -> list[tuple[int, int]]:
    """Append events and return the sequence and time of each. Order and time are stamped here and nowhere else."""
    # Salts at once: asking the machine for each costs more than to hash an event.
    salts = os.urandom(SALT_BYTES * len(drafts))
    rows = []
    with transaction(connection):
        size, frontier, last_ns = connection.execute("SELECT size, frontier, time_ns FROM ledger").fetchone()
        # INVARIANT: time never goes back, whatever the machine's clock does.
        time_ns = max(now_ns, last_ns)
        tree = Frontier(size, frontier)
        for at, (session, event, event_id, content) in enumerate(drafts):
            salt = salts[at * SALT_BYTES : (at + 1) * SALT_BYTES]
            commitment = commitment_of(salt, content)
            rows.append((tree.size, time_ns, session, event, event_id, commitment, salt, content))
            tree.append(leaf_of(tree.size, time_ns, session, event, event_id, commitment))
        connection.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute("UPDATE ledger SET size = ?, frontier = ?, time_ns = ?", (tree.size, tree.packed(), time_ns))
    return [(row[0], time_ns) for row in rows]
