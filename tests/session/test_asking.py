"""What a session says about who is asked."""

from __future__ import annotations

import pytest

from ringfence.agents.agent import AgentSetup
from ringfence.model.decision import Risk
from ringfence.session.asking import left_to_agents
from ringfence.session.options import Ask

CLAUDE = AgentSetup(name="claude", argv=("claude",), own_prompt="")
CODEX = AgentSetup(name="codex", argv=("codex",))


@pytest.mark.parametrize("ask", [one for one in Ask if one is not Ask.DELEGATED])
def test_who_does_not_want_the_agents_own_prompt_hears_nothing_of_it(ask: Ask) -> None:
    assert left_to_agents(ask, CLAUDE, Risk.LOW) == ()


@pytest.mark.parametrize(
    ("setup", "limit", "why"),
    [
        (CLAUDE, None, "the policy leaves none to it (`approvals.delegate`)"),
        (CODEX, Risk.LOW, "the hooks of this agent cannot bring up a prompt of its own"),
    ],
)
def test_where_no_question_is_left_to_the_agent_it_is_said_why_and_who_is_asked(
    setup: AgentSetup, limit: Risk | None, why: str
) -> None:
    (said,) = left_to_agents(Ask.DELEGATED, setup, limit)

    assert said == f"no question is left to the agent's own prompt, and all are asked as with `--ask terminal`: {why}"
