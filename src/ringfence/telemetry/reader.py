"""Reads the ledger: sessions, and the events of one, without ever writing to it.

It shows what is stored. Whether that is what was recorded is a question for `telemetry.verification`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from ringfence.model.action import ConnectAction
from ringfence.model.decision import Verdict
from ringfence.model.event import (
    ApprovalRequested,
    Body,
    ConnectionClosed,
    CredentialUsed,
    DecisionMade,
    Event,
    SessionEnded,
    SessionStarted,
)
from ringfence.model.situations import LedgerBroken, UsageInvalid
from ringfence.telemetry.database import State, state
from ringfence.telemetry.entries import is_name, leaf_of
from ringfence.telemetry.seal import checkpoint_file

_COLUMNS = "sequence, time_ns, session, event, id, commitment, salt, content"


class Entry(NamedTuple):
    """One row of the ledger, as it is stored."""

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
        return leaf_of(self.sequence, self.time_ns, self.session, self.event, self.id, self.commitment)


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """An event with its place in the ledger."""

    sequence: int
    time_ns: int
    session: str
    event: str
    id: str
    body: Body | None
    """None where the content was erased, or was written by a newer version."""
    raw: bytes | None
    """The event as it was recorded; None where it was erased."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which events are wanted. Empty means all."""

    session: str | None = None
    event: str | None = None
    verdict: Verdict | None = None
    host: str | None = None
    since_ns: int = 0
    after: int = -1
    """Only entries behind this sequence."""


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One session in the list."""

    session: str
    started_ns: int
    ended_ns: int | None
    agent: str
    argv: tuple[str, ...]
    workspace: str
    tier: str
    exit_code: int | None
    outcome: str
    """As `session.ended` says, or `open` where it has not ended."""
    events: int
    verdicts: dict[str, int]
    """Decisions by verdict."""


class LedgerReader:
    """A ledger, opened for reading."""

    def __init__(self, path: str) -> None:
        self.path = path
        if not os.path.exists(path):
            raise LedgerBroken(
                f"there is no ledger at `{path}` yet", remedy="record a session first: `ringfence run -- AGENT`"
            )
        with self._errors():
            # Not `mode=ro`: reading beside a writer takes the shared memory file, which the first reader has to make.
            self._database = sqlite3.connect(f"file:{_quoted(path)}?mode=rw", uri=True, isolation_level=None)
            self._database.execute("PRAGMA query_only = ON")
            self._database.execute("SELECT count(*) FROM ledger").fetchone()

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def state(self) -> State:
        """How far the ledger has grown, as it says itself."""
        with self._errors():
            return state(self._database)

    def entries(self, after: int = -1) -> Iterator[Entry]:
        """The rows as they are stored, in order."""
        with self._errors():
            cursor = self._database.execute(
                f"SELECT {_COLUMNS} FROM entry WHERE sequence > ? ORDER BY sequence",  # noqa: S608 - constants
                (after,),
            )
            for row in cursor:
                yield self._entry(row)

    def checkpoints(self) -> list[tuple[int, str]]:
        """Size and note of each checkpoint in the database, oldest first."""
        with self._errors():
            return self._database.execute("SELECT size, note FROM checkpoint ORDER BY size").fetchall()

    def kept_checkpoints(self) -> str:
        """The file of checkpoints beside the database."""
        try:
            with open(checkpoint_file(self.path), encoding="utf-8") as stream:
                return stream.read()
        except FileNotFoundError:
            return ""

    def sessions(self, limit: int | None = None) -> list[SessionSummary]:
        """Sessions, newest first."""
        with self._errors():
            started = self._database.execute(
                f"SELECT {_COLUMNS} FROM entry WHERE event = 'session.started'"  # noqa: S608 - constants
                " ORDER BY sequence DESC LIMIT ?",
                (-1 if limit is None else limit,),
            ).fetchall()
            return [self._summary(recorded(self._entry(row))) for row in started]

    def newest(self) -> str:
        """The session that began last."""
        with self._errors():
            row = self._database.execute(
                "SELECT session FROM entry WHERE event = 'session.started' ORDER BY sequence DESC LIMIT 1"
            ).fetchone()
        if row is None:
            raise LedgerBroken("the ledger holds no session yet", remedy="record one first: `ringfence run -- AGENT`")
        return str(row[0])

    def find(self, prefix: str) -> str:
        """The one session whose id begins so."""
        with self._errors():
            rows = self._database.execute(
                "SELECT DISTINCT session FROM entry WHERE session >= ? AND session < ? LIMIT 3",
                (prefix, prefix + "\x7f"),
            ).fetchall()
        names = [str(row[0]) for row in rows]
        if prefix in names:
            return prefix
        if len(names) == 1:
            return names[0]
        found = "no session" if not names else "more than one session"
        raise UsageInvalid(f"{found} begins with `{prefix}`", remedy="list them with `ringfence sessions`")

    def events(self, wanted: Wanted) -> Iterator[Recorded]:
        """The events that are wanted, in order."""
        conditions, values = ["sequence > ?", "time_ns >= ?"], [wanted.after, wanted.since_ns]
        for column, value in (("session", wanted.session), ("event", wanted.event)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)  # type: ignore[arg-type]
        with self._errors():
            query = f"SELECT {_COLUMNS} FROM entry WHERE {' AND '.join(conditions)} ORDER BY sequence"  # noqa: S608
            for row in self._database.execute(query, values):
                found = recorded(self._entry(row))
                if _fits(found, wanted):
                    yield found

    def _entry(self, row: tuple[object, ...]) -> Entry:
        # SECURITY: a column holds whatever was put into it; an unexpected kind must not stop who verifies half-way.
        number, time_ns, session, event, name, commitment, salt, content = row
        if isinstance(content, str):
            content = content.encode("utf-8", "surrogateescape")
        match (number, time_ns, session, event, name, commitment, salt, content):
            case (int(), int(), str(), str(), str(), bytes(), bytes() | None, bytes() | None):
                entry = Entry(number, time_ns, session, event, name, commitment, salt, content)
                if all(map(is_name, (session, event, name))) and number >= 0:
                    return entry
        raise LedgerBroken(
            f"entry {number} of the ledger `{self.path}` is damaged",
            remedy="move the ledger aside; what stands before it can be shown with `ringfence log`",
        )

    def _summary(self, start: Recorded) -> SessionSummary:
        ended = self._last(start.session, "session.ended")
        verdicts = self._database.execute(
            "SELECT json_extract(content, '$.body.decision.verdict'), count(*) FROM entry"
            " WHERE session = ? AND event = 'decision' AND content IS NOT NULL AND json_valid(content) GROUP BY 1",
            (start.session,),
        ).fetchall()
        (events,) = self._database.execute("SELECT count(*) FROM entry WHERE session = ?", (start.session,)).fetchone()
        body = start.body if isinstance(start.body, SessionStarted) else None
        end = ended.body if ended is not None and isinstance(ended.body, SessionEnded) else None
        return SessionSummary(
            session=start.session,
            started_ns=start.time_ns,
            ended_ns=ended.time_ns if ended is not None else None,
            agent=body.agent if body else "",
            argv=body.argv if body else (),
            workspace=body.workspace if body else "",
            tier=body.tier if body else "",
            exit_code=end.exit_code if end else None,
            outcome=end.outcome if end else ("erased" if ended else "open"),
            events=int(events),
            verdicts={str(verdict): int(number) for verdict, number in verdicts if verdict},
        )

    def _last(self, session: str, event: str) -> Recorded | None:
        row = self._database.execute(
            f"SELECT {_COLUMNS} FROM entry WHERE session = ? AND event = ?"  # noqa: S608 - constants
            " ORDER BY sequence DESC LIMIT 1",
            (session, event),
        ).fetchone()
        return recorded(self._entry(row)) if row else None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, TypeError) as failure:
            raise LedgerBroken(
                f"the ledger `{self.path}` cannot be read: {failure}",
                remedy="check that the file and its folder are yours; a damaged one can be moved aside",
            ) from failure


def recorded(entry: Entry) -> Recorded:
    """An entry with its content decoded."""
    body = None
    if entry.content is not None:
        try:
            body = msgspec.json.decode(entry.content, type=Event).body
        except msgspec.MsgspecError:
            # Of a newer version, or damaged; `verify` tells which, and whoever shows it shows that it is not known.
            body = None
    return Recorded(
        sequence=entry.sequence,
        time_ns=entry.time_ns,
        session=entry.session,
        event=entry.event,
        id=entry.id,
        body=body,
        raw=entry.content,
    )


def line(found: Recorded) -> bytes:
    """An event as one line of JSON, with its place."""
    moment = datetime.fromtimestamp(found.time_ns / 1e9, UTC).isoformat(timespec="microseconds")
    place: dict[str, object] = {"schema": 1, "sequence": found.sequence, "time": moment, "time_ns": found.time_ns}
    place["session"] = found.session
    place |= {"event": found.event, "id": found.id}
    verdict = verdict_of(found.body)
    if verdict is not None:
        place["verdict"] = verdict.value
    host = host_of(found.body)
    if host is not None:
        place["host"] = host
    body = msgspec.Raw(b"null")
    if found.raw is not None:
        body = msgspec.json.decode(found.raw, type=dict[str, msgspec.Raw]).get("body", body)
    return msgspec.json.encode(place | {"body": body})


def _fits(found: Recorded, wanted: Wanted) -> bool:
    if wanted.verdict is not None and verdict_of(found.body) is not wanted.verdict:
        return False
    return wanted.host is None or wanted.host in hosts_of(found.body)


def verdict_of(body: Body | None) -> Verdict | None:
    """The verdict that an event stands for. What asked is on record as its question; the decision is how it ended."""
    match body:
        case DecisionMade():
            return body.decision.verdict
        case ApprovalRequested():
            return Verdict.ASK
        case _:
            return None


def host_of(body: Body | None) -> str | None:
    """The destination that an event is about."""
    if isinstance(body, ConnectionClosed | CredentialUsed):
        return body.host
    if isinstance(body, DecisionMade) and isinstance(body.decision.action, ConnectAction):
        return body.decision.action.host
    return None


def hosts_of(body: Body | None) -> tuple[str, ...]:
    """Every host that an event is about."""
    host = host_of(body)
    led = body.reached if isinstance(body, ConnectionClosed) else ()
    return (*((host,) if host is not None else ()), *(each.rpartition(":")[0] for each in led))


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
