"""What a session left in the workspace."""

from __future__ import annotations

import os
from pathlib import Path

from ringfence.policy.control_files import is_reported
from ringfence.workspace.changes import Changes, changes_since

LONG_AGO = 0


def made(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")


def test_files_are_counted_and_control_files_are_named(tmp_path: Path) -> None:
    made(tmp_path, "a.py", "sub/b.py", "Makefile", "sub/CLAUDE.md")

    found = changes_since(str(tmp_path), LONG_AGO, is_reported)

    assert found == Changes(files=4, control_files=("Makefile", "sub/CLAUDE.md"), complete=True)


def test_what_every_commit_changes_is_not_told(tmp_path: Path) -> None:
    made(tmp_path, ".git/HEAD", ".git/index", ".git/objects/aa/bb", ".git/logs/HEAD", "sub/.git/HEAD")

    assert changes_since(str(tmp_path), LONG_AGO, is_reported).control_files == ()


def test_the_samples_of_a_new_repository_do_not_bury_what_git_would_run(tmp_path: Path) -> None:
    made(tmp_path, *(f"new/.git/hooks/{name}" for name in ("pre-commit.sample", "pre-commit", "update.sample")))

    assert changes_since(str(tmp_path), LONG_AGO, is_reported).control_files == ("new/.git/hooks/pre-commit",)


def test_a_bare_repository_in_a_sub_folder_is_told(tmp_path: Path) -> None:
    made(tmp_path, "sub/HEAD", "sub/config", "sub/objects/x", "sub/refs/x")

    assert changes_since(str(tmp_path), LONG_AGO, is_reported).control_files == ("sub/HEAD",)


def test_what_was_there_before_is_not_a_change(tmp_path: Path) -> None:
    made(tmp_path, "Makefile")
    later = (tmp_path / "Makefile").stat().st_ctime_ns + 1

    assert changes_since(str(tmp_path), later, is_reported) == Changes(files=0, control_files=(), complete=True)


def test_a_link_that_leads_out_is_counted_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    inside = tmp_path / "inside"
    made(tmp_path, "outside/Makefile")
    inside.mkdir()
    os.symlink(outside, inside / "link")

    assert changes_since(str(inside), LONG_AGO, is_reported) == Changes(files=1, control_files=(), complete=True)
