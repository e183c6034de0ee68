"""A staged workspace: what a session writes lies in its upper layer, and the real tree stays as it was."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.sandbox.boxes import Box, Place

from ringfence.model.situations import SandboxUnavailable
from ringfence.sandbox.launch import Sandbox

EVERYDAY = """
set -e; exec 2>&1
git init -q --bare /tmp/far.git; git remote add far /tmp/far.git
echo b >> a; git commit -qam second; git push -q far HEAD:topic; git fetch -q far
git switch -q -c topic --track far/topic; git commit -q --amend -m third
echo c >> a; git stash -q; git stash pop -q; git commit -qam fourth; git rebase -q HEAD~1
git worktree add -q wt; git -C wt status --short; git config user.name somebody; git gc -q
git -c protocol.file.allow=always submodule --quiet add -b topic /tmp/far.git lib; git commit -qm lib
git -C lib switch -q -c inner; git sparse-checkout set --cone x
"""


def fingerprint(folder: Path) -> str:
    """A hash of everything in a folder: names, kinds, permission bits and contents."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = os.fsencode(os.readlink(path)) if path.is_symlink() else b""
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else content
        found.update(f"{path.relative_to(folder)} {status.st_mode:o} {len(content)} ".encode() + content)
    return found.hexdigest()


@pytest.fixture
async def staged_box(repository: Place) -> AsyncIterator[Box]:
    sandbox = await Sandbox.start(repository.plan(staging=str(repository.state / "staged" / "one")))
    try:
        yield Box(sandbox, repository)
    finally:
        await sandbox.close()


async def test_the_real_tree_stays_as_it_was(staged_box: Box) -> None:
    before = fingerprint(staged_box.place.workspace)

    done = await staged_box.shell(
        "set -e; echo b >> a; echo n > new; rm -rf .git/refs; mkdir -p x/y; ln -s /etc l; mkfifo f"
    )

    assert (done.code, done.err) == (0, "")
    assert fingerprint(staged_box.place.workspace) == before
    assert (staged_box.place.state / "staged" / "one" / "upper" / "new").read_text() == "n\n"


@pytest.mark.slow
async def test_everyday_git_works_in_a_staged_workspace(staged_box: Box) -> None:
    before = fingerprint(staged_box.place.workspace)

    done = await staged_box.shell(EVERYDAY)

    assert done.out == ""
    assert fingerprint(staged_box.place.workspace) == before


@pytest.mark.parametrize(
    "attack",
    [
        "echo evil > .git/hooks/pre-commit",
        "mv .git .git2",
        "mv .git/hooks .git/h2",
        "rm -rf .git/hooks && mkdir .git/hooks",
        "mkdir -p .claude && echo evil > .claude/settings.json",
        "echo evil > .mcp.json",
        "rmdir .claude && ln -s /tmp .claude",
        "echo ../evil > .git/commondir",
    ],
)
async def test_control_files_stay_protected_in_a_staged_workspace(staged_box: Box, attack: str) -> None:
    done = await staged_box.shell(attack)

    assert done.code != 0


async def test_a_mount_in_the_workspace_refuses_staging(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SandboxUnavailable, match="is mounted in it"):
        monkeypatch.setattr("ringfence.sandbox.overlay._mount_below", lambda workspace: f"{workspace}/mnt")
        await Sandbox.start(place.plan(staging=str(place.state / "staged" / "one")))
