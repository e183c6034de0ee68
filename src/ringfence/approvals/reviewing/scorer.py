"""The reviewer without a model: documented features of a decision, each of which raises or lowers the risk. Pure.

It answers what is low and passes on everything else, so it never denies and never allows what could harm. The table
below is all it knows; the documentation shows it as it stands here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

from ringfence.approvals.reviewing.opinion import Authorization, Opinion
from ringfence.model.action import CommandAction, ConnectAction, EffectKind
from ringfence.model.decision import Decision, Risk, Verdict

_RISKS = tuple(Risk)
_SHORTEST_QUOTE = 6
"""Characters of a command that the person has to have written themselves; `ls` is in every sentence."""
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Feature(msgspec.Struct, frozen=True):
    """Something that a decision has."""

    name: str
    why: str
    least: Risk
    """The risk is at least this where it holds."""
    holds: Callable[[Decision], bool]


def _does(*kinds: EffectKind) -> Callable[[Decision], bool]:
    return lambda decision: any(effect.kind in kinds for effect in decision.effects)


def _sends(decision: Decision) -> bool:
    action = decision.action
    return isinstance(action, ConnectAction) and action.method is not None and action.method.upper() not in _READS


def _is_unseen(decision: Decision) -> bool:
    action = decision.action
    return isinstance(action, ConnectAction) and action.method is None


def _asked_by(*beginnings: str) -> Callable[[Decision], bool]:
    return lambda decision: any(
        reason.verdict is not Verdict.ALLOW and reason.rule.startswith(beginnings) for reason in decision.reasons
    )


FEATURES: tuple[Feature, ...] = (
    Feature("privilege", "it asks for the rights of somebody else", Risk.CRITICAL, _does(EffectKind.PRIVILEGE)),
    Feature("override", "a rule denies it, and would have to be overridden", Risk.CRITICAL, lambda one: one.override),
    Feature("publish", "others see what it does", Risk.HIGH, _does(EffectKind.PUBLISH)),
    Feature("secret", "it may reach what is kept secret", Risk.HIGH, _asked_by("filesystem.", "environment")),
    Feature("opaque", "what it does cannot be seen", Risk.HIGH, lambda one: one.opaque),
    Feature("send", "it sends something to a host that no rule opens", Risk.HIGH, _sends),
    Feature("tool", "a tool of another server does it", Risk.HIGH, _asked_by("mcp")),
    Feature(
        "destroy",
        "it loses what cannot be brought back",
        Risk.HIGH,
        lambda one: not one.undoable and _does(EffectKind.DESTROY)(one),
    ),
    Feature("configure", "it changes how programs behave later", Risk.MEDIUM, _does(EffectKind.CONFIGURE)),
    Feature("unseen", "it is encrypted: what is sent to that host cannot be seen", Risk.MEDIUM, _is_unseen),
    Feature("undoable", "it loses what a snapshot brings back", Risk.MEDIUM, lambda one: one.undoable),
)
"""Every feature, the gravest first."""


def found(decision: Decision) -> tuple[Feature, ...]:
    """The features that a decision has."""
    return tuple(feature for feature in FEATURES if feature.holds(decision))


def authorization(decision: Decision, words: Iterable[str]) -> Authorization:
    """How far the person's own words cover it: they wrote the command, or named the host."""
    action = decision.action
    texts = [" ".join(text.split()).casefold() for text in words]
    match action:
        case CommandAction():
            written = " ".join((action.shell or " ".join(action.argv)).split()).casefold()
            if len(written) >= _SHORTEST_QUOTE and any(_quotes(text, written) for text in texts):
                return Authorization.HIGH
        case ConnectAction():
            if any(_quotes(text, action.host.casefold()) for text in texts):
                return Authorization.MEDIUM
        case _:
            pass
    return Authorization.UNKNOWN


def _quotes(text: str, written: str) -> bool:
    """Whether a text has another as words of its own: `evil.example` is not in `not-evil.example`.

    A sentence that says not to do it quotes it as well. That lowers a risk by one step at most, and never below what
    may not be allowed without a person.
    """
    return re.search(rf"(?<![\w.-])(?<!\w/){re.escape(written)}(?![\w-]|\.\w)", text) is not None


def score(decision: Decision, words: Iterable[str]) -> Opinion:
    """The opinion of the table: an `allow` for what is low, and otherwise the risk for whoever decides instead."""
    features = found(decision)
    risk = max((feature.least for feature in features), key=_RISKS.index, default=Risk.LOW)
    covered = authorization(decision, words)
    reasons = [f"{feature.name}: {feature.why}" for feature in features] or ["no feature speaks against it"]
    # The person's own words lower a medium risk, and nothing that is greater.
    if risk is Risk.MEDIUM and covered in (Authorization.MEDIUM, Authorization.HIGH):
        risk = Risk.LOW
        reasons.append("the person named it")
    return Opinion(risk_level=risk, user_authorization=covered, outcome="allow", rationale="; ".join(reasons))
