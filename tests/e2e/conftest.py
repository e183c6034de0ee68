"""Fixtures that drive real agents: installed once, run as this user and, where this user is root, as another one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.installed import Unavailable, installed_agents
from tests.e2e.place import SOURCE, UNPRIVILEGED, Place, made_place


@pytest.fixture(scope="session")
def programs() -> Path:
    """The folder with the real agents."""
    try:
        return installed_agents()
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module", params=["this user", "another user"])
def place(request: pytest.FixtureRequest, programs: Path) -> Iterator[Place]:
    """A home and a workspace."""
    if request.param == "this user":
        uid = os.getuid()
    elif os.getuid() == 0:
        uid = UNPRIVILEGED
        if not _can_start(uid, programs):
            pytest.skip("another user cannot reach this checkout, its interpreter or the agents")
    else:
        pytest.skip("only root can run the agent as another user")
    with made_place(programs, uid) as made:
        yield made


def _can_start(uid: int, programs: Path) -> bool:
    """Whether another user gets at all that a run needs; not so where the checkout lies below a private home."""
    look = "import os, sys, ringfence, msgspec; sys.exit(not os.access(sys.argv[1], os.X_OK))"
    argv = [sys.executable, "-c", look, str(programs / "codex")]
    environ = {"PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            argv, cwd="/", env=environ, capture_output=True, check=False, user=uid, group=uid, extra_groups=[]
        )
    except OSError:
        return False
    return done.returncode == 0
