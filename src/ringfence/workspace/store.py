"""Where snapshots are kept: pieces of files by their hash, lists of what lay where, one SQLite database a workspace.

A piece is stored once, however many files and snapshots hold it. Everything of a snapshot is written in one
transaction: a crash leaves the snapshots that were there before.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType

import msgspec

from ringfence.model.situations import RingfenceError
from ringfence.workspace.entries import Entry

SCHEMA = 1
KEPT = 40
"""Snapshots that are kept of one workspace; the oldest go first."""
TURNS_OF = 5
"""Sessions of which the beginnings of turns and actions are kept."""
STAGED = frozenset({"staged", "applied"})
"""The moments at which a snapshot is no picture of the real tree, so that its stamps are none of it."""
_PIECE_LEVEL = 1
"""Compression: fast, because a person waits for it."""
_LEAST_ROOM = 65536
"""Bytes without which SQLite does not open a database: its log, and the index of that."""

_TABLES = """
CREATE TABLE piece (hash BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE listing (hash BLOB PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE snapshot (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, session TEXT NOT NULL, moment TEXT NOT NULL,
    taken_ns INTEGER NOT NULL, listing BLOB NOT NULL, left_out BLOB NOT NULL
);
CREATE INDEX snapshot_session ON snapshot (session)
"""
_ENTRIES = msgspec.msgpack.Decoder(tuple[Entry, ...])


class SnapshotsBroken(RingfenceError):
    """The snapshots of a workspace cannot be read or written."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The workspace at one moment."""

    id: str
    session: str
    moment: str
    """`start` or `end` of the session, `turn N` where one began, `undo`: before something was undone or applied;
    `staged`: as a staged session saw the tree in the end, `applied`: with what was taken over of that so far."""
    taken_ns: int
    listing: bytes
    """The hash of the list of entries."""
    left_out: tuple[tuple[bytes, str], ...] = ()
    """What could not be kept, and why; at most a hundred."""


class Store:
    """The snapshots of one workspace."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._database = sqlite3.connect(path, timeout=10, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._prepare()
        except (OSError, sqlite3.Error) as failure:
            raise SnapshotsBroken(
                f"the snapshots in `{path}` cannot be opened: {_said(failure, path)}",
                remedy=f"move `{path}` aside, or free space",
            ) from failure

    def _prepare(self) -> None:
        version = int(self._database.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA:
            raise sqlite3.DatabaseError(f"they were written by a newer version (schema {version})")
        if version < SCHEMA:
            with self.transaction():
                for statement in _TABLES.split(";"):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA user_version = {SCHEMA}")

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Nobody else writes until it ends; an exception inside undoes everything."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.Error as failure:
            raise SnapshotsBroken(
                f"the snapshots cannot be written: {_said(failure, self._path)}",
                remedy="free space on the disk of your state folder",
            ) from failure

    def add_piece(self, body: bytes) -> bytes:
        """Keep a piece of a file; its hash."""
        key = hashlib.sha256(body).digest()
        if self._database.execute("SELECT 1 FROM piece WHERE hash = ?", (key,)).fetchone() is None:
            packed = zlib.compress(body, _PIECE_LEVEL)
            self._database.execute("INSERT INTO piece VALUES (?, ?)", (key, packed))
        return key

    def piece(self, key: bytes) -> bytes:
        """A piece by its hash, checked."""
        row = self._database.execute("SELECT body FROM piece WHERE hash = ?", (key,)).fetchone()
        body = zlib.decompress(row[0]) if row is not None else b""
        if row is None or hashlib.sha256(body).digest() != key:
            raise SnapshotsBroken("a piece of a file is missing or damaged in the snapshots")
        return body

    def pieces(self) -> int:
        """How many pieces are kept."""
        return int(self._database.execute("SELECT count(*) FROM piece").fetchone()[0])

    def add(self, snapshot: Snapshot, entries: tuple[Entry, ...], packed: bytes) -> None:
        """Keep a snapshot and the list of its entries."""
        self._database.execute("INSERT OR IGNORE INTO listing VALUES (?, ?)", (snapshot.listing, packed))
        row = (snapshot.id, snapshot.session, snapshot.moment, snapshot.taken_ns, snapshot.listing)
        self._database.execute(
            "INSERT INTO snapshot (id, session, moment, taken_ns, listing, left_out) VALUES (?, ?, ?, ?, ?, ?)",
            (*row, msgspec.msgpack.encode(snapshot.left_out)),
        )

    def snapshots(self, session: str = "") -> tuple[Snapshot, ...]:
        """Snapshots, newest first; of the sessions whose id begins so, or of one snapshot."""
        rows = self._database.execute(
            "SELECT id, session, moment, taken_ns, listing, left_out FROM snapshot"
            " WHERE substr(session, 1, ?) = ? OR id = ? ORDER BY number DESC",
            (len(session), session, session),
        )
        return tuple(_snapshot(row) for row in rows)

    def entries(self, snapshot: Snapshot) -> tuple[Entry, ...]:
        """What lay in the workspace, parents first."""
        row = self._database.execute("SELECT body FROM listing WHERE hash = ?", (snapshot.listing,)).fetchone()
        if row is None:
            raise SnapshotsBroken("the list of a snapshot is missing")
        try:
            return _ENTRIES.decode(zlib.decompress(row[0]))
        except (zlib.error, msgspec.DecodeError) as damage:
            raise SnapshotsBroken(f"the list of a snapshot is damaged: {damage}") from damage

    def forget(self, snapshot_id: str) -> None:
        """Drop one snapshot; what only it held goes with the next old ones."""
        self._database.execute("DELETE FROM snapshot WHERE id = ?", (snapshot_id,))

    def forget_old(self, kept: int = KEPT, *, needed: frozenset[str] = frozenset()) -> None:
        """Drop the oldest snapshots but those of sessions that are needed, and what only they held."""
        # SECURITY: what is inside tells when a turn begins, and what loses something. However often it does, no other
        # snapshot goes for it.
        query = (
            "SELECT id, session FROM snapshot WHERE moment NOT LIKE 'turn %' AND moment NOT LIKE 'action:%'"
            " ORDER BY number DESC LIMIT -1 OFFSET ?"
        )
        doomed = [row for row in self._database.execute(query, (kept,)).fetchall() if row[1] not in needed]
        query = (
            "SELECT id, session FROM snapshot WHERE (moment LIKE 'turn %' OR moment LIKE 'action:%') AND session NOT IN"
            " (SELECT session FROM snapshot WHERE moment = 'start' ORDER BY number DESC LIMIT ?)"
        )
        ids = [(row[0],) for row in (*doomed, *self._database.execute(query, (TURNS_OF,)).fetchall())]
        if not ids:
            return
        self._database.executemany("DELETE FROM snapshot WHERE id = ?", ids)
        self._database.execute("DELETE FROM listing WHERE hash NOT IN (SELECT listing FROM snapshot)")
        self._keep_only(key for one in self.snapshots() for entry in self.entries(one) for key in entry.chunks)

    def _keep_only(self, keys: Iterable[bytes]) -> None:
        self._database.execute("CREATE TEMP TABLE IF NOT EXISTS used (hash BLOB PRIMARY KEY) WITHOUT ROWID")
        self._database.executemany("INSERT OR IGNORE INTO used VALUES (?)", ((key,) for key in keys))
        self._database.execute("DELETE FROM piece WHERE hash NOT IN (SELECT hash FROM used)")
        self._database.execute("DROP TABLE used")


def _said(failure: Exception, path: str) -> str:
    # SQLite calls it a failure of the disk, where not even its index of the log has room.
    try:
        disk = os.statvfs(os.path.dirname(path))
    except OSError:
        return str(failure)
    full = disk.f_bavail * disk.f_frsize < _LEAST_ROOM and "full" not in str(failure)
    return f"{failure}: the disk is full" if full else str(failure)


def pack(entries: tuple[Entry, ...]) -> tuple[bytes, bytes]:
    """The list of entries as it is stored, and its hash."""
    plain = msgspec.msgpack.encode(entries)
    return hashlib.sha256(plain).digest(), zlib.compress(plain, _PIECE_LEVEL)


def _snapshot(row: tuple[str, str, str, int, bytes, bytes]) -> Snapshot:
    left_out = msgspec.msgpack.decode(row[5], type=tuple[tuple[bytes, str], ...])
    return Snapshot(id=row[0], session=row[1], moment=row[2], taken_ns=row[3], listing=row[4], left_out=left_out)
