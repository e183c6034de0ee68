"""Any program: a shell, a script, an agent that somebody wrote. The guarantees hold for it without its help.

One that wants its tool calls judged and on record runs the hook client that lies in every sandbox, with the JSON that
the larger agents hand to theirs: `tool_name`, `tool_input`, `cwd`. See `docs/home-made-agents.md`.
"""

from __future__ import annotations

from ringfence.agents import claude_hooks
from ringfence.agents.agent import AgentRequest, AgentSetup, Disk, HookAnswer, HookCall
from ringfence.agents.hook_answer import allowed, denial_text, denied
from ringfence.agents.hook_command import hook_program
from ringfence.agents.mcp_wrapping import stand_in
from ringfence.model.decision import Decision, Verdict


class Generic:
    """The profile of a program that we know nothing about."""

    name = "generic"

    def __init__(self, home: str, notices: tuple[str, ...] = ()) -> None:
        self._home = home
        self._notices = notices

    def prepare(self, request: AgentRequest, disk: Disk) -> AgentSetup:
        """Nothing beyond what the policy gives, and the hook client for those who ask."""
        return AgentSetup(
            name=self.name, argv=request.argv, files=(hook_program(disk), stand_in(disk)), notices=self._notices
        )

    def parse_hook(self, event: str, payload: bytes) -> HookCall:
        """Read a tool call in the common form."""
        return claude_hooks.parse(event, payload, self._home)

    def render(self, call: HookCall, decision: Decision | None) -> HookAnswer:
        """Exit code 0 to go on; 2 with the reason otherwise."""
        if decision is None:
            return HookAnswer()
        if decision.verdict is Verdict.ALLOW:
            return allowed(call.event, say_so=True)
        return denied(call.event, denial_text(decision))

    def refuse(self, event: str, reason: str) -> HookAnswer:
        """A denial without a decision."""
        return denied(event, reason)
