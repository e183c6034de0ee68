"""Fixtures that drive real agents: installed once, run as this user and, where this user is root, as another one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.installed import Unavailable, installed_agents
from tests.e2e.place import UNPRIVILEGED, Place, made_place


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
    else:
        pytest.skip("only root can run the agent as another user")
    with made_place(programs, uid) as made:
        yield made
