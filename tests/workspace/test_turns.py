"""A turn can be undone by itself, with all that followed; whoever tells of turns cannot push other snapshots out."""

from __future__ import annotations

import pytest
from tests.workspace.scenes import Scene

from ringfence.model.situations import UsageInvalid
from ringfence.session.snapshots import ACTION, TURNS_KEPT
from ringfence.session.turns import PAUSE_SECONDS, Turns
from ringfence.workspace.store import KEPT


def test_a_turn_and_what_followed_it_are_undone(scene: Scene) -> None:
    file = scene.workspace / "a"
    file.write_text("start")
    scene.take("session-1", "start")
    for number in (1, 2, 3):
        scene.turn(number)
        file.write_text(f"turn {number}")
        (scene.workspace / f"made-in-{number}").touch()
    scene.take("session-1", "end")

    done = scene.undo(turn=2)

    assert (file.read_text(), done.restored) == ("turn 1", (b"a", b"made-in-2", b"made-in-3"))
    scene.undo()
    assert file.read_text() == "turn 1", "what was changed since the end is left"


def test_a_turn_of_a_session_that_still_runs_is_undone(scene: Scene) -> None:
    scene.take("session-1", "start")
    scene.turn(1)
    (scene.workspace / "a").write_text("agent")

    scene.undo(turn=1)

    assert not (scene.workspace / "a").exists()


def test_a_turn_that_is_not_kept_is_said_with_those_that_are(scene: Scene) -> None:
    scene.take("session-1", "start")
    scene.turn(1)
    scene.turn(10)

    with pytest.raises(UsageInvalid, match="turn 7 of the session is not kept") as failure:
        scene.undo(turn=7)
    assert failure.value.remedy == "the turns that are kept: 1, 10"


def test_turns_without_end_push_no_other_snapshot_out(scene: Scene) -> None:
    scene.take("before", "start")
    scene.take("session-1", "start")
    for number in range(TURNS_KEPT + 3):
        scene.turn(number)
    scene.take("session-1", "end")

    with scene.snapshots.store() as store:
        moments = [one.moment for one in store.snapshots()]
    assert moments[0] == "end"
    assert moments[-2:] == ["start", "start"]
    assert moments[1:-2] == [f"turn {number}" for number in range(TURNS_KEPT + 2, 2, -1)]


@pytest.mark.slow
def test_actions_without_end_push_no_other_snapshot_out(scene: Scene) -> None:
    scene.take("before", "start")
    scene.take("session-1", "start")
    for number in range(KEPT + 1):
        scene.take("session-1", f"{ACTION}{number}")
    scene.take("session-1", "end")

    with scene.snapshots.store() as store:
        moments = [one.moment for one in store.snapshots()]
    assert moments == ["end", *(f"{ACTION}{number}" for number in range(KEPT, -1, -1)), "start", "start"]


async def test_turns_that_follow_fast_are_counted_and_not_kept(scene: Scene) -> None:
    scene.take("session-1", "start")
    moments = iter((0.0, 0.0, 1.0, 1.0 + PAUSE_SECONDS, 1.0 + PAUSE_SECONDS))
    turns = Turns(scene.turn, now=lambda: next(moments))

    for _ in range(3):
        await turns.began()

    with scene.snapshots.store() as store:
        assert [one.moment for one in store.snapshots("session-1")] == ["turn 3", "turn 1", "start"]
    assert turns.problem is None
