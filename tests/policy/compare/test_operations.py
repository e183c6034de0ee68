"""Changes of rules about what requests do are seen by the comparison of policies."""

from __future__ import annotations

import pytest
from tests.policy.making import EMPTY, document, judge, policy

from ringfence.model.decision import Verdict
from ringfence.policy.compare.destinations import HostKinds, connections
from ringfence.policy.compare.network import judged

BEFORE = """
[[network.rule]]
hosts = ["a.test"]
operations = ["git-fetch"]
verdict = "allow"
"""


@pytest.mark.parametrize(
    "after",
    [
        BEFORE.replace("git-fetch", "git-push"),
        BEFORE.replace('operations = ["git-fetch"]', 'operations = ["git-fetch"]\nquery = { a = "*" }')
        + BEFORE.replace("git-fetch", "graphql-mutation"),
        BEFORE.replace('operations = ["git-fetch"]', 'query = { token = "ab*" }'),
        BEFORE.replace('operations = ["git-fetch"]', 'headers = { x-team = "a" }'),
        BEFORE.replace('["git-fetch"]', '["read"]'),
    ],
)
def test_what_newly_passes_has_an_example(after: str) -> None:
    first, second = policy(document(BEFORE), base=EMPTY), policy(document(after), base=EMPTY)
    kinds = HostKinds([*first.network.rules, *second.network.rules])

    newly = [
        one.action.facts
        for one in connections(kinds.names())
        if judge(second).evaluate(one.action).verdict is Verdict.ALLOW
        and judge(first).evaluate(one.action).verdict is not Verdict.ALLOW
    ]

    assert newly


def test_a_limit_that_is_lifted_opens_what_it_denied() -> None:
    limited = "[network]\nlimited = ['*.test']\n" + BEFORE.replace('operations = ["git-fetch"]\n', "")
    open_ = BEFORE.replace('operations = ["git-fetch"]\n', "")
    before, after = (judge(policy(document(text), base=EMPTY)) for text in (limited, open_))

    newly = [
        one.connection.action.method
        for one in judged(before, after)
        if (one.before.verdict, one.after.verdict) == (Verdict.DENY, Verdict.ALLOW)
    ]

    assert newly
    assert set(newly) == {"POST"}
