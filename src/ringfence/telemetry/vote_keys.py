"""Whose key has signed a vote: this account's own, or one that the person has listed with the people it speaks for.

A vote that others put into a shared store is theirs only as far as this says so. The key of this account speaks for
everybody, because what it signs was taken down by our own commands and pages.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from ringfence.model.display import visible
from ringfence.model.vote import PERSON, Authentication, Vote, signed_part, text_digest
from ringfence.telemetry import notes

KEY = "approver-key"
"""The key that signs this user's votes, beside the ledger; the verifier's has `.pub` appended."""
KNOWN = "approver-keys"
"""Verifier keys of others, one a line, each with the people whose votes it signs."""
ANYBODY = "*"
"""In the place of people: whoever the vote names."""


class ListedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `approver-keys`."""

    key: notes.VerifierKey
    people: tuple[str, ...] = ()
    """Whose votes count that it signs; for none, it only verifies records."""


class VoteKeys:
    """The keys of one user, read anew for each vote of somebody else: a key that is taken off the list is gone."""

    def __init__(self, folder: str) -> None:
        self._own = os.path.join(folder, f"{KEY}.pub")
        self._listed = os.path.join(folder, KNOWN)

    def problem(self, vote: Vote) -> str:
        """Why a vote is not by whom it names; empty where it is."""
        if not vote.signature:
            return "it is not signed"
        own = next((one.key for one in listed(self._own) if str(one.key) == vote.key), None)
        other = None if own is not None else self._of_others(vote)
        if isinstance(other, str):
            return other
        key = own or other
        assert key is not None
        if vote.text_digest != text_digest(vote):
            return "its reason is not the one that was signed"
        if not notes.holds(signed_part(vote), vote.signature, key):
            return "its signature does not hold"
        return _passkey(vote)

    def _of_others(self, vote: Vote) -> notes.VerifierKey | str:
        found = [one for one in listed(self._listed) if str(one.key) == vote.key]
        name = vote.approver.removeprefix(PERSON)
        if not found:
            return f"it is signed by a key that is not in `{KNOWN}`"
        if not any(one in (ANYBODY, name) for line in found for one in line.people):
            return f"its key is not listed for `{visible(name)}` in `{KNOWN}`"
        return found[0].key


def _passkey(vote: Vote) -> str:
    if vote.authentication is not Authentication.PASSKEY:
        return ""
    # Imported here, because most sessions are asked nothing.
    from ringfence.telemetry import assertions

    why = assertions.problem(vote)
    return why and f"its passkey does not hold: {why}"


def listed(file: str) -> Iterator[ListedKey]:
    """The keys in a file. What cannot be read is no key: votes by it are not known, and that is told."""
    try:
        with open(file, encoding="utf-8") as stream:
            lines = stream.read().splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        words = line.split()
        if words and not words[0].startswith("#"):
            try:
                yield ListedKey(key=notes.parse_key(words[0]), people=tuple(words[1:]))
            except ValueError:
                continue
