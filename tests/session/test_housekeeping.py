"""Connections that an agent makes for its own sake raise no question, and nothing else changes."""

from __future__ import annotations

import pytest

from ringfence.model.action import Action, CommandAction, ConnectAction
from ringfence.model.decision import Decision, Verdict
from ringfence.session.housekeeping import without_asking

TIPS = ConnectAction(host="tips.example", port=443)
OTHER = ConnectAction(host="other.example", port=443)
COMMAND = CommandAction(argv=("tips.example",), cwd="/w")


def judged(action: Action, verdict: Verdict) -> tuple[Decision, Decision]:
    before = Decision(verdict=verdict, action=action, reasons=(), policy="p", message="as it was")
    return before, without_asking(lambda _: before, ("tips.example",), "codex")(action)


def test_a_question_about_such_a_host_is_a_denial_with_the_way_out() -> None:
    _, after = judged(TIPS, Verdict.ASK)

    assert (after.verdict, after.reasons[0].rule) == (Verdict.DENY, "agent.housekeeping")
    assert after.next_steps == ("allow it for a session with `--allow-host tips.example`",)


@pytest.mark.parametrize(
    ("action", "verdict"),
    [
        (TIPS, Verdict.ALLOW),
        (TIPS, Verdict.DENY),
        (OTHER, Verdict.ASK),
        (OTHER, Verdict.ALLOW),
        (COMMAND, Verdict.ASK),
    ],
    ids=str,
)
def test_every_other_judgement_stays_as_it_is(action: Action, verdict: Verdict) -> None:
    before, after = judged(action, verdict)

    assert after is before
