"""Tells others of a question while it is asked: webhooks, and the desktop. Asking itself is another channel's work.

Being told is no answer: theirs come to the desk, which every open question watches. That somebody could not be told is
said to the person, and changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from ringfence.approvals.channels.channel import Channel, Outcome, Unanswered
from ringfence.approvals.objects import Request


class Listener(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is told."""

    name: str
    tell: Callable[[Request], Awaitable[str]]
    """Returns why it did not arrive; empty where it did."""


class Telling:
    """A way of asking, with others who are told (`ringfence.approvals.channels.channel.Channel`)."""

    def __init__(self, inner: Channel, listeners: Sequence[Listener], announce: Callable[[str], None]) -> None:
        self._inner = inner
        self._listeners = tuple(listeners)
        self._announce = announce

    @property
    def name(self) -> str:
        """The name of the way that is asked."""
        return self._inner.name

    @property
    def refusal(self) -> str:
        """Why that never reaches anybody."""
        return self._inner.refusal

    async def ask(self, request: Request) -> Outcome:
        """Put the question, and tell the others meanwhile."""
        async with asyncio.TaskGroup() as tasks:
            telling = [tasks.create_task(self._tell(one, request)) for one in self._listeners]
            outcome = await self._asked(request)
            for one in telling:
                one.cancel()
        return outcome

    async def _asked(self, request: Request) -> Outcome:
        try:
            return await self._inner.ask(request)
        except Exception as failure:  # noqa: BLE001 - the reason would be lost in a group of exceptions
            return Unanswered(reason=f"asking failed: {failure}")

    async def _tell(self, listener: Listener, request: Request) -> None:
        try:
            problem = await listener.tell(request)
        except Exception as failure:  # noqa: BLE001 - whoever cannot be told must not end the question
            problem = str(failure) or type(failure).__name__
        if problem:
            self._announce(f"ringfence: {listener.name} could not be told of the question: {problem}")
