"""What a policy keeps out of the record."""

from __future__ import annotations

import pytest
from tests.approvals.made import Memory, command, decision

from ringfence.model.event import Body, DecisionMade, NoticeGiven, ToolCallRequested
from ringfence.policy.effective import TelemetryPolicy, ToolArguments
from ringfence.session.redacting import Redacting

CALL = ToolCallRequested(tool="Bash", call="call-1", arguments='{"command":"deploy customer-acme"}')


async def recorded(body: Body, telemetry: TelemetryPolicy) -> Body:
    memory = Memory()
    await Redacting(memory, telemetry, lambda: b"key").record(body)
    return memory.bodies[0]


async def test_arguments_of_tool_calls_can_be_kept_as_a_digest() -> None:
    kept = await recorded(CALL, TelemetryPolicy(tool_arguments=ToolArguments.DIGEST))

    assert isinstance(kept, ToolCallRequested)
    assert (kept.tool, kept.call) == ("Bash", "call-1")
    assert "acme" not in kept.arguments
    assert kept.arguments.startswith('{"digest":"')


@pytest.mark.parametrize(
    "body",
    [
        CALL,
        NoticeGiven(topic="t", text="see customer-acme."),
        DecisionMade(decision=decision(command("x", "customer-acme")), asked_by="exec"),
    ],
)
async def test_words_that_match_are_replaced_by_the_same_stand_in_everywhere(body: Body) -> None:
    kept = await recorded(body, TelemetryPolicy(redact=("customer-*",)))

    assert "acme" not in repr(kept)
    assert repr(kept).count("redacted-") == 1
    assert type(kept) is type(body)


async def test_what_does_not_match_stays_as_it_is() -> None:
    assert await recorded(CALL, TelemetryPolicy(redact=("secret-*",))) == CALL
