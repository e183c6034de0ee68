"""Who answers, compared: what lets somebody new answer, or asks fewer people, is looser, however it is written."""

from __future__ import annotations

import pytest
from tests.policy.making import document, policy

from ringfence.policy.compare.values import value_differences
from ringfence.policy.layers import Layer

HOOK = "[[approvals.webhook]]\nname = 'chat'\nurl = 'https://chat.test/a'\nsecret = 'k'\n"
TWO = "[[approvals.quorum]]\nwho = ['@security']\napprove = 2\n"
LADDER = "[[approvals.step]]\nwho = ['ana']\n[[approvals.step]]\nwho = ['@ops']\nafter_seconds = 600\n"
REVIEWER = "[approvals.reviewer]\nkind = 'anthropic'\nurl = 'https://m.test'\nmodel = 'm'\n"
TERMS = "to deny, by account or better, from low risk"


def differences(before: str, after: str) -> list[tuple[str, str, str, bool]]:
    first, second = (policy(document(text, Layer.MANAGED)) for text in (before, after))
    return [(one.key, one.before, one.after, one.loosens) for one in value_differences(first, second)]


def keyed(text: str) -> str:
    return f"[approvals]\n{text}\n"


@pytest.mark.parametrize(
    ("strict", "loose", "key", "was", "now"),
    [
        (keyed("approvers = ['ana']"), "", "approvers", "ana", "anybody"),
        (keyed("approvers = ['ana']"), keyed("approvers = ['ana', '@ops']"), "approvers", "ana", "ana, @ops"),
        (keyed("overriders = ['@ops']"), "", "overriders", "@ops", "anybody"),
        ("", keyed("break_glass = ['@ops']"), "break_glass", "nobody", "@ops"),
        (TWO, "", "quorum: @security", f"2 to approve, 1 {TERMS}", "none"),
        (
            TWO,
            TWO.replace("2", "1"),
            "quorum: @security",
            f"2 to approve, 1 {TERMS}",
            f"1 to approve, 1 {TERMS}",
        ),
        (
            TWO + "assurance = 'passkey'\n",
            TWO,
            "quorum: @security",
            f"2 to approve, 1 {TERMS.replace('account', 'passkey')}",
            f"2 to approve, 1 {TERMS}",
        ),
        (
            TWO,
            TWO + "risk = 'high'\n",
            "quorum: @security",
            f"2 to approve, 1 {TERMS}",
            f"2 to approve, 1 {TERMS.replace('low', 'high')}",
        ),
        (TWO, TWO + "deny = 2\n", "quorum: @security", f"2 to approve, 1 {TERMS}", f"2 to approve, 2 {TERMS}"),
        (LADDER, "", "step", "ana after 0 s; @ops after 600 s", "anybody at once"),
        (
            LADDER,
            LADDER.replace("600", "60"),
            "step",
            "ana after 0 s; @ops after 600 s",
            "ana after 0 s; @ops after 60 s",
        ),
        ("", HOOK, "webhook: chat", "none", "generic at https://chat.test/a, secret k, answers of nobody"),
        (HOOK, HOOK + "users = { U1 = 'ana' }\n", "webhook: chat: users", "nobody", "U1 as ana"),
        ("", REVIEWER, "reviewer", "none", "anthropic, https://m.test, m, 90"),
        (keyed("self_approval = false"), "", "self_approval", "false", "true"),
        (keyed("remember = 'once'"), keyed("remember = 'session'"), "remember", "once", "session"),
        (keyed("remember_days = 1"), "", "remember_days", "1", "30"),
        (keyed("denials_in_a_row = 1"), "", "denials_in_a_row", "1", "3"),
        (keyed("denials_of_50 = 5"), "", "denials_of_50", "5", "10"),
        ("", keyed("delegate = 'low'"), "delegate", "not set", "low"),
        (keyed("delegate = 'low'"), keyed("delegate = 'medium'"), "delegate", "low", "medium"),
    ],
)
def test_what_lets_more_be_answered_is_looser_and_its_opposite_is_not(
    strict: str, loose: str, key: str, was: str, now: str
) -> None:
    assert differences(strict, loose) == [(f"approvals.{key}", was, now, True)]
    assert differences(loose, strict) == [(f"approvals.{key}", now, was, False)]


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        (HOOK, HOOK.replace("/a", "/b"), "webhook: chat: url"),
        (HOOK, HOOK.replace("'k'", "'other'"), "webhook: chat: secret"),
        (HOOK, HOOK + "link = 'https://else.test/{id}'\n", "webhook: chat: link"),
        (HOOK, HOOK + "kind = 'slack'\n", "webhook: chat: kind"),
        (REVIEWER, REVIEWER.replace("m.test", "n.test"), "reviewer: url"),
        (REVIEWER, REVIEWER + "instructions = 'allow it'\n", "reviewer: instructions"),
        (keyed("approvers = ['ana']"), keyed("approvers = ['bob']"), "approvers"),
        (LADDER, LADDER.replace("ana", "bob"), "step"),
    ],
)
def test_what_becomes_another_is_looser_either_way(before: str, after: str, key: str) -> None:
    for one in (differences(before, after), differences(after, before)):
        assert [(found[0], found[3]) for found in one] == [(f"approvals.{key}", True)]


def test_other_people_in_a_set_are_a_set_less_and_a_set_more() -> None:
    found = differences(TWO, TWO.replace("security", "release"))

    assert [(key, loosens) for key, _, _, loosens in found] == [
        ("approvals.quorum: @security", True),
        ("approvals.quorum: @release", False),
    ]


def test_one_of_two_equal_sets_is_a_set_less() -> None:
    assert differences(TWO + TWO, TWO) == [("approvals.quorum: @security", f"2 to approve, 1 {TERMS}", "none", True)]


@pytest.mark.parametrize("text", [TWO, LADDER, HOOK, REVIEWER, keyed("approvers = ['ana', '@ops']")])
def test_what_is_written_on_another_line_does_not_differ(text: str) -> None:
    assert differences(text, f"# a line before\n\n{text}") == []
