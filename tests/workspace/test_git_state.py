"""What lies below `.git` is known by name, or refused."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ringfence.workspace.git_state import Role, below_git, odd_content, role

HASH = b"1" * 40


def test_an_unfinished_cherry_pick_runs_what_its_options_name(tmp_path: Path) -> None:
    """The attack itself, with Git alone: why such options are refused."""

    def git(*words: str, check: bool = True) -> None:
        identity = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_EDITOR": "true"}
        identity |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
        environment = {**os.environ, **identity, "HOME": str(tmp_path)}
        subprocess.run(("git", *words), cwd=tree, env=environment, check=check, capture_output=True)

    tree = tmp_path / "tree"
    tree.mkdir()
    git("init", "-q", "-b", "main")
    for branch, text in (("main", "one"), ("topic", "two"), ("topic", "three")):
        git("checkout", "-q", "-B", branch) if branch == "topic" else None
        (tree / "file").write_text(text)
        git("add", "-A")
        git("commit", "-qm", text)
    git("checkout", "-q", "main")
    (tree / "file").write_text("else")
    git("commit", "-qam", "else")
    git("cherry-pick", "topic~1", "topic", check=False)
    (tree / "git-merge-a").mkdir()
    (tree / "run.sh").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tree / "run.sh").chmod(0o755)
    options = tree / ".git" / "sequencer" / "opts"
    options.write_text("[options]\n\tstrategy = a/../run.sh\n")
    (tree / "file").write_text("solved")
    git("add", "file")

    git("cherry-pick", "--continue", check=False)

    assert (tmp_path / "ran").exists()
    assert odd_content(b"sequencer/opts", b"[options]\n\tstrategy = a/../run.sh\n") is not None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"", Role.PLACE),
        (b"HEAD", Role.STATE),
        (b"index", Role.STATE),
        (b"refs/heads/a/b", Role.STATE),
        (b"refs/stash", Role.STATE),
        (b"logs/refs/heads/a", Role.STATE),
        (b"packed-refs", Role.STATE),
        (b"ORIG_HEAD", Role.STATE),
        (b"MERGE_MSG", Role.STATE),
        (b"COMMIT_EDITMSG", Role.STATE),
        (b"rebase-merge/git-rebase-todo", Role.STATE),
        (b"info/sparse-checkout", Role.STATE),
        (b"worktrees/w/HEAD", Role.STATE),
        (b"worktrees/w/gitdir", Role.STATE),
        (b"worktrees/w/commondir", Role.STATE),
        (b"modules/a/b/refs/heads/main", Role.STATE),
        (b"config", Role.SETTINGS),
        (b"config.worktree", Role.SETTINGS),
        (b"modules/lib/config", Role.SETTINGS),
        (b"modules/a/modules/b/config", Role.SETTINGS),
        (b"worktrees/w/config.worktree", Role.SETTINGS),
        (b"objects/ab/" + b"c" * 38, Role.OBJECT),
        (b"objects/pack/pack-" + HASH + b".idx", Role.OBJECT),
        (b"modules/lib/objects/ab/" + b"c" * 38, Role.OBJECT),
        (b"index.lock", Role.DERIVED),
        (b"hooks/pre-commit.sample", Role.DERIVED),
        (b"objects/info/commit-graph", Role.DERIVED),
        (b"hooks/pre-commit", Role.REFUSED),
        (b"modules/lib/hooks/post-checkout", Role.REFUSED),
        (b"modules/a/hooks/config", Role.REFUSED),
        (b"worktrees/w/hooks/x", Role.REFUSED),
        (b"commondir", Role.REFUSED),
        (b"gitdir", Role.REFUSED),
        (b"info/attributes", Role.REFUSED),
        (b"info/grafts", Role.REFUSED),
        (b"objects/info/alternates", Role.REFUSED),
        (b"objects/ab/evil", Role.REFUSED),
        (b"rebase-merge/sub/config", Role.REFUSED),
        (b"anything", Role.REFUSED),
    ],
)
def test_each_path_has_its_role(path: bytes, expected: Role) -> None:
    assert role(path) is expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b".git/config", b"config"),
        (b".git", b""),
        (b"a/.git/hooks/x", b"hooks/x"),
        (b".GIT/config", b"config"),
        (b".git /config", b"config"),
        (b"git~1/config", b"config"),
        (b".g\xe2\x80\x8cit/config", b"config"),
        (b".git::$INDEX_ALLOCATION/config", b"config"),
        (b".gitignore", None),
        (b"x.git/config", None),
    ],
)
def test_every_spelling_of_git_counts(path: bytes, expected: bytes | None) -> None:
    assert below_git(path) == expected


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (b"HEAD", b"ref: refs/heads/main\n"),
        (b"refs/heads/a", HASH + b"\n"),
        (b"refs/heads/logs/a", HASH + b"\n"),
        (b"refs/remotes/origin/HEAD", b"ref: refs/remotes/origin/main\n"),
        (b"logs/HEAD", HASH + b" " + HASH + b" n <e> 1 +0000\tcommit\n"),
        (b"index", b"DIRC\0\0\0\2"),
        (b"worktrees/w/commondir", b"../..\n"),
        (b"worktrees/w/gitdir", b"/home/you/w/.git\n"),
    ],
)
def test_what_git_writes_is_what_its_name_says(path: bytes, content: bytes) -> None:
    assert odd_content(path, content) is None


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (b"HEAD", b"ref: ../../evil\n"),
        (b"refs/evil/config", b"[core]\n\tfsmonitor = evil\n"),
        (b"logs/evil/config", b"[core]\n\tfsmonitor = evil\n"),
        (b"index", b"[core]\n"),
        (b"worktrees/w/commondir", b"../../../evil\n"),
        (b"worktrees/w/commondir", b"/tmp/evil\n"),
        (b"worktrees/w/gitdir", b"relative\n"),
    ],
)
def test_settings_do_not_hide_in_the_state_of_a_repository(path: bytes, content: bytes) -> None:
    assert odd_content(path, content) is not None
