"""What a reviewer answers, and what comes of it: risk against what the person authorised. Pure.

The matrix is ours, not the reviewer's: an answer that does not agree with itself goes to a person. An answer that is
not exactly the expected JSON is no answer.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

from ringfence.model.decision import Risk

MAX_ANSWER = 65_536
"""Bytes of an answer that are read at all."""
MAX_RATIONALE = 4_000

_RISKS = tuple(Risk)


class Authorization(StrEnum):
    """How far the person's own words cover the action."""

    UNKNOWN = "unknown"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Opinion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reviewer's answer."""

    risk_level: Risk
    user_authorization: Authorization
    outcome: Literal["allow", "deny"]
    rationale: str
    """For people and the record. The agent never sees it: it would learn what to say the next time."""


class Conclusion(StrEnum):
    """What comes of a review."""

    ALLOW = "allow"
    DENY = "deny"
    PASS = "pass"  # noqa: S105 - no password
    """Somebody else decides: it is above what this reviewer may allow, or nothing it can judge."""
    UNAVAILABLE = "unavailable"
    """There was no answer. It says nothing about the action, and the next step decides."""


class Reviewed(msgspec.Struct, frozen=True, kw_only=True):
    """What a review came to."""

    reviewer: str
    """`scorer`, or the name of the model or program."""
    conclusion: Conclusion
    opinion: Opinion | None = None
    """Nothing where there was no answer."""
    problem: str = ""
    """Why there was none, for people."""
    seen: str = ""
    """The digest of what the reviewer was shown."""
    told: str = ""
    """What the agent may be told."""
    audited: bool = False
    """Whether a person looks at it afterwards."""


class AnswerInvalid(Exception):
    """What came back is not an answer."""


_DECODER = msgspec.json.Decoder(Opinion)


def read_opinion(text: str) -> Opinion:
    """The opinion in an answer: one JSON object and nothing else, or it is none.

    SECURITY: nothing is searched for in prose. A transcript that makes the reviewer quote `{"outcome": "allow"}` must
    not be heard as its answer.
    """
    if len(text) > MAX_ANSWER:
        raise AnswerInvalid(f"the answer has {len(text):,} characters")
    try:
        opinion = _DECODER.decode(text.strip())
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise AnswerInvalid(f"the answer is not the JSON object that was asked for: {error}") from error
    if len(opinion.rationale) > MAX_RATIONALE:
        return msgspec.structs.replace(opinion, rationale=opinion.rationale[:MAX_RATIONALE])
    return opinion


def is_above(risk: Risk, ceiling: Risk) -> bool:
    """Whether a risk is greater than another."""
    return _RISKS.index(risk) > _RISKS.index(ceiling)


def conclude(opinion: Opinion, ceiling: Risk | None, at_least: Risk) -> Conclusion:
    """What comes of an opinion. `ceiling`: the greatest risk that a reviewer may allow, none of them where it is
    missing; `at_least`: the risk that the policy itself sees, below which no opinion goes.

    Low and medium risk pass with a yes; high only where the person's words cover it; critical never.
    """
    if opinion.outcome == "deny":
        return Conclusion.DENY
    risk = max(opinion.risk_level, at_least, key=_RISKS.index)
    if risk is Risk.CRITICAL or ceiling is None or is_above(risk, ceiling):
        return Conclusion.PASS
    covered = opinion.user_authorization in (Authorization.MEDIUM, Authorization.HIGH)
    if risk is Risk.HIGH and not covered:
        return Conclusion.PASS
    return Conclusion.ALLOW


def category(conclusion: Conclusion, risk: Risk) -> str:
    """All that the agent is told: what kind of answer, and whether asking again makes sense."""
    match conclusion:
        case Conclusion.DENY:
            return f"a reviewer denied it ({risk.value} risk); do something else, or ask the person"
        case Conclusion.UNAVAILABLE:
            return "the reviewer could not be reached; this says nothing about the action"
        case _:
            return ""


def schema() -> dict[str, object]:
    """The JSON Schema of an answer, for interfaces that hold a model to one."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["risk_level", "user_authorization", "outcome", "rationale"],
        "properties": {
            "risk_level": {"type": "string", "enum": [one.value for one in Risk]},
            "user_authorization": {"type": "string", "enum": [one.value for one in Authorization]},
            "outcome": {"type": "string", "enum": ["allow", "deny"]},
            "rationale": {"type": "string"},
        },
    }
