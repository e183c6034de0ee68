"""What every store has to do, on every store there is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import psycopg
import pytest
from tests.approvals.conftest import patiently
from tests.approvals.made import Time, command, counting, decision, opened, vote
from tests.approvals.postgresql import Server

from ringfence.approvals.desk import Desk
from ringfence.approvals.objects import BreakGlass, Scope
from ringfence.approvals.stores.sqlite import SqliteStore
from ringfence.approvals.stores.store import ApprovalsBroken, Store
from ringfence.approvals.transitions import State
from ringfence.model import ids

PUSH = decision(command("git", "push"))
Connect = Callable[[], Store]
Reach = Callable[[str], Store]


def desk_on(store: Store, time: Time, prefix: str = "id") -> Desk:
    return Desk(store, time.time_ns, counting(prefix))


def test_what_is_kept_is_read_again_by_another_connection(connect: Connect) -> None:
    time = Time()
    desk = desk_on(connect(), time)
    request = opened(desk, PUSH)
    cast = desk.cast(vote(request, scope=Scope.REPO))
    assert cast is not None

    other = connect()

    assert other.request(request.id) == msgspec.structs.replace(request, state=State.APPROVED)
    assert tuple(other.votes(request.id)) == (cast.vote,)
    assert tuple(other.grants()) == (cast.grant,)
    assert tuple(other.grants(matcher=request.matcher)) == (cast.grant,)
    assert tuple(other.grants(matcher="another")) == ()
    assert other.grant_of(request.id) == cast.grant
    assert other.vote("vote-1") == cast.vote
    assert other.pending(request.dedupe) is None
    assert tuple(other.unfinished()) == tuple(other.requests()) == (other.request(request.id),)
    assert tuple(other.requests("id-")) == tuple(other.requests())
    assert tuple(other.requests("id_")) == ()


def test_an_exception_inside_a_transaction_undoes_everything(connect: Connect) -> None:
    desk = desk_on(connect(), Time())
    request = opened(desk, PUSH)
    store = connect()

    with pytest.raises(KeyError), store.transaction():
        store.set_state(request.id, State.DENIED)
        store.add_vote(vote(request))
        raise KeyError

    assert store.request(request.id) == request
    assert tuple(store.votes(request.id)) == ()
    with store.transaction():
        store.set_state(request.id, State.DENIED)
    assert connect().request(request.id) == msgspec.structs.replace(request, state=State.DENIED)


def test_of_two_open_requests_for_one_question_the_store_takes_one(connect: Connect) -> None:
    store = connect()
    request = opened(desk_on(store, Time()), PUSH)

    with pytest.raises(ApprovalsBroken), store.transaction():
        store.add_request(msgspec.structs.replace(request, id="id-999"))

    assert len(store.requests()) == 1


def test_requests_are_found_by_whether_they_wait_or_were_approved(connect: Connect) -> None:
    store = connect()
    desk = desk_on(store, Time())
    made = {state: opened(desk, decision(command("git", state.value))).id for state in State}
    with store.transaction():
        for state, request in made.items():
            store.set_state(request, state)

    assert {one.id for one in store.unfinished()} == {
        made[state] for state in (State.PENDING, State.DELEGATED, State.APPROVED)
    }
    approved = [one.id for one in store.approved(9)]
    assert approved == sorted((made[one] for one in (State.APPROVED, State.CONSUMED, State.LAPSED)), reverse=True)
    assert [one.id for one in store.approved(1)] == approved[:1]


def test_the_step_of_a_ladder_is_kept(connect: Connect) -> None:
    store = connect()
    request = opened(desk_on(store, Time()), PUSH)

    with store.transaction():
        store.set_step(request.id, 2)

    assert connect().request(request.id) == msgspec.structs.replace(request, step=2)


def test_a_broken_glass_and_what_became_of_it_are_kept(connect: Connect) -> None:
    store = connect()
    glass = BreakGlass(id="g", who="person:ada", reason="r", workspace="/w", created_ns=1 << 61, expires_ns=1 << 62)
    ended = msgspec.structs.replace(glass, ended_ns=(1 << 61) + 1)

    for one in (glass, ended):
        with store.transaction():
            store.put_break_glass(one)

    assert tuple(connect().broken_glass()) == (ended,)


def test_a_grant_is_used_within_its_time_and_as_often_as_it_says(connect: Connect) -> None:
    time = Time()
    store = connect()
    desk = desk_on(store, time)
    cast = desk.cast(vote(opened(desk, PUSH)), uses=2)
    assert cast is not None and cast.grant is not None
    grant = cast.grant
    moments = [grant.expires_ns, grant.created_ns - 3600 * 10**9, grant.created_ns, grant.expires_ns - 1, time.now_ns]

    def use(now_ns: int) -> bool:
        with store.transaction():
            return store.consume(grant.id, now_ns)

    assert [use(moment) for moment in moments] == [False, False, True, True, False]


def test_a_revoked_grant_is_not_used_and_is_revoked_once(connect: Connect) -> None:
    time = Time()
    store = connect()
    desk = desk_on(store, time)
    cast = desk.cast(vote(opened(desk, PUSH), scope=Scope.REPO))
    assert cast is not None and cast.grant is not None

    with store.transaction():
        assert store.revoke(cast.grant.id, time.now_ns)
        assert not store.revoke(cast.grant.id, time.now_ns)
        assert not store.consume(cast.grant.id, time.now_ns)


@pytest.mark.slow
@pytest.mark.parametrize("address", ["file", "postgresql"], indirect=True)
def test_invariant_4_of_two_hundred_voters_and_consumers_one_goes_ahead(connect: Connect, address: str) -> None:
    time = Time()
    request = opened(desk_on(connect(), time), PUSH)
    start = threading.Barrier(200)

    def act(number: int) -> str:
        store = patiently(address)
        desk = Desk(store, time.time_ns, ids.new_id)
        try:
            start.wait(60)
            if number % 2:
                # Every vote is sent twice by different people's machines: ten ids for a hundred votes.
                cast = desk.cast(vote(request, f"vote-{number % 10}"))
                return "decided" if cast is not None and cast.counted else "changed nothing"
            for _ in range(4):
                if desk.use(request.id) is not None:
                    return "went ahead"
        except ApprovalsBroken:
            return "locked out, which is a deny"
        finally:
            store.close()
        return "did not go ahead"

    with ThreadPoolExecutor(200) as everybody:
        outcomes = list(everybody.map(act, range(200)))
    desk = desk_on(connect(), time, "later")
    outcomes.append("went ahead" if desk.use(request.id) is not None else "did not go ahead")

    assert outcomes.count("decided") == 1
    assert outcomes.count("went ahead") == 1
    (grant,) = desk.grants()
    assert (grant.uses, grant.max_uses) == (1, 1)
    now = desk.request(request.id)
    assert now is not None and now.state is State.CONSUMED


def test_invariant_4_the_same_vote_from_two_places_is_one_vote(connect: Connect) -> None:
    time = Time()
    first, second = desk_on(connect(), time, "a"), desk_on(connect(), time, "b")
    request = opened(first, PUSH)

    one, again = first.cast(vote(request)), second.cast(vote(request))

    assert one is not None and again is not None
    assert (one.counted, again.counted, again.problem) == (True, False, "")
    assert again.grant == one.grant
    assert len(second.votes(request.id)) == 1


def test_one_sqlite_file_is_the_same_whoever_opens_it(tmp_path: Path, reach: Reach) -> None:
    plain, through = str(tmp_path / "approvals.db"), f"sqlite:///{tmp_path / 'approvals.db'}"
    time = Time()
    by_file = reach(plain)
    request = opened(desk_on(by_file, time), PUSH)

    by_sqlalchemy = reach(through)
    desk_on(by_sqlalchemy, time, "b").cast(vote(request))

    assert tuple(by_file.votes(request.id)) == tuple(by_sqlalchemy.votes(request.id)) != ()
    assert by_file.grant_of(request.id) == by_sqlalchemy.grant_of(request.id) is not None


def test_a_database_of_the_first_version_goes_on_being_used(tmp_path: Path) -> None:
    path = str(tmp_path / "approvals.db")
    store = SqliteStore(path)
    database = store._database
    for statement in ("DROP TABLE break_glass", "DROP INDEX request_state"):
        database.execute(statement)
    for table, column in (("request", "step"), ("grants", "created_ns")):
        database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    database.execute("PRAGMA user_version = 1")
    store.close()

    time = Time()
    desk = desk_on(SqliteStore(path), time)
    request = opened(desk, PUSH)
    desk.cast(vote(request))

    assert desk.use(request.id) is not None


@pytest.mark.slow
def test_a_server_that_is_gone_is_a_broken_store_and_comes_back(postgresql: Server, reach: Reach) -> None:
    desk = desk_on(reach(postgresql.database()), Time())
    request = opened(desk, PUSH)
    postgresql.stop(clean=False)
    try:
        with pytest.raises(ApprovalsBroken):
            desk.cast(vote(request))
        with pytest.raises(ApprovalsBroken):
            reach("postgresql://ringfence@/nowhere?host=/nowhere")
    finally:
        postgresql.start()

    cast = desk.cast(vote(request))

    assert cast is not None and cast.counted


def test_a_database_that_takes_no_writes_is_a_broken_store(postgresql: Server, reach: Reach) -> None:
    address = postgresql.database()
    desk = desk_on(reach(address), Time())
    request = opened(desk, PUSH)
    store = reach(address)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("ALTER ROLE ringfence SET default_transaction_read_only = on")
    store.close()
    closed = Desk(store, Time().time_ns, counting("b"))

    with pytest.raises(ApprovalsBroken):
        closed.cast(vote(request))

    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("ALTER ROLE ringfence RESET default_transaction_read_only")
    assert desk.votes(request.id) == ()
