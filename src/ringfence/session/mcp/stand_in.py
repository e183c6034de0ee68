"""Answers the program that stands between an agent and a server on standard streams: may this list be shown, may this
call go on.

What that program says is judged as what anybody inside might say. It is no boundary: the sandbox around the server is.
"""

from __future__ import annotations

import msgspec

from ringfence.agents.agent import HookAnswer, HookUnreadable
from ringfence.agents.hook_answer import denial_text
from ringfence.approvals.gate import Gate
from ringfence.model.action import McpAction
from ringfence.model.canonical import json_text, text_from_os
from ringfence.model.decision import Decision, Verdict
from ringfence.model.tool_list import ListUnread, read_tools
from ringfence.policy.mcp_identity import command_identity
from ringfence.session.mcp.servers import Servers

ASKED_BY = "mcp"
_MOST_WORDS = 4096


class _Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    server: str
    command: list[str]
    tool: str = ""
    arguments: object = None
    tools: list[object] = []


class StandIn:
    """Answers for one session."""

    def __init__(self, gate: Gate, servers: Servers) -> None:
        self._gate = gate
        self._servers = servers

    async def __call__(self, event: str, payload: bytes) -> HookAnswer:
        """One question. `HookUnreadable` where it is none."""
        question = _read(payload)
        server, identity = text_from_os(question.server), command_identity(question.command)
        if event == "McpTools":
            return _answer(await self._list(server, identity, question))
        if event == "McpCall":
            return _answer(await self._call(server, identity, question))
        raise HookUnreadable(f"`{event}` is no question about a server of tools")

    async def _list(self, server: str, identity: str, question: _Question) -> Decision:
        try:
            tools = read_tools(question.tools)
        except ListUnread as unread:
            raise HookUnreadable(str(unread)) from None
        decision = await self._gate.decide(self._servers.listed(server, identity, tools), asked_by=ASKED_BY)
        if decision.verdict is Verdict.ALLOW:
            self._servers.take(server, identity, tools.digest)
        return decision

    async def _call(self, server: str, identity: str, question: _Question) -> Decision | None:
        if not question.tool:
            raise HookUnreadable("a call names no tool")
        arguments = json_text({} if question.arguments is None else question.arguments)
        named = McpAction(server=server, tool=text_from_os(question.tool), arguments=arguments)
        action = self._servers.called(named, identity)
        # The agent's own hook asked about this call, and its answer is on record: nobody is asked twice.
        if self._servers.was_told(action):
            return None
        return await self._gate.decide(action, asked_by=ASKED_BY)


def _answer(decision: Decision | None) -> HookAnswer:
    if decision is None or decision.verdict is Verdict.ALLOW:
        return HookAnswer()
    return HookAnswer(stderr=denial_text(decision).encode(), exit_code=2)


def _read(payload: bytes) -> _Question:
    try:
        question = msgspec.json.decode(payload, type=_Question)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise HookUnreadable(f"the question is not one about a server of tools: {error}") from None
    if not question.server or not 0 < len(question.command) <= _MOST_WORDS:
        raise HookUnreadable("the question names no server")
    return question
