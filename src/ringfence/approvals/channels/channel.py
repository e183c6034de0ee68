"""What every way of asking has in common: a question goes in, an answer or the reason why there is none comes out.

A channel never decides: it carries. Whatever it raises, the gate turns into a deny.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

import msgspec

from ringfence.approvals.objects import Request, Scope
from ringfence.model.vote import Authentication


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a person said."""

    vote: str
    """The id of the vote, so that the same answer is never counted twice."""
    approver: str
    """`person:NAME`."""
    approve: bool
    seen: str
    """The digest of what was shown: computed from it, never copied from the request."""
    scope: Scope = Scope.ONCE
    reason: str = ""
    authentication: Authentication = Authentication.ACCOUNT
    """How they have shown who they are."""
    evidence: str = ""
    """What proves that, where it can be checked later."""


class Unanswered(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody answered, and nobody will. This is a deny; it says nothing about the action."""

    reason: str
    """In words for people: `nobody to ask`, `the terminal went away` ..."""


Outcome: TypeAlias = Answer | Unanswered


class OwnPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """The prompt that an agent has itself, for one of its tool calls. It is no channel: its answer never comes here."""

    agent: str
    call: str
    """The agent's own id of the tool call."""
    arguments: str
    """The tool's arguments, as text."""
    refusal: str = ""
    """Why nobody would be asked by it; empty where somebody is."""


class Channel(Protocol):
    """A way of asking."""

    @property
    def name(self) -> str:
        """`terminal`, `queue` ..., as it is recorded."""
        ...

    @property
    def refusal(self) -> str:
        """Why this way never reaches anybody, where that is known before asking; otherwise empty."""
        ...

    async def ask(self, request: Request) -> Outcome:
        """Put the question. The gate cancels it when the deadline has passed or nobody waits any more."""
        ...
