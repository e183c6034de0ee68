"""The way of asking where there is nobody: everything that would be asked is denied, and says so."""

from __future__ import annotations

from ringfence.approvals.channels.channel import Outcome, Unanswered
from ringfence.approvals.objects import Request


class Nobody:
    """Asks nobody (`ringfence.approvals.channels.channel.Channel`)."""

    name = "deny"

    def __init__(self, reason: str = "there is nobody to ask") -> None:
        self.refusal = reason

    async def ask(self, request: Request) -> Outcome:
        """Say that nobody can be asked."""
        return Unanswered(reason=self.refusal)
