"""Real agents with their own sandboxes on, inside ours."""

from __future__ import annotations

import json
import os

import pytest
from tests.debian import program
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


PROBE = """
import pathlib
try:
    (pathlib.Path.home() / "made.txt").write_text("x")
    print("wrote in HOME")
except OSError as error:
    print(error.strerror)
"""


async def test_the_sandbox_of_claude_stands_in_ours_only_where_the_policy_says_so(place: Place) -> None:
    if place.uid == 0 or (os.getuid() == 0 and place.uid == os.getuid()):
        pytest.skip("root's /proc stays covered, and the sandbox of Claude Code mounts one of its own")
    program("bwrap", "bubblewrap")
    program("socat", "socat")
    turns = [(Shell("touch made.txt; echo touched $?; python3 probe.py"),), (Say("done"),)]
    (place.workspace / "probe.py").write_text(PROBE)
    (place.workspace / ".claude").mkdir(exist_ok=True)
    for name in ("settings.json", "settings.local.json"):
        (place.workspace / ".claude" / name).write_text("{}")
    wanted = {"sandbox": {"enabled": True, "autoAllowBashIfSandboxed": True}}
    (place.home / ".claude" / "settings.json").write_text(json.dumps(wanted))
    settings = place.home / ".config" / "ringfence"
    settings.mkdir(parents=True, exist_ok=True)

    alone = await place.run("claude", turns, governed=True)
    (settings / "policy.toml").write_text("[sandbox]\nnested_namespaces = true\n")
    nested = await place.run("claude", turns, governed=True)

    assert alone.results == ("touched 0\nwrote in HOME",), alone
    assert nested.results == ("touched 0\nRead-only file system",), nested
