"""The desk: one question, one answer, and grants that can be used as often as they say."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from tests.approvals.made import POLICY, Time, command, connection, counting, decision, desk_at, opened, vote

from ringfence.approvals.desk import Desk
from ringfence.approvals.objects import Scope
from ringfence.approvals.stores.sqlite import SqliteStore
from ringfence.approvals.stores.store import ApprovalsBroken
from ringfence.approvals.transitions import Illegal, State, Trigger
from ringfence.model.decision import Placement, Verdict

PUSH = decision(command("git", "push"))


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "approvals.db")


@pytest.fixture
def desk(path: str, time: Time) -> Desk:
    return desk_at(path, time)


def test_the_same_question_joins_the_one_that_is_open(desk: Desk) -> None:
    first = opened(desk, PUSH)

    assert opened(desk, PUSH).id == first.id
    assert opened(desk, decision(command("git", "push", "-f"))).id != first.id
    assert opened(desk, decision(command("git", "push"), policy="sha256:other")).id != first.id
    assert opened(desk, PUSH, session="session-2").id != first.id


def test_a_question_that_was_answered_is_asked_anew(desk: Desk) -> None:
    first = opened(desk, PUSH)
    desk.cast(vote(first, approve=False))

    assert opened(desk, PUSH).id != first.id


def test_invariant_1_a_request_nobody_answered_is_expired_and_cannot_be_approved(desk: Desk, time: Time) -> None:
    request = opened(desk, PUSH, seconds=60)
    time.pass_seconds(60)

    cast = desk.cast(vote(request))

    assert cast is not None
    assert (cast.counted, cast.grant, cast.request.state) == (False, None, State.EXPIRED)
    assert cast.problem == "a request that is expired cannot take `approve`"
    assert opened(desk, PUSH).id != request.id


def test_invariant_2_a_vote_on_what_was_not_shown_is_no_vote(desk: Desk) -> None:
    request = opened(desk, PUSH)

    cast = desk.cast(msgspec.structs.replace(vote(request), seen="sha256:another prompt"))

    assert cast is not None
    assert (cast.counted, cast.problem) == (False, "what was seen is not what is asked")
    assert desk.votes(request.id) == ()
    now = desk.request(request.id)
    assert now is not None
    assert now.state is State.PENDING


def test_invariant_2_a_request_whose_policy_changed_cannot_be_used(desk: Desk) -> None:
    request = opened(desk, PUSH)
    desk.cast(vote(request))

    assert desk.move(request.id, Trigger.CHANGE) is State.INVALIDATED
    with pytest.raises(ApprovalsBroken, match="a request that is invalidated cannot take `consume`"):
        desk.use(request.id)


def test_invariant_3_a_vote_after_the_answer_is_kept_and_changes_nothing(desk: Desk) -> None:
    request = opened(desk, PUSH)
    desk.cast(vote(request, "vote-1", approve=False))

    late = desk.cast(vote(request, "vote-2", approve=True))

    assert late is not None
    assert (late.counted, late.request.state, late.grant) == (False, State.DENIED, None)
    assert [each.id for each in desk.votes(request.id)] == ["vote-1", "vote-2"]


def test_invariant_4_the_same_vote_twice_is_one_vote(desk: Desk) -> None:
    request = opened(desk, PUSH)

    first, second = desk.cast(vote(request)), desk.cast(vote(request))

    assert first is not None
    assert second is not None
    assert (first.counted, second.counted) == (True, False)
    assert first.grant == second.grant is not None
    assert len(desk.votes(request.id)) == 1


def test_invariant_4_of_many_that_use_an_approval_for_once_exactly_one_succeeds(path: str, time: Time) -> None:
    first = desk_at(path, time)
    request = opened(first, PUSH)
    first.cast(vote(request))

    def use(number: int) -> bool:
        return desk_at(path, time, f"desk{number}").use(request.id) is not None

    with ThreadPoolExecutor(8) as workers:
        used = list(workers.map(use, range(8)))

    assert used.count(True) == 1
    now = first.request(request.id)
    assert now is not None
    assert now.state is State.CONSUMED


@pytest.mark.slow
def test_invariant_5_a_vote_survives_kill_9(path: str, time: Time) -> None:
    request = opened(desk_at(path, time), PUSH)
    root = Path(__file__).parents[2]
    program = f"""
