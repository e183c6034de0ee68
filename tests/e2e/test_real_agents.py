"""Codex and Claude Code from npm, under `ringfence run`, with a model that follows a script."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.e2e.place import Place
from tests.e2e.story import Story, told
from tests.scripted_model import Read, Say, Shell

from ringfence.sandbox.probe import require

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

KEY = "PRIVATE-KEY-OF-THE-TEST"


@pytest.fixture(
    scope="module",
    params=[("codex", "A"), ("claude", "A"), ("codex", "B"), ("claude", "B")],
    ids=["codex", "claude", "codex in tier B", "claude in tier B"],
)
def story(request: pytest.FixtureRequest, place: Place) -> Story:
    """The two runs of one agent, made once for all tests."""
    agent, tier = request.param
    if tier not in require("B"):
        pytest.skip(f"this machine's kernel gives no tier {tier}")
    return asyncio.run(told(replace(place, tier=tier), agent))


def test_everyday_work_succeeds(story: Story) -> None:
    assert story.within.code == 0, story.within.stderr
    assert (story.place.workspace / "a.txt").read_text() == "from a shell\n"
    assert (story.place.workspace / "b.txt").read_text() == "from a tool\n"
    assert "one" in story.result("commit")


def test_every_tool_call_is_asked_about_and_recorded(story: Story) -> None:
    requested = [body["call"] for body in story.bodies("tool.requested")]
    judged = {body["call"] for body in story.bodies("decision") if body["asked_by"] == "hook"}

    assert len(requested) == len(set(requested)) == len(story.steps)
    assert judged == set(requested)
    assert len(story.bodies("prompt.submitted")) == 1


def test_the_end_of_every_call_that_ran_is_recorded(story: Story) -> None:
    verdicts = {body["call"]: body["decision"]["verdict"] for body in story.bodies("decision") if body["call"]}
    ended = {body["call"] for body in story.bodies("tool.completed")}

    assert ended == {call for call, verdict in verdicts.items() if verdict == "allow"}


def test_a_key_cannot_be_read_and_the_agent_is_told_why(story: Story) -> None:
    assert KEY in story.result_without("read a key")
    assert KEY not in story.result("read a key")
    assert "denied by ringfence" in story.result("read a key")


def test_a_key_cannot_be_read_in_disguise_either(story: Story) -> None:
    assert KEY in story.result_without("read a key in disguise")
    assert KEY not in story.result("read a key in disguise")


def test_nothing_else_of_the_home_is_there(story: Story) -> None:
    assert "DEAR-DIARY" in story.result_without("look around at home")
    assert "DEAR-DIARY" not in story.result("look around at home")


def test_nothing_is_written_outside_and_the_agent_is_told_why(story: Story) -> None:
    assert story.planted == (("shell.txt", "tool.txt"), ())
    assert "denied by ringfence" in story.result("write outside by shell")
    assert "denied by ringfence" in story.result("write outside by tool")


def test_servers_of_the_host_are_not_reached(story: Story) -> None:
    assert story.visits == (1, 0)


def test_a_host_that_is_not_allowed_fails_is_explained_and_stands_in_the_record(story: Story) -> None:
    decisions = [body["decision"] for body in story.bodies("decision")]
    denied = [one for one in decisions if "gist.example" in str(one["action"]) and one["verdict"] == "deny"]

    assert denied
    assert "gist.example" in story.result("fetch from elsewhere")
    assert "gist.example" in story.place.ringfence("log", "--verdict", "deny")


def test_the_hooks_go_on_after_an_agent_tampered_with_them(story: Story) -> None:
    after = story.steps[story.steps.index("tamper with the hooks") + 1 :]

    assert len(story.bodies("tool.requested")) == len(story.steps)
    assert "denied by ringfence" in story.result(after[1])


def test_what_is_planted_in_its_own_settings_is_gone_afterwards(story: Story) -> None:
    home = story.place.home

    assert "notify" not in (home / ".codex" / "config.toml").read_text()
    assert (home / ".claude" / "settings.json").read_text() == "{}"
    assert not (home / ".claude" / "hooks").exists()
    assert not (home / ".codex" / "rules").exists()


def test_transcripts_are_kept(story: Story) -> None:
    folder = {"codex": ".codex/sessions", "claude": ".claude/projects"}[story.agent]

    assert list((story.place.home / folder).rglob("*.jsonl"))


def test_the_record_verifies(story: Story) -> None:
    story.place.ringfence("log", "verify")


async def test_calls_made_from_javascript_are_asked_about_too(place: Place) -> None:
    key = Read(str(place.home / ".ssh" / "id_test"))

    within = await place.run(
        "codex", [(Shell("echo js > js.txt"),), (key,), (Say("done"),)], governed=True, model="gpt-6-sol"
    )

    assert (place.workspace / "js.txt").read_text() == "js\n"
    assert "denied by ringfence" in within.results[1]
    assert len([event for event in place.events() if event["event"] == "tool.requested"]) == 2
