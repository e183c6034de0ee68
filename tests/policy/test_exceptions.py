"""`unless`: exceptions of a rule hold for exactly what is written, and for nothing that could be more."""

from __future__ import annotations

import pytest
from tests.policy.making import document, policy, shell

from ringfence.model.decision import Verdict
from ringfence.model.situations import PolicyInvalid

RULE = """
[[commands.rule]]
id = "publish"
prefix = ["git", ["push", "send-email"]]
unless = [["git", "push", "origin", ["main", "dev"], "..."], ["git", "push", "--dry-run"]]
verdict = "ask"
match = ["git push origin other"]
not_match = ["git push origin main"]
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("git push origin main", Verdict.ALLOW),
        ("/usr/bin/git push origin dev", Verdict.ALLOW),
        ("timeout 5 git push origin main", Verdict.ALLOW),
        ("git push origin main v1", Verdict.ALLOW),
        ("git push --dry-run", Verdict.ALLOW),
        ("git push --dry-run origin", Verdict.ASK),
        ("git push origin", Verdict.ASK),
        ("git push origin other", Verdict.ASK),
        ("git push origin main --force", Verdict.ASK),
        ("git push origin main -f", Verdict.ASK),
        ("git push origin main +dev", Verdict.ASK),
        ("git push --force origin main", Verdict.ASK),
        ("git -c core.sshCommand=x push origin main", Verdict.ASK),
        ("git push origin main $MORE", Verdict.ASK),
        ("git push origin $BRANCH", Verdict.ASK),
        ("git push origin mai*", Verdict.ASK),
        ("git push origin main *", Verdict.ASK),
        ("./git push origin main", Verdict.ASK),
        ("git send-email origin main", Verdict.ASK),
        ("git push origin main && git push origin other", Verdict.ASK),
    ],
)
def test_an_exception_holds_for_exactly_what_is_written(text: str, expected: Verdict) -> None:
    assert shell(policy(document(RULE)), text).verdict is expected


def test_an_exception_of_one_rule_leaves_the_others_alone() -> None:
    other = "[[commands.rule]]\nid = 'no-push'\nprefix = ['git', 'push']\nverdict = 'deny'\n"

    assert shell(policy(document(RULE + other)), "git push origin main").verdict is Verdict.DENY


@pytest.mark.parametrize(
    ("unless", "verdict", "message"),
    [
        ('["git"]', "ask", "each exception in `unless` is a list that is written like a `prefix`"),
        ("[[]]", "ask", "each exception in `unless` is a list that is written like a `prefix`"),
        ('[["git", 3]]', "ask", "each position of `unless` is a word or a list of words"),
        (
            '[["/bin/git"]]',
            "ask",
            "the first position of `unless` is the name of a program, without options or folders",
        ),
        ('[["git", "...", "x"]]', "ask", "`...` ends an exception, and stands behind at least one word"),
        ('[["..."]]', "ask", "`...` ends an exception, and stands behind at least one word"),
        ('[["git", "push"]]', "allow", "a rule that allows has no exceptions; write a narrower `prefix`"),
    ],
)
def test_an_exception_that_cannot_be_meant_is_a_located_fault(unless: str, verdict: str, message: str) -> None:
    text = f'[[commands.rule]]\nprefix = ["git"]\nverdict = "{verdict}"\nunless = {unless}\n'

    with pytest.raises(PolicyInvalid) as raised:
        document(text)

    assert [(one.line, one.message) for one in raised.value.diagnostics] == [(4, message)]
