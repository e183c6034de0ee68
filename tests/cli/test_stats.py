"""`ringfence stats prompts` over a real record."""

from __future__ import annotations

import json

import pytest
from tests.cli.conftest import Person

pytestmark = pytest.mark.slow


def test_a_question_that_nobody_could_answer_is_a_prompt(person: Person) -> None:
    person.types("exec", "--", "git", "push")
    person.types("exec", "--", "true")

    found = json.loads(person.types("stats", "prompts", "--json").out)
    shown = person.types("stats", "prompts").out

    assert (found["schema"], found["sessions"], found["decisions"], found["prompts"]) == (1, 2, 2, 1)
    assert (found["answered"], found["approved"], found["proposal"]) == (0, 0, [])
    assert "1 prompt in 2 sessions" in shown
    assert found["rules"][0]["rule"] in shown
