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

    name = "queue"
    refusal = ""

    def __init__(self, announce: Callable[[str], None]) -> None:
        self._announce = announce

    async def ask(self, request: Request) -> Outcome:
        """Say where to answer, and wait."""
        self._announce(
            f"ringfence: waiting for an answer: {request.prompt[0]}\n"
            f"  see it   ringfence approvals show {request.id}\n"
            f"  allow    ringfence approvals approve {request.id}\n"
            f"  refuse   ringfence approvals deny {request.id}"
        )
        elsewhere: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        return await elsewhere
