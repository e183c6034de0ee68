"""Checks the votes in a record: each signed by a key that is known, linked to the one before, about what was shown.

A request that was approved has to have a vote that approves it, or a broken glass; what an agent reports of its own
prompt approves nothing, and only ends what was left to that prompt. Known are the key of this user and
those that somebody listed in `approver-keys` beside the ledger.
"""

from __future__ import annotations

import os

import msgspec

from ringfence.model.display import visible
from ringfence.model.event import ApprovalRequested, ApprovalTransition, Body, VoteTaken
from ringfence.model.vote import Authentication, Vote, binding, link, signed_part, text_digest
from ringfence.telemetry import assertions, notes
from ringfence.telemetry.vote_keys import KEY, KNOWN, listed

_KEPT_OUT = ("redacted-", "secret:", "[cut: ")
"""What stands in the record in place of words that were kept out of it."""
_APPROVED = "approved"
_BREAK_GLASS = "break-glass"
_MAX_REQUESTS = 100_000
"""Requests whose votes are kept in mind; beyond, those of the oldest are not compared any more."""


class Wrong(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with a vote."""

    sequence: int
    text: str


class _Known(msgspec.Struct):
    """What the record has said of one request so far."""

    requested: ApprovalRequested | None = None
    last: Vote | None = None
    refused: set[str] = msgspec.field(default_factory=set)
    """Links of votes since then that did not count: whoever voted next found them in the store."""
    ids: set[str] = msgspec.field(default_factory=set)
    approving: bool = False
    reported: bool = False
    """Whether an agent reported a yes at its own prompt."""


class VoteCheck:
    """Goes through a record once, in its order."""

    def __init__(self, ledger: str) -> None:
        folder = os.path.dirname(ledger)
        files = (os.path.join(folder, f"{KEY}.pub"), os.path.join(folder, KNOWN))
        self._keys = {str(one.key): one.key for file in files for one in listed(file)}
        self._requests: dict[str, _Known] = {}
        self.erased = False
        """Whether contents were erased before this: then what is missing proves nothing."""
        self.signed = 0
        """Votes whose signature and link hold."""

    def take(self, sequence: int, body: Body) -> tuple[Wrong, ...]:
        """What is wrong with one event."""
        match body:
            case ApprovalRequested():
                self._known(body.request).requested = body
                return ()
            case VoteTaken(refused=""):
                found = self._vote(body.vote)
            case VoteTaken(vote=vote):
                self._known(vote.request).refused.add(link(vote))
                return ()
            case ApprovalTransition(after="approved") if body.channel != _BREAK_GLASS:
                known = self._known(body.request)
                # Records of before votes were signed have transitions alone.
                missing = body.shown and not known.approving and not self.erased
                found = (
                    [f"request {visible(body.request)} is {_APPROVED} without a vote that says so"] if missing else []
                )
            case ApprovalTransition(before="delegated", after="consumed"):
                missing = not self._known(body.request).reported and not self.erased
                found = (
                    [f"request {visible(body.request)} went ahead without the agent's report of a yes"]
                    if missing
                    else []
                )
            case _:
                return ()
        return tuple(Wrong(sequence=sequence, text=text) for text in found)

    def _vote(self, vote: Vote) -> list[str]:
        known = self._known(vote.request)
        if vote.id in known.ids:
            return []
        name = f"the vote {visible(vote.id)} by {visible(vote.approver)}"
        wrong = self._signature(vote, name)
        if not self.erased:
            wrong += _linked(vote, known, name)
        if vote.text_digest != text_digest(vote) and not any(mark in vote.reason + vote.evidence for mark in _KEPT_OUT):
            wrong.append(f"the reason of {name} is not the one that was signed")
        if why := _passkey(vote):
            wrong.append(f"the passkey of {name} does not hold: {why}")
        known.ids.add(vote.id)
        known.last = vote
        known.refused.clear()
        if vote.authentication is Authentication.AGENT_REPORTED:
            known.reported |= vote.approve
        else:
            known.approving |= vote.approve
        self.signed += not wrong
        return wrong

    def _signature(self, vote: Vote, name: str) -> list[str]:
        if not vote.signature:
            return [f"{name} is not signed"]
        key = self._keys.get(vote.key)
        if key is None:
            return [f"{name} is signed by a key that is not known here; list it in `{KNOWN}` if you trust it"]
        return [] if notes.holds(signed_part(vote), vote.signature, key) else [f"the signature of {name} does not hold"]

    def _known(self, request: str) -> _Known:
        if len(self._requests) > _MAX_REQUESTS:
            del self._requests[next(iter(self._requests))]
        return self._requests.setdefault(request, _Known())


def _passkey(vote: Vote) -> str:
    whole = not any(mark in vote.reason + vote.evidence for mark in _KEPT_OUT)
    return assertions.problem(vote) if vote.authentication is Authentication.PASSKEY and whole else ""


def _linked(vote: Vote, known: _Known, name: str) -> list[str]:
    asked = known.requested
    if asked is None:
        return [f"{name} is about a request that is not on record"]
    wrong = [f"{name} is about something else than what was shown"] if vote.seen != asked.shown else []
    first = binding(request=asked.request, action=asked.action, policy=asked.policy, shown=asked.shown)
    before = first if known.last is None else link(known.last)
    if vote.previous != before and vote.previous not in known.refused:
        wrong.append(f"{name} is not linked to the one before it")
    return wrong
