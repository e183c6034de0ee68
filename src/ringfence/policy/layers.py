"""The layers of a policy, which of them people cannot loosen, and how strictly a rule is meant. Data: the merge reads
it, messages name it."""

from __future__ import annotations

from enum import StrEnum


class Layer(StrEnum):
    """Who wrote a document, lowest authority over the defaults first."""

    PRESET = "preset"
    MANAGED = "managed"
    USER = "user"
    PROJECT = "project"
    SESSION = "session"
    REQUIREMENTS = "requirements"

    @property
    def binds(self) -> bool:
        """Whether people cannot loosen what this layer says: it belongs to whoever runs the machine."""
        return self in {Layer.MANAGED, Layer.REQUIREMENTS}


class Enforcement(StrEnum):
    """How strictly a rule or a document is meant."""

    OBSERVE = "observe"
    """Decides nothing; every decision says what it would have changed."""
    SOFT = "soft"
    """A deny that somebody may override, with a reason that goes on record."""
    HARD = "hard"
    """Holds."""
