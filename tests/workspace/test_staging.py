"""What a staged session wrote: read from its layer, applied through the gate, undone; nothing outside is touched."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path

import pytest
from tests.workspace.scenes import Scene

from ringfence.model.situations import RingfenceError, UsageInvalid
from ringfence.policy.control_files import CONTROL_FILES
from ringfence.sandbox import survey_unshared
from ringfence.session import staging
from ringfence.session.applying import Applied, Applying
from ringfence.session.staging import Pending, Staging, find
from ringfence.workspace.entries import MAX_DEPTH


class Stage:
    """A staged session whose layer a test fills by hand, as the kernel would."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        scene.take("session-1", "start")
        self.staging = Staging(scene.snapshots, "session-1")
        self.upper = Path(self.staging.upper)
        self.upper.mkdir(parents=True)
        self.applying = Applying(scene.snapshots, self.staging, CONTROL_FILES)
        numbers = count(100)
        self.new: Callable[[], str] = lambda: f"id{next(numbers)}"

    def whiteout(self, path: str) -> None:
        (self.upper / path).parent.mkdir(parents=True, exist_ok=True)
        os.mknod(self.upper / path, 0o20000, os.makedev(0, 0))

    def write(self, path: str, content: bytes = b"new\n", mode: int = 0o644) -> None:
        file = self.upper / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(mode)

    def pending(self) -> Pending:
        return self.staging.pending(id=self.new(), now_ns=4_100_000_000_000_000_000)

    def apply(self, *, flagged: bool = False, force: bool = False, only: Iterable[bytes] = ()) -> Applied:
        pending, wanted = self.pending(), set(only)
        chosen = [
            one.change
            for one in self.applying.judged(pending)
            if one.refused is None and (flagged or not one.flags) and (not wanted or one.change.path in wanted)
        ]
        return self.applying.apply(pending, chosen, force=force, new_id=self.new, now_ns=4_200_000_000_000_000_000)

    def paths(self) -> list[bytes]:
        return [one.path for one in self.pending().changes]


def test_what_was_written_deleted_and_replaced_is_applied_and_undone_to_the_byte(scene: Scene) -> None:
    for path in ("kept", "gone", "folder/inside", "replaced/old", "becomes-folder"):
        (scene.workspace / path).parent.mkdir(exist_ok=True)
        (scene.workspace / path).write_text("before\n")
    (scene.workspace / "empty").mkdir()
    before = scene.tree()
    stage = Stage(scene)
    stage.write("kept", b"after\n", 0o600)
    stage.whiteout("gone")
    stage.whiteout("folder")
    stage.write("replaced/new")
    os.setxattr(stage.upper / "replaced", "user.overlay.opaque", b"y")
    stage.write("becomes-folder/x")
    os.setxattr(stage.upper / "becomes-folder", "user.overlay.opaque", b"y")
    (stage.upper / "made").mkdir()
    os.symlink("kept", stage.upper / "link")

    assert scene.tree() == before
    done = stage.apply(flagged=True)

    assert (done.changed_since, done.failed) == ((), ())
    assert {path: (kind, content) for path, (kind, _, content) in scene.tree().items()} == {
        "kept": ("file", b"after\n"),
        "replaced": ("folder", b""),
        "replaced/new": ("file", b"new\n"),
        "becomes-folder": ("folder", b""),
        "becomes-folder/x": ("file", b"new\n"),
        "empty": ("folder", b""),
        "made": ("folder", b""),
        "link": ("link", b"kept"),
    }
    assert stage.paths() == []
    scene.undo()
    assert scene.tree() == before
    assert b"kept" in stage.paths(), "what was undone is pending again"


def test_what_somebody_changed_since_is_left_as_it_is(scene: Scene) -> None:
    (scene.workspace / "mine").write_text("before")
    stage = Stage(scene)
    stage.write("mine", b"session")
    stage.write("new", b"session")
    (scene.workspace / "mine").write_text("person")
    (scene.workspace / "new").write_text("person")

    done = stage.apply()

    assert (done.applied, done.changed_since) == ((), (b"mine", b"new"))
    assert (scene.workspace / "mine").read_text() == "person"
    stage.apply(force=True)
    assert (scene.workspace / "mine").read_text() == "session"
    scene.undo(done.way_back)