import os, signal
from tests.approvals.made import *
time = Time()
desk = desk_at({path!r}, time, "killed")
desk.cast(vote(desk.request({request.id!r})))
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {"PYTHONPATH": f"{root}:{root / 'src'}"}
    killed = subprocess.run([sys.executable, "-c", program], env=environment, stderr=subprocess.DEVNULL)
    assert killed.returncode == -signal.SIGKILL

    again = desk_at(path, time, "again")
    now = again.request(request.id)
    assert now is not None
    assert now.state is State.APPROVED
    assert again.use(request.id) is not None
    assert again.use(request.id) is None


def test_invariant_5_what_happens_half_way_did_not_happen(path: str, time: Time) -> None:
    class Interrupted(Exception):
        pass

    class Failing(SqliteStore):
        def add_grant(self, grant: object) -> None:
            raise Interrupted

    request = opened(desk_at(path, time), PUSH)
    failing = Desk(Failing(path), time.time_ns, counting("failing"))
    with pytest.raises(Interrupted):
        failing.cast(vote(request))

    desk = desk_at(path, time, "again")
    now = desk.request(request.id)
    assert now is not None
    assert now.state is State.PENDING
    assert desk.votes(request.id) == ()


def test_an_approval_that_is_not_used_lapses(desk: Desk, time: Time) -> None:
    request = opened(desk, PUSH)
    desk.cast(vote(request))
    time.pass_seconds(300)

    assert desk.use(request.id) is None
    now = desk.request(request.id)
    assert now is not None
    assert now.state is State.LAPSED


def test_an_approval_that_lapsed_stays_so_when_the_clock_goes_back(desk: Desk, time: Time) -> None:
    request = opened(desk, PUSH)
    desk.cast(vote(request))
    time.pass_seconds(300)
    desk.sweep()

    time.pass_seconds(-10)

    assert desk.use(request.id) is None
    now = desk.request(request.id)
    assert now is not None
    assert now.state is State.LAPSED


def test_an_approval_for_once_is_not_remembered(desk: Desk) -> None:
    desk.cast(vote(opened(desk, PUSH)))

    assert desk.use_remembered(PUSH, session="session-1", workspace="/w") is None


@pytest.mark.parametrize(
    ("scope", "session", "workspace", "found"),
    [
        (Scope.SESSION, "session-1", "/w", True),
        (Scope.SESSION, "session-2", "/w", False),
        (Scope.REPO, "session-2", "/w", True),
        (Scope.REPO, "session-1", "/other", False),
    ],
)
def test_a_remembered_answer_holds_where_it_was_given(
    desk: Desk, scope: Scope, session: str, workspace: str, found: bool
) -> None:
    desk.cast(vote(opened(desk, PUSH), scope=scope))

    grant = desk.use_remembered(PUSH, session=session, workspace=workspace)

    assert (grant is not None) is found


@pytest.mark.parametrize(
    "other",
    [
        decision(command("git", "push", "-f")),
        decision(command("git", "push", cwd="/elsewhere")),
        decision(command("git", "push"), Verdict.ASK, "rule", "a rule that was added later"),
        msgspec.structs.replace(PUSH, placement=Placement.OUTSIDE),
        decision(command("git", "push"), policy="sha256:changed"),
        msgspec.structs.replace(PUSH, reasons=()),
    ],
    ids=["arguments", "folder", "another rule", "outside", "policy", "no rule at all"],
)
def test_a_remembered_answer_is_no_answer_to_another_question(desk: Desk, other: object) -> None:
    desk.cast(vote(opened(desk, PUSH), scope=Scope.SESSION))

    assert isinstance(other, type(PUSH))
    assert desk.use_remembered(other, session="session-1", workspace="/w") is None


