"""Approvals in SQLite: durable at every commit, shared by all sessions and terminals of one user."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from ringfence.approvals.objects import Grant, Request, Vote
from ringfence.approvals.stores.store import ApprovalsBroken
from ringfence.approvals.transitions import State

SCHEMA = 1
LOCK_SECONDS = 2.0
"""How long to wait for another process. A question that cannot be put on record in this time is denied."""

_TABLES = """
CREATE TABLE IF NOT EXISTS request (
    id TEXT PRIMARY KEY,
    dedupe TEXT NOT NULL,
    state TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS request_open ON request (dedupe) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS vote (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    request TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS vote_request ON vote (request);
CREATE TABLE IF NOT EXISTS grants (
    id TEXT PRIMARY KEY,
    request TEXT NOT NULL UNIQUE,
    matcher TEXT NOT NULL,
    expires_ns INTEGER NOT NULL,
    max_uses INTEGER,
    uses INTEGER NOT NULL,
    revoked_ns INTEGER,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS grants_matcher ON grants (matcher)
"""
_GRANT = "SELECT body, uses, revoked_ns FROM grants"


class SqliteStore:
    """The store of one user (`ringfence.approvals.stores.store.Store`)."""

    def __init__(self, path: str) -> None:
        try:
            if path != ":memory:":
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._database = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._prepare()
        except (OSError, sqlite3.Error) as failure:
            raise ApprovalsBroken(
                f"the approvals in `{path}` cannot be opened: {failure}",
                remedy="make the file and its folder writable for you, or move the file aside and be asked again",
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

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Nobody else writes until it ends; an exception inside undoes everything."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def request(self, request_id: str) -> Request | None:
        """A request by its id."""
        return self._one_request("id = ?", request_id)

    def pending(self, dedupe: str) -> Request | None:
        """The open request for the same question."""
        return self._one_request("dedupe = ? AND state = 'pending'", dedupe)

    def requests(self, prefix: str = "") -> Sequence[Request]:
        """Requests whose id begins so, newest first."""
        rows = self._database.execute(
            "SELECT body, state FROM request WHERE substr(id, 1, ?) = ? ORDER BY id DESC", (len(prefix), prefix)
        )
        return tuple(map(_request, rows))

    def add_request(self, request: Request) -> None:
        """Keep a new request."""
        row = (request.id, request.dedupe, request.state.value, msgspec.json.encode(request))
        self._database.execute("INSERT INTO request VALUES (?, ?, ?, ?)", row)

    def set_state(self, request_id: str, state: State) -> None:
        """Change the state of a request."""
        self._database.execute("UPDATE request SET state = ? WHERE id = ?", (state.value, request_id))

    def vote(self, vote_id: str) -> Vote | None:
        """A vote by its id."""
        row = self._database.execute("SELECT body FROM vote WHERE id = ?", (vote_id,)).fetchone()
        return msgspec.json.decode(row[0], type=Vote) if row else None

    def votes(self, request_id: str) -> Sequence[Vote]:
        """The votes on a request, in the order they were cast."""
        rows = self._database.execute("SELECT body FROM vote WHERE request = ? ORDER BY number", (request_id,))
        return tuple(msgspec.json.decode(row[0], type=Vote) for row in rows)

    def add_vote(self, vote: Vote) -> None:
        """Keep a vote."""
        row = (vote.id, vote.request, msgspec.json.encode(vote))
        self._database.execute("INSERT INTO vote (id, request, body) VALUES (?, ?, ?)", row)

    def add_grant(self, grant: Grant) -> None:
        """Keep a new grant."""
        row = (grant.id, grant.request, grant.matcher, grant.expires_ns, grant.max_uses, grant.uses, grant.revoked_ns)
        self._database.execute("INSERT INTO grants VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, msgspec.json.encode(grant)))

    def grant_of(self, request_id: str) -> Grant | None:
        """The grant that a request made."""
        row = self._database.execute(f"{_GRANT} WHERE request = ?", (request_id,)).fetchone()
        return _grant(row) if row else None

    def grants(self, matcher: str | None = None, prefix: str = "") -> Sequence[Grant]:
        """Grants, newest first; by matcher, or by the beginning of their id."""
        where, values = ("matcher = ?", (matcher,)) if matcher is not None else ("?", (True,))
        rows = self._database.execute(f"{_GRANT} WHERE {where} ORDER BY id DESC", values)
        return tuple(grant for grant in map(_grant, rows) if grant.id.startswith(prefix))

    def consume(self, grant_id: str, now_ns: int) -> bool:
        """Take one use, if there is one left and it is neither expired nor revoked: exactly one caller succeeds."""
        done = self._database.execute(
            "UPDATE grants SET uses = uses + 1 WHERE id = ? AND revoked_ns IS NULL AND ? < expires_ns"
            " AND (max_uses IS NULL OR uses < max_uses)",
            (grant_id, now_ns),
        )
        return done.rowcount == 1

    def revoke(self, grant_id: str, now_ns: int) -> bool:
        """Revoke a grant that is not revoked yet."""
        done = self._database.execute(
            "UPDATE grants SET revoked_ns = ? WHERE id = ? AND revoked_ns IS NULL", (now_ns, grant_id)
        )
        return done.rowcount == 1

    def _one_request(self, where: str, value: str) -> Request | None:
        row = self._database.execute(f"SELECT body, state FROM request WHERE {where}", (value,)).fetchone()  # noqa: S608
        return _request(row) if row else None


def _request(row: tuple[bytes, str]) -> Request:
    return msgspec.structs.replace(msgspec.json.decode(row[0], type=Request), state=State(row[1]))


def _grant(row: tuple[bytes, int, int | None]) -> Grant:
    return msgspec.structs.replace(msgspec.json.decode(row[0], type=Grant), uses=row[1], revoked_ns=row[2])
