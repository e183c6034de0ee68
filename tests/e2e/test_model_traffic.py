"""What Codex and Claude Code ask of their models, read off the wire: counted, recorded, denied, and limited."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.place import Outcome, Place, made_place
from tests.scripted_model import Say, ScriptedModel, Shell

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

TURNS = [(Shell("echo one > one.txt"),), (Shell("echo two > two.txt"),), (Say("done"),)]


@pytest.fixture(scope="module")
def own_place(programs: Path) -> Iterator[Place]:
    """A home and a workspace of this user."""
    with made_place(programs, os.getuid()) as made:
        yield made


async def run(place: Place, agent: str, policy: str, model: str = "gpt-5.5") -> Outcome:
    """One governed run under a policy."""
    for name in ("one.txt", "two.txt"):
        (place.workspace / name).unlink(missing_ok=True)
    return await place.run(
        agent, TURNS, governed=True, model=model, policy=f'extends = "workspace"\n[model]\n{policy}\n'
    )


def of(place: Place, event: str) -> list[dict[str, object]]:
    """The bodies of the events of one kind."""
    return [found["body"] for found in place.events() if found["event"] == event]


@pytest.mark.parametrize("agent", ["codex", "claude"])
async def test_traffic_is_on_record_until_the_budget_is_used_up_and_the_agent_says_why(
    own_place: Place, agent: str
) -> None:
    outcome = await run(own_place, agent, "budget_tokens = 30")

    answered = of(own_place, "model.answered")
    assert [(one["input_tokens"], one["output_tokens"], one["estimated"]) for one in answered] == [(10, 5, False)] * 2
    assert [(one["calls"], one["prompt_length"], one["prompt"]) for one in answered] == [(1, len("go on"), None)] * 2
    assert [one["call"] for one in of(own_place, "model.tool")] == [
        one["call"] for one in of(own_place, "tool.requested")
    ]
    assert (own_place.workspace / "two.txt").exists()
    assert outcome.code != 0
    assert "the session may use 30 tokens, and has used 30; a retry does not help; stop here" in outcome.stdout
    assert "model    2 requests, 20 tokens in and 10 out: " in outcome.stderr


async def test_requests_are_led_to_another_address_without_the_agents_own_key_and_code_mode_is_read(
    own_place: Place,
) -> None:
    turns = [(Shell("echo one > one.txt"),), (Say("I am elsewhere"),)]
    async with ScriptedModel(turns) as elsewhere:
        policy = f"[[model.route]]\nurl = 'http://127.0.0.1:{elsewhere.port}/corp'\n"
        policy += f"[network]\nhost_ports = [{elsewhere.port}]"

        # This model's one tool takes a program, in which the other tools are functions.
        outcome = await run(own_place, "codex", policy, model="gpt-6-sol")

    assert "I am elsewhere" in outcome.stdout, outcome.stderr
    assert {request.path for request in elsewhere.requests if request.method == "POST"} == {"/corp/v1/responses"}
    assert not any("authorization" in request.headers for request in elsewhere.requests)
    assert {one["port"] for one in of(own_place, "model.answered")} == {elsewhere.port}
    (call,) = of(own_place, "model.tool")
    assert (call["tool"], call["kind"]) == ("exec", "custom")
    assert 'await tools.exec_command({"cmd": "echo one > one.txt"})' in str(call["arguments"])
    assert "no hook reported" not in outcome.stderr


@pytest.mark.parametrize("agent", ["codex", "claude"])
async def test_another_model_is_denied_and_the_agent_says_why(own_place: Place, agent: str) -> None:
    outcome = await run(own_place, agent, 'models = ["some-other-model-*"]')

    assert outcome.code != 0
    assert "is not one of `some-other-model-*`" in outcome.stdout
    assert of(own_place, "model.answered") == []
