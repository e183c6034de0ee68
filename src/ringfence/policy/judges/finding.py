"""What a judge finds: the reasons for and against, the effects, and whether it saw everything."""

from __future__ import annotations

import msgspec

from ringfence.model.action import ConnectAction, Effect, FileAction
from ringfence.model.decision import Reason, Verdict
from ringfence.policy.effective import Origin

UNCERTAIN = "it may be this, which shows only when it runs: "
"""How a reason begins where a rule may speak about a command or not: a person answers, whatever the rule says."""


class Concerning(msgspec.Struct, frozen=True, kw_only=True):
    """A reason about a command that lies in one host or file which it opens."""

    reason: Reason
    action: ConnectAction | FileAction
    """What it does there, as it would be judged by itself."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """All that is to be said about an action."""

    reasons: tuple[Reason, ...]
    effects: tuple[Effect, ...] = ()
    opaque: bool = False
    undoable: bool = False
    """Whether all that is asked about can be brought back by a snapshot of the workspace."""
    concerning: tuple[Concerning, ...] = ()
    """Which of the reasons about a command lie in a host or a file, so that it can be said how those are opened."""


def reason(rule: str, origin: Origin, verdict: Verdict, text: str) -> Reason:
    """A reason that a written rule or value gives."""
    return Reason(rule=rule, layer=origin.layer, source=origin.source, verdict=verdict, text=text)


def built_in(rule: str, verdict: Verdict, text: str) -> Reason:
    """A reason that is a limit of Ringfence itself."""
    return Reason(rule=rule, layer="built-in", source="ringfence", verdict=verdict, text=text)
