"""Friction on everyday work: what the recorded sessions would be asked under the preset `workspace` as it is now."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from tests.corpus.sessions.tasks import TASKS
from tests.policy.making import policy

from ringfence.model.action import Action, action_digest
from ringfence.model.decision import Decision, Verdict
from ringfence.policy.evaluate import Context, Evaluator

FOLDER = Path(__file__).parent
SESSIONS = sorted(FOLDER.glob("*.jsonl"))
CALLS_PER_HOUR = 120
"""An agent at work makes about one tool call in half a minute. A slower one is asked less often in an hour."""
MOST_PROMPTS_PER_HOUR = 3
CONTEXT = Context(home="/home/dev", workspace="/home/dev/project")


def _decisions(path: Path, evaluator: Evaluator) -> list[tuple[str, Decision]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    return [
        (line["asked_by"], evaluator.evaluate(msgspec.convert(line["action"], Action)))  # type: ignore[arg-type]
        for line in lines
        if line["asked_by"] != "run"
    ]


@pytest.fixture(scope="module")
def judged() -> dict[str, list[tuple[str, Decision]]]:
    evaluator = Evaluator(policy(), CONTEXT)
    return {path.stem: _decisions(path, evaluator) for path in SESSIONS}


def test_there_is_a_recording_of_each_task_from_both_agents() -> None:
    assert {path.stem for path in SESSIONS} == {task.name for task in TASKS}
    assert len(TASKS) >= 12
    assert {task.agent for task in TASKS} == {"codex", "claude"}


def test_every_tool_call_of_a_task_is_in_its_recording(judged: dict[str, list[tuple[str, Decision]]]) -> None:
    hooks = {name: sum(asked_by == "hook" for asked_by, _ in found) for name, found in judged.items()}

    assert hooks == {task.name: len(task.steps) for task in TASKS}


def test_nothing_in_an_everyday_session_is_denied(judged: dict[str, list[tuple[str, Decision]]]) -> None:
    denied = [
        decision.message for found in judged.values() for _, decision in found if decision.verdict is Verdict.DENY
    ]

    assert denied == []


def test_people_are_asked_three_times_an_hour_at_most(judged: dict[str, list[tuple[str, Decision]]]) -> None:
    # A session is asked once about the same thing: whoever says yes says it for as long as it is open. What a snapshot
    # brings back is kept first, and then runs.
    asked = [
        {action_digest(one.action): one.message for _, one in found if one.verdict is Verdict.ASK and not one.undoable}
        for found in judged.values()
    ]
    calls = sum(asked_by == "hook" for found in judged.values() for asked_by, _ in found)
    hours = calls / CALLS_PER_HOUR
    prompts = [message for one in asked for message in one.values()]

    print(
        f"\n{len(prompts)} prompts in {calls} tool calls of {len(judged)} sessions: {len(prompts) / hours:.1f} an hour"
    )
    assert len(prompts) / hours <= MOST_PROMPTS_PER_HOUR, prompts
