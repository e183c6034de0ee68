"""Any program: a shell, a script, an agent that somebody wrote. It has no hooks; the guarantees hold all the same."""

from __future__ import annotations

from ringfence.agents.agent import AgentRequest, AgentSetup, Disk, HookAnswer, HookCall, HookUnreadable
from ringfence.agents.hook_answer import denied
from ringfence.model.decision import Decision


class Generic:
    """The profile of a program that we know nothing about."""

    name = "generic"

    def prepare(self, request: AgentRequest, disk: Disk) -> AgentSetup:
        """Nothing beyond what the policy gives."""
        return AgentSetup(name=self.name, argv=request.argv)

    def parse_hook(self, event: str, payload: bytes) -> HookCall:
        """There is no hook, so whoever calls one is not the agent."""
        raise HookUnreadable("this program has no hooks")

    def render(self, call: HookCall, decision: Decision | None) -> HookAnswer:
        """Never an allowance."""
        return denied(call.event, "this program has no hooks")

    def refuse(self, event: str, reason: str) -> HookAnswer:
        """A denial without a decision."""
        return denied(event, reason)
