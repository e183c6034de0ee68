"""Waits for an answer that is given elsewhere: in another terminal with `ringfence approvals`, or on a page.

It only says where to answer. The vote comes in at the desk, which every open question watches, whichever way it asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ringfence.approvals.channels.channel import Outcome
from ringfence.approvals.objects import Request


class Queue:
    """Asks whoever looks at the list of open requests (`ringfence.approvals.channels.channel.Channel`)."""

    refusal = ""

    def __init__(self, announce: Callable[[str], None], name: str = "queue") -> None:
        self.name = name
        self._announce = announce

    async def ask(self, request: Request) -> Outcome:
        """Say where to answer, and wait."""
        page = ["  answer   on the page of `ringfence ui`"] if self.name == "web" else []
        lines = [
            f"ringfence: waiting for an answer: {request.prompt[0]}",
            *page,
            f"  see it   ringfence approvals show {request.id}",
            f"  allow    ringfence approvals approve {request.id}",
            f"  refuse   ringfence approvals deny {request.id}",
        ]
        self._announce("\n".join(lines))
        elsewhere: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        return await elsewhere
