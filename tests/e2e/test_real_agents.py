"""Codex and Claude Code from npm, under `ringfence run`, with a model that follows a script.

Each thing that must fail is done without Ringfence first, so that a failure is ours and not the machine's.
"""

from __future__ import annotations

import asyncio
import json

import pytest
from tests.e2e.place import Place
from tests.scripted_model import Read, Say, Shell, Turn, Write

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

AGENTS = pytest.mark.parametrize("agent", ["codex", "claude"])


def turns(*steps: Shell | Write | Read) -> list[Turn]:
    return [*((step,) for step in steps), (Say("done"),)]


@AGENTS
async def test_a_tool_call_that_writes_in_the_workspace_succeeds(place: Place, agent: str) -> None:
    patch = Write(str(place.workspace / "b.txt"), "from a tool\n")

    outcome = await place.run(agent, turns(Shell("echo from a shell > a.txt"), patch), governed=True)

    assert outcome.code == 0, outcome.stderr
    assert (place.workspace / "a.txt").read_text() == "from a shell\n"
    assert (place.workspace / "b.txt").read_text() == "from a tool\n"


@AGENTS
async def test_every_tool_call_stands_in_the_record(place: Place, agent: str) -> None:
    await place.run(agent, turns(Shell("echo one"), Shell("echo two")), governed=True)

    names = [event_name(event) for event in place.events()]
    assert names.count("tool.requested") == 2
    assert names.count("tool.completed") == 2
    assert "prompt.submitted" in names


@AGENTS
async def test_private_keys_cannot_be_read(place: Place, agent: str) -> None:
    script = turns(Read(str(place.home / ".ssh" / "id_test")))

    without = await place.run(agent, script, governed=False)
    within = await place.run(agent, script, governed=True)

    assert "PRIVATE-KEY-OF-THE-TEST" in without.results[0]
    assert "PRIVATE-KEY-OF-THE-TEST" not in within.results[0]
    assert "denied by ringfence" in within.results[0]
    assert "deny" in verdicts(place.events())


@AGENTS
async def test_a_script_that_hides_its_path_cannot_read_private_keys_either(place: Place, agent: str) -> None:
    command = Shell("python3 -c \"import os; print(open(os.path.expanduser('~/.s'+'sh/id_test')).read())\"")

    without = await place.run(agent, turns(command), governed=False)
    within = await place.run(agent, turns(command), governed=True)

    assert "PRIVATE-KEY-OF-THE-TEST" in without.results[0]
    assert "PRIVATE-KEY-OF-THE-TEST" not in within.results[0]


@AGENTS
async def test_nothing_is_written_outside(place: Place, agent: str) -> None:
    target = place.outside / "planted.txt"
    script = turns(Shell(f"echo planted > {target}"), Write(str(target), "planted\n"))

    await place.run(agent, script, governed=False)
    assert target.exists()
    target.unlink()
    within = await place.run(agent, script, governed=True)

    assert not target.exists()
    assert "denied by ringfence" in within.results[1]


@AGENTS
async def test_a_host_that_is_not_allowed_is_not_reached_and_stands_in_the_record(place: Place, agent: str) -> None:
    visits: list[str] = []

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append((await reader.readline()).decode())
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(visited, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        fetch = Shell(f"python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/').read())\"")
        await place.run(agent, turns(fetch), governed=False)
        reached = len(visits)
        within = await place.run(agent, turns(fetch, Shell("curl -sS http://gist.example/x")), governed=True)

    assert (reached, len(visits)) == (1, 1)
    assert "gist.example" in within.results[1]
    assert any("gist.example" in json.dumps(event) and "deny" in json.dumps(event) for event in place.events())


@AGENTS
async def test_nothing_of_the_rest_of_home_is_there(place: Place, agent: str) -> None:
    (place.home / "diary.txt").write_text("DEAR DIARY\n")
    place.own()

    within = await place.run(agent, turns(Shell("ls -A ~; cat ~/diary.txt")), governed=True)

    assert "DEAR DIARY" not in within.results[0]
    assert "diary.txt" not in within.results[0].split("cat:")[0]


@AGENTS
async def test_what_an_agent_plants_in_its_own_settings_is_gone_afterwards(place: Place, agent: str) -> None:
    (place.home / ".claude").mkdir()
    (place.home / ".claude" / "settings.json").write_text("{}")
    place.own()
    plant = "echo 'notify = [\"/bin/sh\"]' >> ~/.codex/config.toml; echo '{\"hooks\": 1}' > ~/.claude/settings.json; "
    plant += "mkdir -p ~/.claude/hooks ~/.codex/rules; echo x > ~/.claude/hooks/x; echo x > ~/.codex/rules/x"

    await place.run(agent, turns(Shell(plant)), governed=True)

    assert "notify" not in (place.home / ".codex" / "config.toml").read_text()
    assert (place.home / ".claude" / "settings.json").read_text() == "{}"
    assert not (place.home / ".claude" / "hooks").exists()
    assert not (place.home / ".codex" / "rules").exists()


async def test_calls_made_from_javascript_are_asked_about_too(place: Place) -> None:
    script = turns(Shell("echo hello > a.txt"), Read(str(place.home / ".ssh" / "id_test")))

    within = await place.run("codex", script, governed=True, model="gpt-6-sol")

    assert (place.workspace / "a.txt").read_text() == "hello\n"
    assert "denied by ringfence" in within.results[1]
    assert [event_name(event) for event in place.events()].count("tool.requested") == 2


def event_name(event: dict[str, object]) -> str:
    body = event.get("body", event)
    assert isinstance(body, dict)
    return str(body.get("event"))


def verdicts(events: list[dict[str, object]]) -> set[str]:
    found = set()
    for event in events:
        body = event.get("body", event)
        if isinstance(body, dict) and body.get("event") == "decision":
            found.add(str(body["decision"]["verdict"]))
    return found
