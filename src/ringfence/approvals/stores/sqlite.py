"""Approvals in SQLite: durable at every commit, shared by all sessions and terminals of one user."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from ringfence.approvals.objects import CLOCK_SLACK_NS, BreakGlass, Grant, Request, Vote
from ringfence.approvals.stores.store import ApprovalsBroken, broken
from ringfence.approvals.transitions import State

SCHEMA = 2
LOCK_SECONDS = 2.0
"""How long to wait for another process. A question that cannot be put on record in this time is denied."""

_TABLES = """
CREATE TABLE IF NOT EXISTS request (
    id TEXT PRIMARY KEY,
    dedupe TEXT NOT NULL,
    state TEXT NOT NULL,
    body BLOB NOT NULL,
    step INTEGER NOT NULL DEFAULT 0
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
    body BLOB NOT NULL,
    created_ns INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS grants_matcher ON grants (matcher);
CREATE TABLE IF NOT EXISTS break_glass (id TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS request_state ON request (state)
"""
_SINCE_1 = """
ALTER TABLE request ADD COLUMN step INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN created_ns INTEGER NOT NULL DEFAULT 0
"""
"""What a database of schema 1 lacks, besides whole tables."""
_REQUEST = "SELECT body, state, step FROM request"
_GRANT = "SELECT body, uses, revoked_ns FROM grants"


class SqliteStore:
    """The store of one user (`ringfence.approvals.stores.store.Store`)."""

    look_seconds = 0.005

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
                remedy="make the file and its folder writable for you, free space on its disk, or move the file aside"
                " and be asked again",
            ) from failure

    def _prepare(self) -> None:
        version = self._version()
        if version > SCHEMA:
            raise sqlite3.DatabaseError(f"they were written by a newer version (schema {version})")
        if version == SCHEMA:
            return
        with self.transaction():
            # Somebody else may have done it while we waited.
            statements = "" if self._version() == SCHEMA else _TABLES
            if self._version() == 1:
                statements = f"{_SINCE_1};{_TABLES}"
            for statement in statements.split(";"):
                self._database.execute(statement)
            self._database.execute(f"PRAGMA user_version = {SCHEMA}")

    def _version(self) -> int:
        return int(self._database.execute("PRAGMA user_version").fetchone()[0])

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def others_wrote(self) -> int | None:
        """A number that is another one once somebody else has written."""
        return int(self._execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Nobody else writes until it ends; an exception inside undoes everything."""
        with _errors():
            self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            with _errors():
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
        rows = self._execute(f"{_REQUEST} WHERE substr(id, 1, ?) = ? ORDER BY id DESC", (len(prefix), prefix))
        return tuple(map(_request, rows))

    def approved(self, most: int) -> Sequence[Request]:
        """The newest requests that were approved, used or not, newest first."""
        states = "state IN ('approved', 'consumed', 'lapsed')"
        rows = self._execute(f"{_REQUEST} WHERE {states} ORDER BY id DESC LIMIT ?", (most,))
        return tuple(map(_request, rows))

    def unfinished(self) -> Sequence[Request]:
        """Requests that are pending, delegated or approved, oldest first."""
        rows = self._execute(f"{_REQUEST} WHERE state IN ('pending', 'delegated', 'approved') ORDER BY id")
        return tuple(map(_request, rows))

    def add_request(self, request: Request) -> None:
        """Keep a new request."""
        row = (request.id, request.dedupe, request.state.value, msgspec.json.encode(request), request.step)
        self._execute("INSERT INTO request (id, dedupe, state, body, step) VALUES (?, ?, ?, ?, ?)", row)

    def set_state(self, request_id: str, state: State) -> None:
        """Change the state of a request."""
        self._execute("UPDATE request SET state = ? WHERE id = ?", (state.value, request_id))

    def set_step(self, request_id: str, step: int) -> None:
        """Hand a request to a step of the ladder."""
        self._execute("UPDATE request SET step = ? WHERE id = ?", (step, request_id))

    def vote(self, vote_id: str) -> Vote | None:
        """A vote by its id."""
        row = self._execute("SELECT body FROM vote WHERE id = ?", (vote_id,)).fetchone()
        return msgspec.json.decode(row[0], type=Vote) if row else None

    def votes(self, request_id: str) -> Sequence[Vote]:
        """The votes on a request, in the order they were cast."""
        rows = self._execute("SELECT body FROM vote WHERE request = ? ORDER BY number", (request_id,))
        return tuple(msgspec.json.decode(row[0], type=Vote) for row in rows)

    def add_vote(self, vote: Vote) -> None:
        """Keep a vote."""
        row = (vote.id, vote.request, msgspec.json.encode(vote))
        self._execute("INSERT INTO vote (id, request, body) VALUES (?, ?, ?)", row)

    def add_grant(self, grant: Grant) -> None:
        """Keep a new grant."""
        row = (grant.id, grant.request, grant.matcher, grant.expires_ns, grant.max_uses, grant.uses, grant.revoked_ns)
        self._execute(
            "INSERT INTO grants (id, request, matcher, expires_ns, max_uses, uses, revoked_ns, body, created_ns)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, msgspec.json.encode(grant), grant.created_ns),
        )

    def grant_of(self, request_id: str) -> Grant | None:
        """The grant that a request made."""
        row = self._execute(f"{_GRANT} WHERE request = ?", (request_id,)).fetchone()
        return _grant(row) if row else None

    def grants(self, matcher: str | None = None, prefix: str = "") -> Sequence[Grant]:
        """Grants, newest first; by matcher, or by the beginning of their id."""
        where, values = ("matcher = ?", (matcher,)) if matcher is not None else ("?", (True,))
        rows = self._execute(f"{_GRANT} WHERE {where} ORDER BY id DESC", values)
        return tuple(grant for grant in map(_grant, rows) if grant.id.startswith(prefix))

    def consume(self, grant_id: str, now_ns: int) -> bool:
        """Take one use, if there is one left and it is neither expired nor revoked: exactly one caller succeeds."""
        done = self._execute(
            "UPDATE grants SET uses = uses + 1 WHERE id = ? AND revoked_ns IS NULL AND ? < expires_ns"
            " AND created_ns <= ? AND (max_uses IS NULL OR uses < max_uses)",
            (grant_id, now_ns, now_ns + CLOCK_SLACK_NS),
        )
        return done.rowcount == 1

    def revoke(self, grant_id: str, now_ns: int) -> bool:
        """Revoke a grant that is not revoked yet."""
        done = self._execute("UPDATE grants SET revoked_ns = ? WHERE id = ? AND revoked_ns IS NULL", (now_ns, grant_id))
        return done.rowcount == 1

    def put_break_glass(self, glass: BreakGlass) -> None:
        """Keep a broken glass, or what became of one."""
        row = (glass.id, msgspec.json.encode(glass))
        self._execute("INSERT INTO break_glass VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body", row)

    def broken_glass(self) -> Sequence[BreakGlass]:
        """Every broken glass, newest first."""
        rows = self._execute("SELECT body FROM break_glass ORDER BY id DESC")
        return tuple(msgspec.json.decode(row[0], type=BreakGlass) for row in rows)

    def _one_request(self, where: str, value: str) -> Request | None:
        row = self._execute(f"{_REQUEST} WHERE {where}", (value,)).fetchone()
        return _request(row) if row else None

    def _execute(self, statement: str, values: Sequence[str | int | bytes | None] = ()) -> sqlite3.Cursor:
        with _errors():
            return self._database.execute(statement, values)


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as failure:
        raise broken(
            str(failure), remedy="free space on its disk, or move the file of approvals aside and be asked again"
        ) from failure


def _request(row: tuple[bytes, str, int]) -> Request:
    return msgspec.structs.replace(msgspec.json.decode(row[0], type=Request), state=State(row[1]), step=row[2])


def _grant(row: tuple[bytes, int, int | None]) -> Grant:
    return msgspec.structs.replace(msgspec.json.decode(row[0], type=Grant), uses=row[1], revoked_ns=row[2])
