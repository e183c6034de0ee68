from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.sandbox.boxes import Box, Place

from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.probe import require


@pytest.fixture(autouse=True)
def tier_b_is_possible() -> None:
    """Landlock's third generation, from Linux 6.2 on."""
    if "B" not in require("C"):
        pytest.skip("this machine's kernel gives no tier B")


@pytest.fixture
async def bare(place: Place) -> AsyncIterator[Box]:
    """A sandbox of tier B in a repository without secrets."""
    place.git("init", "-q")
    (place.workspace / "a").write_text("a\n")
    place.git("add", "a")
    place.git("commit", "-qm", "first")
    sandbox = await Sandbox.start(place.plan(), tier="B")
    yield Box(sandbox, place)
    await sandbox.close()
