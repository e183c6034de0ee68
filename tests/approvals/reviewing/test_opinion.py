"""What comes of an answer, whatever it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.approvals.reviewing.opinion import (
    AnswerInvalid,
    Authorization,
    Conclusion,
    Opinion,
    conclude,
    read_opinion,
)
from ringfence.model.decision import Risk

YES = {"risk_level": "low", "user_authorization": "high", "outcome": "allow", "rationale": "asked for"}


def opinion(risk: Risk, authorization: Authorization, outcome: str = "allow") -> Opinion:
    return Opinion(risk_level=risk, user_authorization=authorization, outcome=outcome, rationale="")  # type: ignore[arg-type]


def test_an_answer_as_asked_for_is_read() -> None:
    assert read_opinion(json.dumps(YES)) == Opinion(
        risk_level=Risk.LOW, user_authorization=Authorization.HIGH, outcome="allow", rationale="asked for"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "allow",
        "Sure! " + json.dumps(YES),
        f"```json\n{json.dumps(YES)}\n```",
        f"<html><body>{json.dumps(YES)}</body></html>",
        json.dumps([YES]),
        json.dumps({**YES, "outcome": "ALLOW"}),
        json.dumps({**YES, "outcome": True}),
        json.dumps({**YES, "risk_level": "none"}),
        json.dumps({**YES, "note": "more"}),
        json.dumps({key: value for key, value in YES.items() if key != "rationale"}),
        json.dumps(YES) + json.dumps(YES),
        "[" * 50_000,
        json.dumps({**YES, "rationale": "x" * 70_000}),
        "null",
        "\ud800",
    ],
)
def test_anything_else_is_no_answer(text: str) -> None:
    with pytest.raises(AnswerInvalid):
        read_opinion(text)


@given(st.text(max_size=300))
def test_no_text_is_more_than_an_answer_or_none(text: str) -> None:
    try:
        read_opinion(text)
    except AnswerInvalid as error:
        assert str(error)


@given(
    st.sampled_from(Risk),
    st.sampled_from(Authorization),
    st.sampled_from(["allow", "deny"]),
    st.sampled_from([None, *Risk]),
    st.sampled_from(Risk),
)
def test_an_opinion_allows_only_what_every_limit_allows(
    risk: Risk, authorization: Authorization, outcome: str, ceiling: Risk | None, least: Risk
) -> None:
    order = list(Risk)
    conclusion = conclude(opinion(risk, authorization, outcome), ceiling, least)

    allowed = conclusion is Conclusion.ALLOW
    greatest = max(risk, least, key=order.index)
    assert allowed == (
        outcome == "allow"
        and greatest is not Risk.CRITICAL
        and ceiling is not None
        and order.index(greatest) <= order.index(ceiling)
        and (greatest is not Risk.HIGH or authorization in (Authorization.MEDIUM, Authorization.HIGH))
    )
    assert (conclusion is Conclusion.DENY) == (outcome == "deny")
