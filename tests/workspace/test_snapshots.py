"""A session's changes can be undone to the byte, and nothing outside the workspace is read or written by it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.workspace.scenes import Scene

from ringfence.model.situations import UsageInvalid
from ringfence.workspace.difference import Change
from ringfence.workspace.entries import MAX_DEPTH
from ringfence.workspace.store import SnapshotsBroken, Store


@pytest.mark.slow
def test_a_thousand_deleted_files_come_back_with_modes_links_and_empty_folders(scene: Scene) -> None:
    for at in range(1000):
        path = scene.workspace / f"d{at % 7}" / f"f{at}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(at % 50))
        path.chmod(0o640 if at % 2 else 0o755)
    (scene.workspace / "empty" / "inner").mkdir(parents=True)
    (scene.workspace / "link").symlink_to("d1/f1")
    (scene.workspace / "broken").symlink_to("nowhere")
    before = scene.tree()

    scene.session(lambda: subprocess.run("rm -rf ./*", shell=True, cwd=scene.workspace, check=True))
    assert scene.tree() == {}
    done = scene.undo()

    assert scene.tree() == before
    assert (done.changed_since, done.failed) == ((), ())


def test_a_hard_reset_and_a_lost_commit_are_undone(scene: Scene) -> None:
    scene.git("init", "-q")
    (scene.workspace / "a").write_text("one\n")
    scene.git("add", "-A")
    scene.git("commit", "-qm", "one")
    (scene.workspace / "a").write_text("two\n")
    scene.git("commit", "-qam", "two")
    (scene.workspace / "a").write_text("not committed\n")
    before, log = scene.tree(), scene.git("log", "--format=%H")

    def lose() -> None:
        scene.git("reset", "-q", "--hard", "HEAD~1")
        scene.git("reflog", "expire", "--expire=now", "--all")
        scene.git("gc", "-q", "--prune=now")

    scene.session(lose)
    assert scene.git("log", "--format=%H") != log
    scene.undo()

    assert scene.tree() == before
    assert scene.git("log", "--format=%H") == log
    scene.git("fsck", "--strict")


def test_what_git_ignores_is_left_alone_but_env_files_are_kept(scene: Scene) -> None:
    scene.git("init", "-q")
    (scene.workspace / ".gitignore").write_text("build/\n.env\n")
    (scene.workspace / "build").mkdir()
    (scene.workspace / "build" / "out").write_text("made")
    (scene.workspace / ".env").write_text("KEY=1")

    def session() -> None:
        (scene.workspace / "build" / "out").unlink()
        (scene.workspace / ".env").unlink()

    scene.session(session)
    scene.undo()

    assert not (scene.workspace / "build" / "out").exists()
    assert (scene.workspace / ".env").read_text() == "KEY=1"


def test_what_a_person_changed_since_is_left_as_it_is(scene: Scene) -> None:
    mine, theirs = scene.workspace / "mine", scene.workspace / "theirs"
    mine.write_text("before")
    theirs.write_text("before")

    def session() -> None:
        mine.write_text("agent")
        theirs.write_text("agent")

    scene.session(session)
    mine.write_text("person")
    done = scene.undo()

    assert (mine.read_text(), theirs.read_text()) == ("person", "before")
    assert (done.restored, done.changed_since) == ((b"theirs",), (b"mine",))

    scene.undo(force=True)
    assert mine.read_text() == "before"


def test_a_repository_that_a_session_made_in_a_folder_goes_without_a_failure(scene: Scene) -> None:
    scene.session(lambda: scene.git("init", "-q", "new"))

    done = scene.undo()

    assert (scene.tree(), done.failed) == ({}, ())


def test_an_undo_can_be_undone(scene: Scene) -> None:
    file = scene.workspace / "a"
    file.write_text("before")
    scene.session(lambda: file.write_text("after"))

    done = scene.undo()
    assert file.read_text() == "before"
    scene.undo(done.way_back)

    assert file.read_text() == "after"


def test_only_the_paths_that_are_named_are_put_back(scene: Scene) -> None:
    (scene.workspace / "d").mkdir()
    (scene.workspace / "d" / "a").write_text("1")
    (scene.workspace / "da").write_text("1")

    def session() -> None:
        (scene.workspace / "d" / "a").write_text("2")
        (scene.workspace / "da").write_text("2")

    scene.session(session)
    done = scene.undo("session-1", "d")

    assert done.restored == (b"d/a",)
    with pytest.raises(UsageInvalid, match="changed none of these"):
        scene.undo("session-1", "elsewhere")


def test_a_session_that_was_killed_is_compared_with_what_lies_there(scene: Scene) -> None:
    (scene.workspace / "a").write_text("before")
    scene.take("session-1", "start")
    (scene.workspace / "a").write_text("after")
    (scene.workspace / "b").write_text("new")

    _, found, ended = scene.snapshots.changes("session-1")

    assert [(one.path, one.change) for one in found] == [(b"a", Change.CHANGED), (b"b", Change.ADDED)]
    assert not ended
    scene.undo()
    assert scene.tree() == {"a": ("file", 0o644, b"before")}


def test_a_file_that_became_a_folder_and_a_folder_that_became_a_link_come_back(scene: Scene) -> None:
    (scene.workspace / "file").write_text("content")
    (scene.workspace / "folder").mkdir()
    (scene.workspace / "folder" / "inside").write_text("kept")
    before = scene.tree()

    def session() -> None:
        (scene.workspace / "file").unlink()
        (scene.workspace / "file").mkdir()
        (scene.workspace / "file" / "x").write_text("x")
        (scene.workspace / "folder" / "inside").unlink()
        (scene.workspace / "folder").rmdir()
        (scene.workspace / "folder").symlink_to(scene.outside)

    scene.session(session)
    scene.undo()

    assert scene.tree() == before


def test_a_planted_link_never_leads_the_undo_outside(scene: Scene) -> None:
    """The attack works with `open`: the same path, written plainly, changes the file outside."""
    (scene.workspace / "folder").mkdir()
    (scene.workspace / "folder" / "secret").write_text("mine")

    scene.session(lambda: (scene.workspace / "folder" / "secret").write_text("changed"))
    (scene.workspace / "folder" / "secret").unlink()
    (scene.workspace / "folder").rmdir()
    (scene.workspace / "folder").symlink_to(scene.outside)
    assert (scene.workspace / "folder" / "secret").read_text() == "secret"
    done = scene.undo(force=True)

    assert (scene.outside / "secret").read_text() == "secret"
    assert [path for path, _ in done.failed] == [b"folder/secret"]


def test_links_are_kept_as_links_and_not_read_through(scene: Scene) -> None:
    (scene.workspace / "l").symlink_to(scene.outside / "secret")

    scene.take("session-1", "start")

    with Store(next(Path(scene.places.state).rglob("snapshots.db")).as_posix()) as store:
        (entry,) = store.entries(store.snapshots()[0])
    assert (entry.target, entry.chunks) == (os.fsencode(scene.outside / "secret"), ())


def test_pipes_sockets_odd_names_and_deep_folders_stop_nothing(scene: Scene) -> None:
    os.mkfifo(scene.workspace / "pipe")
    odd = os.path.join(os.fsencode(scene.workspace), b"line\nbreak\xff")
    with open(odd, "wb") as stream:
        stream.write(b"odd")
    deep = os.open(scene.workspace, os.O_RDONLY)
    for _ in range(MAX_DEPTH + 5):
        os.mkdir("d", dir_fd=deep)
        inner = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = inner
    os.close(deep)

    notices = scene.take("session-1", "start")
    os.unlink(odd)
    scene.take("session-1", "end")
    scene.undo()

    with open(odd, "rb") as stream:
        assert stream.read() == b"odd"
    assert any("folders deep" in notice for notice in notices)


def test_a_file_that_cannot_be_read_is_said(scene: Scene) -> None:
    if os.getuid() == 0:
        pytest.skip("root reads everything")
    (scene.workspace / "closed").write_text("x")
    (scene.workspace / "closed").chmod(0)

    assert scene.take("session-1", "start") == ("`closed` could not be kept for undo: permission denied",)


def test_the_same_content_written_again_within_a_moment_is_seen(scene: Scene) -> None:
    """Size and time may stay the same: what is younger than the last snapshot is read again."""
    file = scene.workspace / "a"
    file.write_text("one")
    scene.snapshots.take(id="s", session="session-1", moment="start", now_ns=file.stat().st_ctime_ns)
    status = file.stat()
    file.write_text("two")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    scene.snapshots.take(id="e", session="session-1", moment="end", now_ns=file.stat().st_ctime_ns)

    _, found, _ = scene.snapshots.changes("session-1")

    assert [one.path for one in found] == [b"a"]


def test_a_session_without_a_snapshot_is_said(scene: Scene) -> None:
    scene.take("session-1", "start")

    with pytest.raises(UsageInvalid, match="no snapshot of session `nothing`"):
        scene.snapshots.changes("nothing")


def test_a_damaged_piece_is_never_given_back(scene: Scene) -> None:
    (scene.workspace / "a").write_text("before")
    scene.session(lambda: (scene.workspace / "a").write_text("after"))
    import sqlite3
    import zlib

    database = sqlite3.connect(next(Path(scene.places.state).rglob("snapshots.db")))
    with database:
        database.execute("UPDATE piece SET body = ?", (zlib.compress(b"evil"),))
    database.close()

    with pytest.raises(SnapshotsBroken, match="missing or damaged"):
        scene.undo()
    assert (scene.workspace / "a").read_text() == "after"


def test_old_snapshots_go_and_take_only_what_nothing_else_holds(scene: Scene) -> None:
    kept = scene.workspace / "kept"
    kept.write_text("always")
    for at in range(4):
        (scene.workspace / "changing").write_text(f"content {at}")
        scene.take(f"session-{at}", "start")

    with Store(next(Path(scene.places.state).rglob("snapshots.db")).as_posix()) as store:
        with store.transaction():
            store.forget_old(kept=1)
        left = store.snapshots()
        contents = {store.piece(key) for entry in store.entries(left[0]) for key in entry.chunks}
        count_of_pieces = store.pieces()

    assert [one.session for one in left] == ["session-3"]
    assert contents == {b"always", b"content 3"}
    assert count_of_pieces == 2


def test_a_link_in_the_place_of_git_s_objects_stops_no_undo_and_leads_nowhere(scene: Scene) -> None:
    scene.git("init", "-q")
    (scene.workspace / "a").write_text("before")
    scene.git("add", "a")
    scene.git("commit", "-qm", "one")

    def act() -> None:
        (scene.workspace / "a").write_text("agent")
        shutil.rmtree(scene.workspace / ".git" / "objects")
        (scene.workspace / ".git" / "objects").symlink_to(scene.outside)

    scene.session(act)
    done = scene.undo()

    assert (done.failed, (scene.workspace / "a").read_text()) == ((), "before")
    assert scene.git("show", "HEAD:a") == "before"
    assert os.listdir(scene.outside) == ["secret"]