@pytest.mark.slow
def test_a_hostile_layer_changes_nothing_outside(scene: Scene) -> None:
    """Each of these, copied plainly (`cp -a`), would write outside or lend rights."""
    (scene.workspace / "folder").mkdir()
    (scene.workspace / "folder" / "secret").write_text("mine")
    world = scene.world()
    stage = Stage(scene)
    os.symlink(scene.outside, stage.upper / "folder")
    os.symlink("../../outside/secret", stage.upper / "up")
    os.mkfifo(stage.upper / "pipe")
    stage.write("lent", b"x", 0o6755)
    os.mkdir(stage.upper / "loop")
    os.symlink("../loop", stage.upper / "loop" / "again")
    deep = os.open(stage.upper, os.O_RDONLY)
    for _ in range(MAX_DEPTH + 5):
        os.mkdir("d", dir_fd=deep)
        inner = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = inner
    os.close(deep)
    with open(os.path.join(os.fsencode(stage.upper), b"line\nbreak\xff"), "wb") as stream:
        stream.write(b"odd")
    os.link(stage.upper / "lent", stage.upper / "second-name")

    pending = stage.pending()
    refused = {one.change.path for one in stage.applying.judged(pending) if one.refused is not None}
    done = stage.apply(flagged=True)

    assert {b"folder", b"up"} <= refused
    assert {path for path, _ in pending.after.left_out} >= {b"pipe", b"lent", b"second-name"}
    assert scene.world() == world
    assert (scene.workspace / "lent").stat().st_mode & 0o7777 == 0o755
    assert not (scene.workspace / "folder").is_symlink()
    assert not (scene.workspace / "pipe").exists()
    assert done.failed == ()


def test_a_folder_that_is_swapped_for_a_link_before_the_apply_leads_nowhere(scene: Scene) -> None:
    (scene.workspace / "folder").mkdir()
    stage = Stage(scene)
    stage.write("folder/secret", b"evil")
    (scene.workspace / "folder").rmdir()
    (scene.workspace / "folder").symlink_to(scene.outside)
    world = scene.world()

    done = stage.apply(force=True)

    assert scene.world() == world
    assert b"folder/secret" in dict(done.failed)


def test_what_git_ignores_stays_in_the_layer_going_by_the_sessions_own_rules(scene: Scene) -> None:
    scene.git("init", "-q")
    (scene.workspace / ".gitignore").write_text("build/\n")
    stage = Stage(scene)
    stage.write("build/out")
    stage.write("web/.gitignore", b"node_modules/\n*.log\n!keep.log\n")
    stage.write("web/node_modules/a/b.js")
    stage.write("web/x.log")
    stage.write("web/keep.log")
    stage.write("web/.env")

    assert [path for path in stage.paths() if not path.startswith(b".git/")] == [
        b"web", b"web/.env", b"web/.gitignore", b"web/keep.log",
    ]  # fmt: skip
    assert stage.pending().after.left_out[0][1].startswith("6 paths that Git ignores")


def test_a_commit_is_applied_with_its_objects_and_without_hooks_or_settings_that_run(scene: Scene) -> None:
    scene.git("init", "-q")
    (scene.workspace / "a").write_text("one\n")
    scene.git("add", "-A")
    scene.git("commit", "-qm", "one")
    before = scene.git("rev-parse", "HEAD")
    stage = Stage(scene)
    subprocess.run(("cp", "-a", f"{scene.workspace}/.", str(stage.upper)), check=True)
    witness = Scene.__new__(Scene)
    witness.root, witness.workspace = scene.root, stage.upper
    (stage.upper / "a").write_text("two\n")
    witness.git("commit", "-qam", "two")
    witness.git("remote", "add", "far", "https://f.example/x")
    witness.git("config", "core.fsmonitor", "evil")
    stage.write(".git/hooks/pre-commit", b"#!/bin/sh\nevil\n", 0o755)
    stage.write(".git/objects/ab/evil")
    (stage.upper / ".git" / "objects" / "info" / "alternates").write_text("/evil\n")

    done = stage.apply(flagged=True)

    assert scene.git("log", "--format=%s").splitlines() == ["two", "one"]
    assert (scene.git("status", "--short"), scene.git("fsck", "--strict")) == ("", "")
    assert scene.git("remote", "-v").startswith("far\thttps://f.example/x")
    assert "fsmonitor" not in (scene.workspace / ".git" / "config").read_text()
    assert [(path, key) for path, key, _ in done.settings] == [(b".git/config", "core.fsmonitor")]
    assert not (scene.workspace / ".git" / "hooks" / "pre-commit").exists()
    assert not (scene.workspace / ".git" / "objects" / "info" / "alternates").exists()
    scene.undo()
    assert scene.git("rev-parse", "HEAD") == before
    assert scene.git("remote") == ""


