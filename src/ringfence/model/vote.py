"""Votes: one person's answer to one question, linked to the vote before it and signed, so that it can be checked later.

What is linked and signed is the canonical JSON of the vote, with the digest of its free texts in their place: a record
may have to keep a word out, and the vote still verifies. The first vote on a request is linked to the request itself:
to the action, the policy and the digest of what was shown.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ringfence.model.canonical import canonical_json, digest

PERSON = "person:"
"""How the name of an approver who is a human begins. Only they count towards a quorum."""
REVIEWER = "reviewer:"
"""How the name of a reviewing model begins."""
AGENT = "agent:"
"""How the name of an agent begins that reports what somebody answered at its own prompt."""


class Scope(StrEnum):
    """How far an approval reaches."""

    ONCE = "once"
    SESSION = "session"
    REPO = "repo"


class Authentication(StrEnum):
    """How whoever answered has shown who they are, weakest first."""

    AGENT_REPORTED = "agent-reported"
    """By nothing: the agent says that somebody answered at its own prompt. It never counts where people have to
    answer."""
    ACCOUNT = "account"
    """By the account of the machine that they typed in."""
    SIGNED = "signed"
    """By a message with a valid signature, such as a webhook's."""
    PASSKEY = "passkey"
    """By a passkey, with user verification, over what was shown."""


class Vote(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. The same id again is the same vote."""

    id: str
    request: str
    approver: str
    """`person:NAME`, `reviewer:NAME`, `agent:NAME`."""
    approve: bool
    seen: str
    """The digest of what the person saw."""
    scope: Scope = Scope.ONCE
    reason: str = ""
    seconds: int | None = None
    """How long it is remembered, where the person said so."""
    words: int | None = None
    """For a remembered answer: that it is for every command that begins with so many of its words. None for exactly
    what was shown."""
    channel: str = ""
    """Which way the answer came."""
    authentication: Authentication = Authentication.ACCOUNT
    evidence: str = ""
    """What proves the authentication, where it can be checked later: a passkey's assertion."""
    at_ms: int = 0
    """When it was taken, in milliseconds since the epoch."""
    text_digest: str = ""
    """The digest of the reason and the evidence."""
    previous: str = ""
    """The digest of the vote before it on this request; of the first one, of the request."""
    key: str = ""
    """The verifier key of whoever signed it; empty where nobody could."""
    signature: str = ""

    @property
    def is_human(self) -> bool:
        """Whether a person gave it."""
        return self.approver.startswith(PERSON)


def binding(*, request: str, action: str, policy: str, shown: str) -> str:
    """What the first vote on a request is linked to."""
    return digest({"request": request, "action": action, "policy": policy, "shown": shown})


def text_digest(vote: Vote) -> str:
    """What stands for the free texts of a vote where it is signed."""
    return digest([vote.reason, vote.evidence])


def signed_part(vote: Vote) -> bytes:
    """The bytes that are signed: everything but the signature, with the digest in place of the texts."""
    return canonical_json(_said(msgspec.structs.replace(vote, reason="", evidence="", signature="")))


def link(vote: Vote) -> str:
    """What the next vote is linked to."""
    return digest(_said(msgspec.structs.replace(vote, reason="", evidence="")))


def _said(vote: Vote) -> dict[str, object]:
    """What a vote says beyond the defaults: a field that is added later changes no vote of before."""
    named = {field.name for field in msgspec.structs.fields(vote) if getattr(vote, field.name) != field.default}
    plain: dict[str, object] = msgspec.to_builtins(vote)
    return {name: value for name, value in plain.items() if name in named}


def same_answer(one: Vote, other: Vote) -> bool:
    """Whether two votes say the same, whenever and however they were taken down."""
    return _answer(one) == _answer(other)


def _answer(vote: Vote) -> tuple[object, ...]:
    return (
        vote.id,
        vote.request,
        vote.approver,
        vote.approve,
        vote.seen,
        vote.scope,
        vote.reason,
        vote.seconds,
        vote.words,
    )
