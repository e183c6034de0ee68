"""Judges the lists of tools that come over HTTP, and says of which hosts the calls are to be looked at."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ringfence.model.action import McpAction, ServerFacts
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.model.situations import RingfenceError
from ringfence.model.tool_list import ListUnread, read_tools
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.judges.connect import FactsWanted
from ringfence.session.mcp.servers import LISTING, Servers


class Reached:
    """The servers that are reached over HTTP."""

    def __init__(self, servers: Servers, evaluator: Evaluator) -> None:
        self._servers = servers
        self._evaluator = evaluator

    def listed(self, server: str, identity: str, tools: list[object], *, whole: bool) -> Decision:
        """What the policy says about a list."""
        try:
            found = read_tools(tools)
            decision = self._evaluator.evaluate(self._servers.listed(server, identity, found, whole=whole))
            if whole and decision.verdict is Verdict.ALLOW:
                self._servers.take(server, identity, found.digest)
        except ListUnread as unread:
            return _unread(server, identity, str(unread))
        except RingfenceError as situation:
            return _unread(server, identity, situation.message)
        return decision

    def take(self, decision: Decision) -> None:
        """Somebody said yes to the list that this decision is about."""
        action = decision.action
        if isinstance(action, McpAction) and action.facts is not msgspec.UNSET:
            self._servers.take(action.server, action.facts.identity, action.facts.tools)


def _unread(server: str, identity: str, text: str) -> Decision:
    return Decision(
        verdict=Verdict.DENY,
        action=McpAction(server=server, tool=LISTING, facts=ServerFacts(identity=identity, listing=True)),
        reasons=(Reason(rule="mcp.unread", layer="built-in", source="gateway", verdict=Verdict.DENY, text=text),),
        policy="",
        message=f"denied: {text}",
    )


def wanting(wants: Callable[[str, int], FactsWanted], servers: Servers) -> Callable[[str, int], FactsWanted]:
    """What is to be read of requests: calls too, where a server has said that it has tools."""

    def wanted(host: str, port: int) -> FactsWanted:
        found = wants(host, port)
        if found.calls or not servers.is_known(host):
            return found
        return msgspec.structs.replace(found, calls=True)

    return wanted