def test_an_object_that_is_there_is_never_replaced(scene: Scene) -> None:
    scene.git("init", "-q")
    (scene.workspace / "a").write_text("one\n")
    scene.git("add", "-A")
    scene.git("commit", "-qm", "one")
    stage = Stage(scene)
    name = scene.git("rev-parse", "HEAD").strip()
    stage.write(f".git/objects/{name[:2]}/{name[2:]}", b"evil")
    stage.write("b")
    stage.write(".git/refs/heads/topic", name.encode() + b"\n")

    stage.apply()

    assert scene.git("fsck", "--strict") == ""
    assert scene.git("rev-parse", "topic").strip() == name


def test_nothing_is_applied_while_git_is_at_work(scene: Scene) -> None:
    scene.git("init", "-q")
    (scene.workspace / "a").write_text("a")
    scene.git("add", "-A")
    stage = Stage(scene)
    stage.write(".git/index", b"DIRC" + bytes(60))
    (scene.workspace / ".git" / "index.lock").touch()

    with pytest.raises(RingfenceError, match="Git is at work"):
        stage.apply()


def test_a_session_that_runs_is_neither_applied_nor_discarded(scene: Scene) -> None:
    stage = Stage(scene)

    with stage.staging.held(), pytest.raises(UsageInvalid, match="still running"):
        Staging(scene.snapshots, "session-1").discard(id="x")


def test_what_is_discarded_is_gone_and_an_undo_then_touches_nothing(scene: Scene) -> None:
    (scene.workspace / "a").write_text("before")
    stage = Stage(scene)
    stage.write("a", b"session")
    (stage.upper / "closed").mkdir(mode=0o000)
    stage.pending()

    stage.staging.discard(id="discarded")
    (scene.workspace / "a").write_text("person")

    assert not Path(stage.staging.folder).exists()
    assert find((scene.snapshots,), "session-1") == ()
    assert scene.undo().restored == ()
    assert (scene.workspace / "a").read_text() == "person"


def test_a_staged_session_of_which_nothing_was_applied_has_nothing_to_undo(scene: Scene) -> None:
    (scene.workspace / "a").write_text("before")
    stage = Stage(scene)
    stage.write("a", b"session")
    (scene.workspace / "a").write_text("person")

    with pytest.raises(UsageInvalid, match="nothing of this staged session was applied"):
        scene.undo()
    assert stage.paths() == [b"a"]


def test_what_was_applied_in_part_stays_pending_for_the_rest(scene: Scene) -> None:
    stage = Stage(scene)
    stage.write("a")
    stage.write("b")

    stage.apply(only=[b"a"])

    assert stage.paths() == [b"b"]


def test_a_turn_is_taken_out_of_what_is_pending_and_brought_back(scene: Scene) -> None:
    (scene.workspace / "a").write_text("start")
    stage = Stage(scene)
    for number in (1, 2):
        stage.staging.turn(id=stage.new(), number=number, now_ns=4_050_000_000_000_000_000 + number)
        stage.write("a", b"turn %d" % number)
        stage.write(f"made-in-{number}")
    pending = stage.pending()

    assert [one.path for one in stage.staging.since(pending, 2)] == [b"a", b"made-in-2"]
    back = stage.staging.back_to(2, pending, new_id=stage.new)
    assert stage.paths() == [b"a", b"made-in-1"]
    assert (scene.workspace / "a").read_text() == "start", "the workspace itself is not touched"
    stage.apply()
    assert (scene.workspace / "a").read_text() == "turn 1"
    stage.staging.back_to(back, stage.pending(), new_id=stage.new)
    assert stage.paths() == [b"a", b"made-in-2"]
    with pytest.raises(UsageInvalid, match="turn 9 of the session is not kept"):
        stage.staging.back_to(9, stage.pending(), new_id=stage.new)


@pytest.mark.slow
def test_the_snapshots_of_a_staged_session_outlive_others(scene: Scene) -> None:
    stage = Stage(scene)
    stage.write("a")
    for at in range(45):
        scene.take(f"later-{at}", "start")

    assert stage.paths() == [b"a"]


def test_removing_what_is_gone_already_leaves_the_folder_around_it_alone(tmp_path: Path) -> None:
    (tmp_path / "around").mkdir(mode=0o755)

    for remove in (staging.remove, survey_unshared._remove):
        remove(str(tmp_path / "around" / "gone"))

    assert (tmp_path / "around").stat().st_mode & 0o777 == 0o755
