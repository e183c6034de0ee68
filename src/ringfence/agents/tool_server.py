"""A server of tools that is started by itself, for an agent outside: any program, behind the stand-in."""

from __future__ import annotations

import msgspec

from ringfence.agents.agent import AgentRequest, AgentSetup, Disk
from ringfence.agents.generic import Generic
from ringfence.agents.mcp_client import NAME
from ringfence.agents.mcp_wrapping import ELSEWHERE, wrapped_anywhere

FOLDER = ELSEWHERE


class ToolServer(Generic):
    """The profile of a server of tools."""

    def __init__(self, home: str, server: str) -> None:
        super().__init__(home)
        self._server = server

    def prepare(self, request: AgentRequest, disk: Disk) -> AgentSetup:
        """The stand-in in front of the server."""
        setup = super().prepare(request, disk)
        # The agent in front is told where nobody has answered yet, and may ask again, as one whose hooks ask.
        return msgspec.structs.replace(
            setup,
            argv=wrapped_anywhere(request.argv, request.interpreter),
            set=((NAME, self._server),),
            hooks=True,
        )
