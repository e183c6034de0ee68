"""Answers an agent's hooks: what it says it will do goes to the gate, what it says it did goes on record."""

from __future__ import annotations

from typing import Protocol, assert_never

from ringfence.agents.agent import HookCall, HookMoment
from ringfence.model.action import Action
from ringfence.model.decision import Decision
from ringfence.model.event import PromptSubmitted, ToolCallCompleted, ToolCallRequested
from ringfence.model.ports import Recorder


class Decide(Protocol):
    """The gate, as the judge needs it."""

    async def decide(self, action: Action, *, asked_by: str, call: str | None = None) -> Decision:
        """The final decision, on record before it is returned."""
        ...


class Judge:
    """One agent's hooks in one session."""

    def __init__(self, gate: Decide, recorder: Recorder) -> None:
        self._gate = gate
        self._recorder = recorder

    async def __call__(self, call: HookCall) -> Decision | None:
        """The strictest decision over everything that the call would do; None where it only reports."""
        match call.moment:
            case HookMoment.BEFORE_TOOL:
                return await self._before_tool(call)
            case HookMoment.AFTER_TOOL:
                await self._recorder.record(
                    ToolCallCompleted(tool=call.tool, call=call.call, success=call.success, result=call.result)
                )
            case HookMoment.PROMPT:
                text = call.prompt or ""
                await self._recorder.record(PromptSubmitted(length=len(text), text=text))
            case HookMoment.SESSION:
                pass
            case _:
                assert_never(call.moment)
        return None

    async def _before_tool(self, call: HookCall) -> Decision:
        await self._recorder.record(ToolCallRequested(tool=call.tool, call=call.call, arguments=call.arguments))
        assert call.actions, "a tool call without an action would be allowed unjudged"
        decisions = [
            await self._gate.decide(action, asked_by="hook", call=call.call or None) for action in call.actions
        ]
        return max(decisions, key=lambda decision: decision.verdict.strictness)
