"""Decisions: a verdict, a placement and every reason for them.

Verdict and placement are two fields: that a command may run without asking never means that it leaves the sandbox.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ringfence.model.action import Action, Effect, action_digest


class Verdict(StrEnum):
    """What may happen with an action. The strictest of several wins: deny, then ask, then allow."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"

    @property
    def strictness(self) -> int:
        """0 for allow, 1 for ask, 2 for deny."""
        return _STRICTNESS[self]


_STRICTNESS = {Verdict.ALLOW: 0, Verdict.ASK: 1, Verdict.DENY: 2}


class Placement(StrEnum):
    """Where an action runs."""

    INSIDE = "inside"
    OUTSIDE = "outside"


class Risk(StrEnum):
    """How bad it could be, for the person who is asked and for the order of a queue."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """One rule or limit that had a say in a decision."""

    rule: str
    """The rule's id; built-in limits have ids of their own, such as `network.default` or `address.private`."""
    layer: str
    """`requirements`, `managed`, `user`, `project`, `session`, `preset:NAME` or `built-in`."""
    source: str
    """`file:line`, as a person would look it up."""
    verdict: Verdict
    """What this rule alone asks for."""
    text: str
    """Why, in words for people."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one action, with all its reasons, strictest first."""

    verdict: Verdict
    action: Action
    reasons: tuple[Reason, ...]
    policy: str
    """The digest of the policy that decided."""
    placement: Placement = Placement.INSIDE
    risk: Risk = Risk.LOW
    effects: tuple[Effect, ...] = ()
    opaque: bool = False
    """Whether what the action does could not be fully analysed."""
    override: bool = False
    """Whether this asks for an override: rules deny it, and all of them are enforced softly. A yes needs a reason."""
    undoable: bool = False
    """Whether a snapshot of the workspace can stand in for the question: it brings back all that would be lost."""
    observed: tuple[Reason, ...] = ()
    """What rules that only observe would have changed; they decide nothing."""
    message: str = ""
    """One sentence for the person or agent who is told."""
    next_steps: tuple[str, ...] = ()
    """What can be done now, each a sentence or a command to type."""
    resolved_by: str = "policy"
    """Who gave the final verdict: `policy`, `grant:ID`, or `person`, `timeout`, `nobody` after an ask."""

    @property
    def because(self) -> Reason | None:
        """The reason that people have to know first: of a question without a yes, the rule that asked."""
        if self.resolved_by not in {"policy", "gateway"}:
            for reason in self.reasons:
                if reason.verdict is Verdict.ASK:
                    return reason
        return self.reasons[0] if self.reasons else None


def to_contract(decision: Decision) -> dict[str, object]:
    """The JSON object of the command-line contract for a decision."""
    action = msgspec.to_builtins(decision.action)
    action["effects"] = [{effect.kind.value: effect.object} for effect in decision.effects]
    action["opaque"] = decision.opaque
    action["digest"] = action_digest(decision.action)
    return {
        "schema": 1,
        "verdict": decision.verdict.value,
        "placement": decision.placement.value,
        "risk": decision.risk.value,
        "action": action,
        "reasons": [_plain(reason) for reason in decision.reasons],
        **({"override": True} if decision.override else {}),
        **({"undoable": True} if decision.undoable else {}),
        **({"observed": [_plain(reason) for reason in decision.observed]} if decision.observed else {}),
        "policy": decision.policy,
        "message": decision.message,
        "next_steps": list(decision.next_steps),
        "resolved_by": decision.resolved_by,
    }


def _plain(reason: Reason) -> dict[str, str]:
    return {
        "rule": reason.rule,
        "layer": reason.layer,
        "source": reason.source,
        "verdict": reason.verdict.value,
        "text": reason.text,
    }
