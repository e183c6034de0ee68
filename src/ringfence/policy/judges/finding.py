"""What a judge finds: the reasons for and against, the effects, and whether it saw everything."""

from __future__ import annotations

import msgspec

from ringfence.model.action import Effect
from ringfence.model.decision import Reason, Verdict
from ringfence.policy.effective import Origin


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """All that is to be said about an action."""

    reasons: tuple[Reason, ...]
    effects: tuple[Effect, ...] = ()
    opaque: bool = False
    undoable: bool = False
    """Whether all that is asked about can be brought back by a snapshot of the workspace."""


def reason(rule: str, origin: Origin, verdict: Verdict, text: str) -> Reason:
    """A reason that a written rule or value gives."""
    return Reason(rule=rule, layer=origin.layer, source=origin.source, verdict=verdict, text=text)


def built_in(rule: str, verdict: Verdict, text: str) -> Reason:
    """A reason that is a limit of Ringfence itself."""
    return Reason(rule=rule, layer="built-in", source="ringfence", verdict=verdict, text=text)