def test_a_remembered_destination_holds_for_other_requests_to_it_as_far_as_the_same_rules_ask(desk: Desk) -> None:
    asked = decision(connection("api.github.com"))
    desk.cast(vote(opened(desk, asked), scope=Scope.SESSION))
    action = msgspec.structs.replace(connection("api.github.com"), method="GET", path="/x")

    here = {"session": "session-1", "workspace": "/w"}
    assert desk.use_remembered(decision(action), **here) is not None
    assert desk.use_remembered(decision(action, Verdict.ASK, "posting asks"), **here) is None
    assert desk.use_remembered(decision(connection("api.github.com", 22)), **here) is None


def test_a_grant_for_a_repository_ends_after_thirty_days(desk: Desk, time: Time) -> None:
    desk.cast(vote(opened(desk, PUSH), scope=Scope.REPO))
    time.pass_seconds(30 * 24 * 3600 - 1)
    assert desk.use_remembered(PUSH, session="later", workspace="/w") is not None

    time.pass_seconds(1)

    assert desk.use_remembered(PUSH, session="later", workspace="/w") is None
    assert desk.grants()[0].state(time.time_ns()) == "expired"


def test_nobody_can_ask_for_longer_than_thirty_days(desk: Desk, time: Time) -> None:
    asked = msgspec.structs.replace(vote(opened(desk, PUSH), scope=Scope.REPO), seconds=10**9)

    cast = desk.cast(asked)

    assert cast is not None
    assert cast.grant is not None
    assert cast.grant.expires_ns - time.time_ns() == 30 * 24 * 3600 * 10**9


def test_a_revoked_grant_cannot_be_used(desk: Desk) -> None:
    request = opened(desk, PUSH)
    cast = desk.cast(vote(request, scope=Scope.SESSION))
    assert cast is not None
    assert cast.grant is not None

    assert desk.revoke(cast.grant.id)

    assert desk.use(request.id) is None
    assert desk.use_remembered(PUSH, session="session-1", workspace="/w") is None
    assert not desk.revoke(cast.grant.id)
    now = desk.request(request.id)
    assert now is not None
    assert now.state is State.REVOKED


def test_a_request_that_does_not_exist_is_none(desk: Desk) -> None:
    stray = msgspec.structs.replace(vote(opened(desk, PUSH)), request="nothing")

    assert desk.cast(stray) is None
    assert desk.request("nothing") is None
    assert desk.move("nothing", Trigger.CANCEL) is None
    assert desk.use("nothing") is None


def test_an_illegal_move_changes_nothing(desk: Desk) -> None:
    request = opened(desk, PUSH)

    assert desk.move(request.id, Trigger.CONSUME) == Illegal(state=State.PENDING, trigger=Trigger.CONSUME)
    now = desk.request(request.id)
    assert now is not None
    assert now.state is State.PENDING


def test_the_file_is_its_owners_alone(desk: Desk, path: str) -> None:
    opened(desk, PUSH)

    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(f"{path}-wal").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700


def test_a_store_of_a_newer_version_is_not_touched(desk: Desk, path: str, time: Time) -> None:
    opened(desk, PUSH)
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.close()

    with pytest.raises(ApprovalsBroken, match="a newer version"):
        desk_at(path, time)


def test_a_store_that_is_no_database_is_a_situation(path: str, time: Time) -> None:
    Path(path).parent.mkdir()
    Path(path).write_text("something else" * 100)

    with pytest.raises(ApprovalsBroken, match="cannot be opened"):
        desk_at(path, time)


def test_the_policy_is_part_of_the_question() -> None:
    assert PUSH.policy == POLICY


def test_revoking_what_lapsed_leaves_it_lapsed() -> None:
    time = Time()
    desk = desk_at(":memory:", time)
    request = opened(desk, PUSH)
    desk.cast(vote(request))
    time.pass_seconds(300)

    for grant in desk.grants():
        desk.revoke(grant.id)

    found = desk.request(request.id)
    assert found is not None
    assert found.state is State.LAPSED
