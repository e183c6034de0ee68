"""The real Codex with its own sandbox on, inside ours."""

from __future__ import annotations

import pytest
from tests.e2e.place import Place
from tests.scripted_model import Say, Shell

pytestmark = pytest.mark.e2e


async def test_the_sandbox_of_codex_stands_in_ours_only_where_the_policy_says_so(place: Place) -> None:
    turns = [(Shell("touch made.txt; echo touched $?"),), (Say("done"),)]
    settings = place.home / ".config" / "ringfence"
    settings.mkdir(parents=True)

    alone = await place.run("codex", turns, governed=True)
    made = (place.workspace / "made.txt").exists()
    (place.workspace / "made.txt").unlink(missing_ok=True)
    (settings / "policy.toml").write_text("[sandbox]\nnested_namespaces = true\n")
    nested = await place.run("codex", turns, governed=True)
    (settings / "policy.toml").unlink()

    assert (made, "touched 0" in alone.results[0]) == (True, True), alone
    # Without an option Codex lets its commands only read, and its own sandbox is what holds them.
    assert "Read-only file system" in nested.results[0], nested
    assert not (place.workspace / "made.txt").exists()
