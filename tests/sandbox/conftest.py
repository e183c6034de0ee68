from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.sandbox.boxes import Box, Place

from ringfence.sandbox.launch import Sandbox


@pytest.fixture
def place(tmp_path: Path) -> Place:
    home, workspace = tmp_path / "home", tmp_path / "home" / "src" / "project"
    workspace.mkdir(parents=True)
    (home / ".ssh").mkdir()
    (home / ".ssh" / "id_ed25519").write_text("PRIVATE KEY")
    (home / ".aws").mkdir()
    (home / ".aws" / "credentials").write_text("AWS SECRET")
    (home / ".gitconfig").write_text("[user]\n\tname = n\n\temail = e@x\n[init]\n\tdefaultBranch = main\n")
    return Place(root=tmp_path, home=home, workspace=workspace, state=tmp_path / "state")


@pytest.fixture
def repository(place: Place) -> Place:
    place.git("init", "-q")
    (place.workspace / "a").write_text("a\n")
    (place.workspace / "sub").mkdir()
    (place.workspace / "sub" / ".env").write_text("TOKEN=1\n")
    place.git("add", "a")
    place.git("commit", "-qm", "first")
    return place


@pytest.fixture
async def box(place: Place) -> AsyncIterator[Box]:
    sandbox = await Sandbox.start(place.plan())
    yield Box(sandbox, place)
    await sandbox.close()


@pytest.fixture
async def git_box(repository: Place) -> AsyncIterator[Box]:
    sandbox = await Sandbox.start(repository.plan())
    yield Box(sandbox, repository)
    await sandbox.close()
