"""Everyday Git in a direct workspace: settings go to a private copy, and nothing that runs reaches the real ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sandbox.boxes import Box, Place
from tests.sandbox.test_staged import EVERYDAY

from ringfence.sandbox.launch import Sandbox


async def test_everyday_git_works_in_a_direct_workspace(git_box: Box) -> None:
    place = git_box.place
    before = (place.workspace / ".git" / "config").read_bytes()

    done = await git_box.shell(EVERYDAY)

    assert done.out == ""
    assert (place.workspace / ".git" / "config").read_bytes() == before
    assert not (place.workspace / ".git" / "modules" / "lib").exists()
    assert place.git("log", "--format=%s", "-1", "topic").strip() == "lib"
    private = git_box.sandbox.private_git
    assert private is not None
    assert b"far.git" in Path(private.settings[0].copy).read_bytes()


@pytest.mark.slow
async def test_a_second_session_sees_the_submodules_and_working_trees_that_are_there(repository: Place) -> None:
    repository.host("git", "init", "-q", "--bare", str(repository.root / "far.git"))
    repository.git("push", "-q", str(repository.root / "far.git"), "HEAD:main")
    repository.git(
        "-c", "protocol.file.allow=always", "submodule", "-q", "add", str(repository.root / "far.git"), "lib"
    )
    repository.git("worktree", "add", "-q", "wt")
    sandbox = await Sandbox.start(repository.plan())
    try:
        box = Box(sandbox, repository)
        done = await box.shell(
            "exec 2>&1; set -e; cd lib; echo b >> a; git commit -qam inner; git switch -qc t; git config user.name x;"
            "git remote add far /x; cd ..; git -C wt status --short; git worktree list | wc -l;"
            "git worktree add -q wt2; git worktree list | wc -l"
        )
        attack = await box.shell(
            "exec 2>&1; echo evil > .git/modules/lib/hooks/pre-commit; mv .git/modules/lib .git/modules/l2;"
            "echo ../evil > .git/worktrees/wt/commondir; rm -f .git/config; mv .git/modules .git/m2"
        )
    finally:
        await sandbox.close()

    assert done.out == "2\n3\n"
    assert repository.git("-C", "lib", "log", "--format=%s", "-1").strip() == "inner"
    assert len(attack.out.splitlines()) == 5, attack.out
    assert not (repository.workspace / ".git" / "worktrees" / "wt2").exists()
    assert "user" not in (repository.workspace / ".git" / "modules" / "lib" / "config").read_text()


@pytest.mark.parametrize(
    "way", ["git config core.fsmonitor evil", "echo evil >> .git/config", "echo evil > .git/config"]
)
async def test_settings_that_run_programs_stay_in_the_copy(git_box: Box, way: str) -> None:
    place = git_box.place
    before = (place.workspace / ".git" / "config").read_bytes()

    await git_box.shell(way)

    assert (place.workspace / ".git" / "config").read_bytes() == before
