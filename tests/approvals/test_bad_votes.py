"""Votes that are forged, replayed or late, clocks that jump, stores that are locked or full: nothing comes of it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import msgspec
import pytest
from tests.approvals.made import SITE, Memory, Says, Time, answer, command, counting, decision, desk_at, opened, vote

from ringfence.approvals.desk import Desk
from ringfence.approvals.gate import Gate
from ringfence.approvals.objects import Scope
from ringfence.approvals.stores.sqlite import SqliteStore
from ringfence.approvals.stores.store import ApprovalsBroken
from ringfence.approvals.transitions import State
from ringfence.model.decision import Verdict

PUSH = decision(command("git", "push"))


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "approvals.db")


@pytest.fixture
def desk(path: str, time: Time) -> Desk:
    return desk_at(path, time)


def state(desk: Desk, request: str) -> State:
    found = desk.request(request)
    assert found is not None
    return found.state


def test_a_vote_id_that_comes_again_with_another_answer_is_no_vote(desk: Desk) -> None:
    request = opened(desk, PUSH)
    no = vote(request, approve=False)
    desk.cast(no)
    second = opened(desk, decision(command("git", "push", "-f")))

    turned = desk.cast(msgspec.structs.replace(no, approve=True))
    moved = desk.cast(msgspec.structs.replace(no, request=second.id, seen=second.shown, approve=True))

    assert turned is not None and moved is not None
    assert turned.problem == moved.problem == "this vote was cast before, and said something else"
    assert (state(desk, request.id), state(desk, second.id)) == (State.DENIED, State.PENDING)


def test_a_vote_of_another_question_does_not_count_for_this_one(desk: Desk) -> None:
    desk.open(PUSH, session="s", workspace="/w", channel="t", prompt=("another question",), seconds=60)
    request = opened(desk, decision(command("rm", "-r", "x")))

    cast = desk.cast(msgspec.structs.replace(vote(request), seen="sha256:of-another"))

    assert cast is not None and cast.problem == "what was seen is not what is asked"
    assert desk.votes(request.id) == ()


def test_what_a_vote_claims_of_its_time_and_place_is_written_anew(desk: Desk, time: Time) -> None:
    request = opened(desk, PUSH)
    forged = msgspec.structs.replace(vote(request), at_ms=1, previous="sha256:x", key="k", signature="s")

    cast = desk.cast(forged)

    assert cast is not None and cast.vote is not None
    assert (cast.vote.at_ms, cast.vote.previous) == (time.now_ns // 1_000_000, request.binding)


@pytest.mark.parametrize("jump", [60, 3600, -6, -3600])
def test_a_vote_after_the_deadline_or_before_the_question_is_late(desk: Desk, time: Time, jump: int) -> None:
    request = opened(desk, PUSH, seconds=60)
    time.pass_seconds(jump)

    cast = desk.cast(vote(request))
    time.pass_seconds(-jump)

    assert cast is not None and cast.problem == "a request that is expired cannot take `approve`"
    # The clock is right again, and it stays expired: the first one who looked has written it down.
    assert state(desk, request.id) is State.EXPIRED
    assert desk.grants() == ()


@pytest.mark.parametrize("jump", [ONCE := 300, -6, -3600])
def test_an_approval_is_not_used_after_its_time_or_before_it_was_given(desk: Desk, time: Time, jump: int) -> None:
    request = opened(desk, PUSH, seconds=600)
    desk.cast(vote(request))

    time.pass_seconds(jump)

    assert desk.use(request.id) is None
    assert state(desk, request.id) is State.LAPSED


def test_a_sweep_writes_down_what_is_over_once(desk: Desk, time: Time) -> None:
    waiting, approved = opened(desk, PUSH, seconds=60), opened(desk, decision(command("ls")), seconds=60)
    desk.cast(vote(approved))
    fresh = opened(desk, decision(command("id")), seconds=6000)
    time.pass_seconds(301)

    moved = desk.sweep()

    assert {(one.request.id, one.after) for one in moved} == {
        (waiting.id, State.EXPIRED),
        (approved.id, State.LAPSED),
    }
    assert desk.sweep() == ()
    assert state(desk, fresh.id) is State.PENDING


@pytest.mark.slow
def test_a_store_that_somebody_else_holds_is_a_deny_in_time(desk: Desk, path: str) -> None:
    request = opened(desk, PUSH)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")

    with pytest.raises(ApprovalsBroken, match="locked"):
        desk.cast(vote(request))
    holder.execute("ROLLBACK")
    holder.close()

    cast = desk.cast(vote(request))
    assert cast is not None and cast.counted


def test_a_store_that_is_full_is_a_deny_and_loses_nothing(path: str, time: Time) -> None:
    store = SqliteStore(path)
    desk = Desk(store, time.time_ns, counting())
    request = opened(desk, PUSH)
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(ApprovalsBroken, match="full"):
        desk.cast(msgspec.structs.replace(vote(request, scope=Scope.REPO), reason="r" * 100_000))
    store._database.execute("PRAGMA max_page_count = 1000000")

    assert (state(desk, request.id), desk.votes(request.id), desk.grants()) == (State.PENDING, (), ())
    cast = desk.cast(vote(request))
    assert cast is not None and cast.counted


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_file_that_is_no_store_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "approvals.db"
    path.write_bytes(content)
    if not content:
        SqliteStore(str(path)).close()
        return

    with pytest.raises(ApprovalsBroken, match="cannot be opened") as broken:
        SqliteStore(str(path))

    assert "move the file aside" in broken.value.remedy


@pytest.mark.skipif(os.getuid() == 0, reason="root reads every file")
def test_a_store_that_may_not_be_read_is_named(path: str) -> None:
    SqliteStore(path).close()
    os.chmod(path, 0)

    with pytest.raises(ApprovalsBroken, match="cannot be opened"):
        SqliteStore(path)


async def test_two_who_answer_at_once_are_one_answer_and_one_that_came_late(path: str, time: Time) -> None:
    desk = desk_at(path, time)
    other = desk_at(path, time, "other")

    def both(request: object) -> object:
        found = desk.requests()[0]
        other.cast(vote(found, "elsewhere", approve=False))
        return answer(found, approve=True)

    recorder = Memory()
    gate = Gate(
        evaluate=decision,
        desk=desk,
        channel=Says(both),  # type: ignore[arg-type]
        recorder=recorder,
        clock=time,
        site=SITE,
    )
    async with gate:
        final = await gate.decide(command("git", "push"), asked_by="exec")

    assert (final.verdict, final.resolved_by) == (Verdict.DENY, "person")
    assert recorder.names().count("approval.transition denied") == 1
    assert desk.grants() == ()
