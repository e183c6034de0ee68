"""The table of features: what it lets pass by itself, and what it leaves to others."""

from __future__ import annotations

import pytest
from tests.policy.making import connect, document, policy, shell

from ringfence.approvals.reviewing.opinion import Authorization
from ringfence.approvals.reviewing.scorer import FEATURES, found, score
from ringfence.model.decision import Risk

POLICY = policy()


@pytest.mark.parametrize(
    ("text", "risk"),
    [
        ("git push", Risk.HIGH),
        ("npm publish", Risk.HIGH),
        ("sudo id", Risk.CRITICAL),
        ("git clean -fdx", Risk.HIGH),
        ("git reset --hard", Risk.MEDIUM),
        ("eval $X", Risk.HIGH),
        ("dropdb live", Risk.HIGH),
    ],
)
def test_a_command_has_the_risk_of_its_gravest_feature(text: str, risk: Risk) -> None:
    assert score(shell(POLICY, text), ()).risk_level is risk


def test_the_person_s_own_words_lower_a_medium_risk_and_no_other() -> None:
    reset, push = shell(POLICY, "git reset --hard"), shell(POLICY, "git push")

    assert score(reset, ["please run  git reset --hard  now"]).risk_level is Risk.LOW
    assert score(reset, ["do it"]).risk_level is Risk.MEDIUM
    assert score(push, ["git push"]).risk_level is Risk.HIGH


@pytest.mark.parametrize(
    ("words", "authorization"),
    [
        ("look it up at docs.example.test", Authorization.MEDIUM),
        ("see https://docs.example.test/a", Authorization.MEDIUM),
        ("see evil-docs.example.test", Authorization.UNKNOWN),
        ("see docs.example.test.evil.test", Authorization.UNKNOWN),
        ("see adocs.example.test", Authorization.UNKNOWN),
        ("look it up", Authorization.UNKNOWN),
    ],
)
def test_a_host_is_named_by_its_whole_name_only(words: str, authorization: Authorization) -> None:
    assert score(connect(POLICY, "docs.example.test"), [words]).user_authorization is authorization


def test_every_feature_is_found_in_some_decision() -> None:
    soft = policy(document("[[commands.rule]]\nprefix = ['x']\nverdict = 'deny'\nenforcement = 'soft'\n"))
    decisions = [
        *(
            shell(POLICY, text)
            for text in ("sudo id", "git push", "cat ~/.ssh/id_rsa", "eval $X", "dropdb x", "git config core.pager x")
        ),
        shell(POLICY, "git reset --hard"),
        shell(soft, "x"),
        connect(POLICY, "a.test"),
    ]
    seen = {feature.name for decision in decisions for feature in found(decision)}

    assert {feature.name for feature in FEATURES} - seen <= {"send", "tool"}
