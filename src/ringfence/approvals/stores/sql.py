"""Approvals through SQLAlchemy Core: in a PostgreSQL database that several machines share, or in SQLite.

Nobody else writes while a transaction lasts: an advisory lock in PostgreSQL, the database's own in SQLite. A use of a
grant is taken by one conditional update, which the row's lock serialises whatever else happens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from ringfence.approvals.objects import CLOCK_SLACK_NS, BreakGlass, Grant, Request, Vote
from ringfence.approvals.stores.store import ApprovalsBroken, broken
from ringfence.approvals.transitions import State

SCHEMA = 2
LOCK_SECONDS = 2
"""How long to wait for another process. A question that cannot be put on record in this time is denied."""
_LOCK = 0x72696E6766656E63
"""The number of the advisory lock."""

_METADATA = sa.MetaData()
_SCHEMA = sa.Table("approvals_schema", _METADATA, sa.Column("version", sa.Integer, nullable=False))
_REQUESTS = sa.Table(
    "request",
    _METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("dedupe", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("step", sa.Integer, nullable=False, server_default="0"),
)
sa.Index(
    "request_open",
    _REQUESTS.c.dedupe,
    unique=True,
    sqlite_where=sa.text("state = 'pending'"),
    postgresql_where=sa.text("state = 'pending'"),
)
_VOTES = sa.Table(
    "vote",
    _METADATA,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("request", sa.Text, nullable=False, index=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
_GRANTS = sa.Table(
    "grants",
    _METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("request", sa.Text, nullable=False, unique=True),
    sa.Column("matcher", sa.Text, nullable=False, index=True),
    sa.Column("expires_ns", sa.BigInteger, nullable=False),
    sa.Column("max_uses", sa.Integer),
    sa.Column("uses", sa.Integer, nullable=False),
    sa.Column("revoked_ns", sa.BigInteger),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("created_ns", sa.BigInteger, nullable=False, server_default="0"),
)
_GLASS = sa.Table(
    "break_glass",
    _METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
_REQUEST = sa.select(_REQUESTS.c.body, _REQUESTS.c.state, _REQUESTS.c.step)
_GRANT = sa.select(_GRANTS.c.body, _GRANTS.c.uses, _GRANTS.c.revoked_ns)


class SqlStore:
    """The store that several machines share (`ringfence.approvals.stores.store.Store`)."""

    def __init__(self, address: str) -> None:
        """`address`: `postgresql://...`, as libpq writes it, or SQLAlchemy's `sqlite:///FILE`."""
        self._is_sqlite = address.startswith("sqlite:")
        # Looking is a question over the network here.
        self.look_seconds = 0.01 if self._is_sqlite else 0.1
        self._connection: sa.Connection | None = None
        try:
            self._engine = self._connect(address)
            self._prepare()
        except (SQLAlchemyError, ImportError, ValueError) as failure:
            raise ApprovalsBroken(
                f"the shared approvals cannot be opened: {_why(failure)}",
                remedy="see whether the database runs, and whether `RINGFENCE_APPROVALS` is its address",
            ) from failure

    def _connect(self, address: str) -> sa.Engine:
        if self._is_sqlite:
            engine = sa.create_engine(
                address,
                connect_args={"timeout": LOCK_SECONDS},
                isolation_level="AUTOCOMMIT",
            )
            sa.event.listen(engine, "connect", _settle_sqlite)
            return engine
        url = sa.make_url(address).set(drivername="postgresql+psycopg")
        options = f"-c lock_timeout={LOCK_SECONDS * 1000} -c statement_timeout={LOCK_SECONDS * 1000}"
        arguments = {"connect_timeout": LOCK_SECONDS, "options": options, "application_name": "ringfence"}
        # A connection that the server has dropped is noticed before it is used.
        return sa.create_engine(url, connect_args=arguments, pool_pre_ping=True, isolation_level="AUTOCOMMIT")

    def _prepare(self) -> None:
        # Most of the time it is all there, and nobody has to wait for a writer.
        if not sa.inspect(self._engine).has_table(_SCHEMA.name):
            with self.transaction():
                _METADATA.create_all(self._open())
                if not self._versions():
                    self._change(_SCHEMA.insert().values(version=SCHEMA))
        version = self._versions()[0]
        if version != SCHEMA:
            raise ValueError(f"they were written by another version (schema {version})")

    def _versions(self) -> list[object]:
        return [row[0] for row in self._rows(sa.select(_SCHEMA.c.version))]

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def others_wrote(self) -> int | None:
        """Only reading can tell."""
        return None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Nobody else writes until it ends; an exception inside undoes everything."""
        with _errors(), self._engine.connect() as connection:
            # Begun and ended by us: what stands between is one transaction of the database, whichever it is.
            connection.exec_driver_sql("BEGIN IMMEDIATE" if self._is_sqlite else "BEGIN")
            self._connection = connection
            try:
                if not self._is_sqlite:
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
                yield
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                self._roll_back(connection)
                raise
            finally:
                self._connection = None

    def _roll_back(self, connection: sa.Connection) -> None:
        try:
            connection.exec_driver_sql("ROLLBACK")
        except SQLAlchemyError:
            # A connection that is gone has rolled back; it must not go back to the others.
            connection.invalidate()

    def request(self, request_id: str) -> Request | None:
        """A request by its id."""
        return self._one_request(_REQUESTS.c.id == request_id)

    def pending(self, dedupe: str) -> Request | None:
        """The open request for the same question."""
        return self._one_request(sa.and_(_REQUESTS.c.dedupe == dedupe, _REQUESTS.c.state == State.PENDING.value))

    def requests(self, prefix: str = "") -> Sequence[Request]:
        """Requests whose id begins so, newest first."""
        begins = sa.func.substr(_REQUESTS.c.id, 1, len(prefix)) == prefix
        return tuple(map(_request, self._rows(_REQUEST.where(begins).order_by(_REQUESTS.c.id.desc()))))

    def approved(self, most: int) -> Sequence[Request]:
        """The newest requests that were approved, used or not, newest first."""
        states = _REQUESTS.c.state.in_((State.APPROVED.value, State.CONSUMED.value, State.LAPSED.value))
        return tuple(map(_request, self._rows(_REQUEST.where(states).order_by(_REQUESTS.c.id.desc()).limit(most))))

    def unfinished(self) -> Sequence[Request]:
        """Requests that are pending, delegated or approved, oldest first."""
        states = _REQUESTS.c.state.in_((State.PENDING.value, State.DELEGATED.value, State.APPROVED.value))
        return tuple(map(_request, self._rows(_REQUEST.where(states).order_by(_REQUESTS.c.id))))

    def add_request(self, request: Request) -> None:
        """Keep a new request."""
        self._change(
            _REQUESTS.insert().values(
                id=request.id,
                dedupe=request.dedupe,
                state=request.state.value,
                body=msgspec.json.encode(request),
                step=request.step,
            )
        )

    def set_state(self, request_id: str, state: State) -> None:
        """Change the state of a request."""
        self._change(_REQUESTS.update().where(_REQUESTS.c.id == request_id).values(state=state.value))

    def set_step(self, request_id: str, step: int) -> None:
        """Hand a request to a step of the ladder."""
        self._change(_REQUESTS.update().where(_REQUESTS.c.id == request_id).values(step=step))

    def vote(self, vote_id: str) -> Vote | None:
        """A vote by its id."""
        found = self._rows(sa.select(_VOTES.c.body).where(_VOTES.c.id == vote_id))
        return msgspec.json.decode(_body(found[0]), type=Vote) if found else None

    def votes(self, request_id: str) -> Sequence[Vote]:
        """The votes on a request, in the order they were cast."""
        rows = self._rows(sa.select(_VOTES.c.body).where(_VOTES.c.request == request_id).order_by(_VOTES.c.number))
        return tuple(msgspec.json.decode(_body(row), type=Vote) for row in rows)

    def add_vote(self, vote: Vote) -> None:
        """Keep a vote."""
        self._change(_VOTES.insert().values(id=vote.id, request=vote.request, body=msgspec.json.encode(vote)))

    def add_grant(self, grant: Grant) -> None:
        """Keep a new grant."""
        self._change(
            _GRANTS.insert().values(
                id=grant.id,
                request=grant.request,
                matcher=grant.matcher,
                expires_ns=grant.expires_ns,
                max_uses=grant.max_uses,
                uses=grant.uses,
                revoked_ns=grant.revoked_ns,
                body=msgspec.json.encode(grant),
                created_ns=grant.created_ns,
            )
        )

    def grant_of(self, request_id: str) -> Grant | None:
        """The grant that a request made."""
        found = self._rows(_GRANT.where(_GRANTS.c.request == request_id))
        return _grant(found[0]) if found else None

    def grants(self, matcher: str | None = None, prefix: str = "") -> Sequence[Grant]:
        """Grants, newest first; by matcher, or by the beginning of their id."""
        wanted = _GRANT.where(sa.func.substr(_GRANTS.c.id, 1, len(prefix)) == prefix)
        if matcher is not None:
            wanted = wanted.where(_GRANTS.c.matcher == matcher)
        return tuple(map(_grant, self._rows(wanted.order_by(_GRANTS.c.id.desc()))))

    def consume(self, grant_id: str, now_ns: int) -> bool:
        """Take one use, if there is one left and it is neither expired nor revoked: exactly one caller succeeds."""
        table = _GRANTS.c
        holds = sa.and_(
            table.id == grant_id,
            table.revoked_ns.is_(None),
            table.expires_ns > now_ns,
            table.created_ns <= now_ns + CLOCK_SLACK_NS,
            sa.or_(table.max_uses.is_(None), table.uses < table.max_uses),
        )
        return self._change(_GRANTS.update().where(holds).values(uses=table.uses + 1)) == 1

    def revoke(self, grant_id: str, now_ns: int) -> bool:
        """Revoke a grant that is not revoked yet."""
        holds = sa.and_(_GRANTS.c.id == grant_id, _GRANTS.c.revoked_ns.is_(None))
        return self._change(_GRANTS.update().where(holds).values(revoked_ns=now_ns)) == 1

    def put_break_glass(self, glass: BreakGlass) -> None:
        """Keep a broken glass, or what became of one."""
        body = msgspec.json.encode(glass)
        insert = sqlite.insert(_GLASS) if self._is_sqlite else postgresql.insert(_GLASS)
        kept = insert.values(id=glass.id, body=body)
        self._change(kept.on_conflict_do_update(index_elements=["id"], set_={"body": body}))

    def broken_glass(self) -> Sequence[BreakGlass]:
        """Every broken glass, newest first."""
        rows = self._rows(sa.select(_GLASS.c.body).order_by(_GLASS.c.id.desc()))
        return tuple(msgspec.json.decode(_body(row), type=BreakGlass) for row in rows)

    def _one_request(self, where: sa.ColumnElement[bool]) -> Request | None:
        found = self._rows(_REQUEST.where(where))
        return _request(found[0]) if found else None

    def _rows(self, statement: sa.Select[*tuple[object, ...]]) -> Sequence[tuple[object, ...]]:
        with _errors():
            if self._connection is not None:
                return [tuple(row) for row in self._connection.execute(statement)]
            with self._engine.connect() as connection:
                return [tuple(row) for row in connection.execute(statement)]

    def _change(self, statement: sa.UpdateBase) -> int:
        """Change something; how many rows it was."""
        with _errors():
            return self._open().execute(statement).rowcount

    def _open(self) -> sa.Connection:
        if self._connection is None:
            raise ValueError("what is changed is changed inside a transaction")
        return self._connection


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as failure:
        raise broken(
            _why(failure), remedy="see whether the database that `RINGFENCE_APPROVALS` names runs and can be reached"
        ) from failure


def _why(failure: Exception) -> str:
    """The database's own words, without the statement and without an address that may hold a password."""
    cause = getattr(failure, "orig", None) or failure
    return str(cause).strip().partition("\n")[0] or type(cause).__name__


def _settle_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _body(row: tuple[object, ...]) -> bytes:
    assert isinstance(row[0], bytes)
    return row[0]


def _request(row: tuple[object, ...]) -> Request:
    _, state, step = row
    assert isinstance(state, str) and isinstance(step, int)
    return msgspec.structs.replace(msgspec.json.decode(_body(row), type=Request), state=State(state), step=step)


def _grant(row: tuple[object, ...]) -> Grant:
    _, uses, revoked = row
    assert isinstance(uses, int)
    assert revoked is None or isinstance(revoked, int)
    return msgspec.structs.replace(msgspec.json.decode(_body(row), type=Grant), uses=uses, revoked_ns=revoked)
