"""What somebody outside replaces while a session runs stays protected inside: the kernel alone would let go of it."""

from __future__ import annotations

import asyncio
import os

import pytest
from tests.sandbox.boxes import Box, Place

from ringfence.sandbox.launch import Sandbox


async def _told(box: Box, count: int) -> list[tuple[str, str]]:
    said: list[tuple[str, str]] = []
    box.sandbox.take_guard(lambda what, path: said.append((what, os.path.basename(path))))
    async with asyncio.timeout(20):
        while len(said) < count:
            await asyncio.sleep(0.01)
    return said


async def test_settings_that_git_replaces_outside_stay_behind_the_copy(git_box: Box) -> None:
    place = git_box.place

    place.git("config", "branch.main.description", "mine")
    said = await _told(git_box, 1)
    tried = await git_box.shell("git config core.fsmonitor evil; echo evil >> .git/config; mv .git/config x")

    assert said == [("again", "config")]
    assert "busy" in tried.err
    assert "evil" not in (place.workspace / ".git" / "config").read_text()
    assert "mine" in (place.workspace / ".git" / "config").read_text()


async def test_a_control_file_that_an_editor_replaces_stays_read_only(repository: Place) -> None:
    (repository.workspace / ".mcp.json").write_text("{}")
    sandbox = await Sandbox.start(repository.plan())
    try:
        box = Box(sandbox, repository)
        (repository.workspace / "new").write_text('{"mine": 1}')
        os.rename(repository.workspace / "new", repository.workspace / ".mcp.json")
        said = await _told(box, 1)
        tried = await box.shell("echo evil > .mcp.json; rm .mcp.json")
    finally:
        await sandbox.close()

    assert said == [("again", ".mcp.json")]
    assert tried.code != 0
    assert (repository.workspace / ".mcp.json").read_text() == '{"mine": 1}'


@pytest.mark.parametrize("kind", ["file", "folder"])
async def test_what_is_removed_outside_cannot_be_made_inside(repository: Place, kind: str) -> None:
    path = repository.workspace / (".mcp.json" if kind == "file" else ".vscode")
    if kind == "file":
        path.write_text("{}")
    else:
        path.mkdir()
    sandbox = await Sandbox.start(repository.plan())
    try:
        box = Box(sandbox, repository)
        if kind == "file":
            path.unlink()
        else:
            path.rmdir()
        said = await _told(box, 1)
        tried = await box.shell("echo evil > .mcp.json && exit 1; echo evil > .vscode/tasks.json")
    finally:
        await sandbox.close()

    assert said == [("held", path.name)]
    assert tried.code != 0
    assert not path.exists(), "nothing of it stays"
