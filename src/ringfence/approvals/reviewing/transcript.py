"""What a reviewer sees of a session: the person's words and the tool calls, and never what the agent thinks or says.

An agent that argues well must not talk its reviewer over; neither must a file that it has read. Only the person's own
words can authorise anything, so they are kept apart from everything else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import StrEnum

import msgspec

from ringfence.model.display import shortened, visible

MAX_ENTRIES = 40
WORDS_CHARACTERS = 40_000
"""All of the person's words together; about 10,000 tokens."""
CALLS_CHARACTERS = 40_000
WORD_CHARACTERS = 8_000
"""One message."""
CALL_CHARACTERS = 4_000
_KEPT = 200


class Kind(StrEnum):
    """Whose words an entry has."""

    PERSON = "person"
    """What the person typed where nothing inside can imitate it."""
    REPORTED = "reported"
    """What the agent's hooks say that the person typed."""
    CALL = "call"
    """A tool call of the agent."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, in order."""

    kind: Kind
    text: str
    outcome: str = ""
    """For a tool call: what was decided about it."""


class Transcript:
    """The last entries of a session. What falls out is said to be missing, never silently dropped."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_KEPT)
        self._dropped = 0

    def said(self, text: str) -> None:
        """The person said something to the agent."""
        self._add(Entry(kind=Kind.PERSON, text=shortened(visible(text), WORD_CHARACTERS)))

    def reported(self, text: str) -> None:
        """The agent's hooks say that the person said something."""
        self._add(Entry(kind=Kind.REPORTED, text=shortened(visible(text), WORD_CHARACTERS)))

    def called(self, text: str, outcome: str) -> None:
        """A tool was called, and that was decided."""
        self._add(Entry(kind=Kind.CALL, text=shortened(visible(text), CALL_CHARACTERS), outcome=outcome))

    def _add(self, entry: Entry) -> None:
        self._dropped += len(self._entries) == _KEPT
        self._entries.append(entry)

    @property
    def words(self) -> tuple[str, ...]:
        """The person's words, oldest first."""
        return tuple(entry.text for entry in self._entries if entry.kind is Kind.PERSON)

    def excerpt(self) -> tuple[tuple[Entry, ...], int]:
        """What fits, oldest first, and how many entries do not: the latest of each kind are kept."""
        chosen: list[Entry] = []
        left = {Kind.PERSON: WORDS_CHARACTERS, Kind.REPORTED: WORDS_CHARACTERS, Kind.CALL: CALLS_CHARACTERS}
        for entry in self._latest():
            left[entry.kind] -= len(entry.text)
            if left[entry.kind] >= 0 and len(chosen) < MAX_ENTRIES:
                chosen.append(entry)
        return tuple(reversed(chosen)), len(self._entries) - len(chosen) + self._dropped

    def _latest(self) -> Iterator[Entry]:
        return reversed(self._entries)
