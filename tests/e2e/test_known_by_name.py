"""opencode from npm, which has no hooks of ours: calls of the servers of tools that its settings start are judged."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.e2e.installed import SETTINGS_VERSIONS, Unavailable, installed_agents
from tests.e2e.place import NO_NAMESPACES, SECONDS, Place, made_place
from tests.scripted_model import Call, Say, ScriptedModel

from ringfence.sandbox.probe import require

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SERVER = Path(__file__).parent / "notes_server.py"
POLICY = """
[network]
host_ports = [{port}]
[[network.rule]]
hosts = ["models.opencode.ai", "registry.npmjs.org"]
verdict = "deny"
[[mcp.rule]]
servers = ["mine", "theirs"]
arguments = {{ text = "secret*" }}
verdict = "deny"
reason = "no secrets in notes"
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A home and a workspace, of which both name a server."""
    try:
        programs = installed_agents(SETTINGS_VERSIONS)
    except Unavailable as reason:
        pytest.skip(str(reason))
    with made_place(programs, os.getuid()) as found:
        shutil.copy(SERVER, found.workspace / "server.py")
        server = {"type": "local", "command": ["/usr/bin/env", "python3", str(found.workspace / "server.py")]}
        (found.home / ".config" / "opencode").mkdir(parents=True)
        (found.home / ".config" / "opencode" / "opencode.jsonc").write_text(
            f'{{"mcp": {{"mine": {json.dumps(server)}}}, // the person\'s\n}}'
        )
        (found.workspace / "opencode.json").write_text(json.dumps({"mcp": {"theirs": server}}))
        yield found


async def results(place: Place, model: ScriptedModel) -> list[str]:
    """What opencode tells its model about the calls that this asked for."""
    at = {"baseURL": f"{model.url}/v1", "apiKey": "k"}
    provider = {"npm": "@ai-sdk/openai-compatible", "options": at, "models": {"m": {"name": "m", "tool_call": True}}}
    said = json.dumps({"model": "s/m", "small_model": "s/m", "provider": {"s": provider}})
    policy = place.home / ".config" / "ringfence" / "policy.toml"
    policy.parent.mkdir(exist_ok=True)
    policy.write_text(POLICY.format(port=model.port))
    without = [NO_NAMESPACES, sys.executable] if place.tier == "B" else []
    words = ["-m", "ringfence", "run", "--min-tier", place.tier, "--ask", "deny", "--", "opencode", "run", "go on"]
    environ = place._environment(model.port) | {"OPENCODE_CONFIG_CONTENT": said}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *without, *words),
        cwd=place.workspace,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(SECONDS):
            output, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.communicate()
        raise
    assert process.returncode == 0, output.decode()
    return model.tool_results()


@pytest.mark.parametrize("tier", ["A", "B"])
async def test_calls_of_the_servers_of_the_person_and_of_the_project_are_judged(place: Place, tier: str) -> None:
    if tier not in require("B"):
        pytest.skip(f"this machine's kernel gives no tier {tier}")
    place = replace(place, tier=tier)
    calls = place.workspace / "calls.txt"
    calls.unlink(missing_ok=True)
    turns = [(Call("mine_say", {"text": "hi"}), Call("theirs_say", {"text": "secret"}))]

    async with ScriptedModel([*turns, (Say("done"),)]) as model:
        said = await results(place, model)

    assert [one.partition(" (")[0] for one in said] == ["NOTES SAY hi", "denied by ringfence"]
    assert calls.read_text() == "hi\n"
    events = [event["body"] for event in place.events() if event["event"] == "mcp.tools"]
    assert sorted(event["server"] for event in events) == ["mine", "theirs"]
