"""Coverage: which rules a test or an example reaches."""

from __future__ import annotations

from tests.policy.making import connect, document, file, policy

from ringfence.policy.coverage import RuleCoverage, RuleKind, coverage, share
from ringfence.policy.effective import Origin

TEXT = """
[filesystem]
read = ["/srv/a", "/srv/b"]
[[network.rule]]
id = "open"
hosts = ["a.test"]
verdict = "allow"
[[commands.rule]]
id = "mine"
prefix = ["x"]
verdict = "deny"
match = ["x y", "env x"]
"""


def test_a_rule_is_reached_by_a_test_or_by_its_own_example() -> None:
    merged = policy(document(TEXT), base="")

    found = coverage(merged, [file(merged, "read", "/srv/a/x"), connect(merged, "b.test")])

    def row(rule: str, kind: RuleKind, line: int, tests: int, examples: int) -> RuleCoverage:
        origin = Origin(layer="user", source=f"user.toml:{line}")
        return RuleCoverage(rule=rule, kind=kind, origin=origin, tests=tests, examples=examples)

    assert found == (
        row("mine", RuleKind.COMMAND, 8, 0, 2),
        row("open", RuleKind.HOST, 4, 0, 0),
        row("filesystem.read:/srv/a", RuleKind.PATH, 3, 1, 0),
        row("filesystem.read:/srv/b", RuleKind.PATH, 3, 0, 0),
    )
    assert [one.covered for one in found] == [True, False, True, False]
    assert (share(found), share(())) == (50, 100)
