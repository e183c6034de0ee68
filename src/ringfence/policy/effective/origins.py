"""Where every value of a policy comes from, and what was written and does not count."""

from __future__ import annotations

import msgspec


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a value was written."""

    layer: str
    """`requirements`, `managed`, `user`, `project`, `session`, `preset:NAME` or `built-in`."""
    source: str
    """`file:line`."""


BUILT_IN = Origin(layer="built-in", source="ringfence")
"""Where a value comes from that nobody wrote."""


class Inactive(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was written and does not count, and why."""

    origin: Origin
    what: str
    """What was written, in words that a sentence can begin with."""
    why: str
    by: Origin | None = None
    """What stands in its way, where that was written somewhere."""
    told: bool = True
    """False where its author meant it so, such as an own value in place of a preset's: shown, but never a notice."""

    def __str__(self) -> str:
        return f"{self.origin.source}: {self.what} does not apply: {self.why}"
