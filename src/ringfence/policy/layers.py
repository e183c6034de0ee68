"""The layers of a policy, and which of them people cannot loosen. Data: the merge reads it, messages name it."""

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
