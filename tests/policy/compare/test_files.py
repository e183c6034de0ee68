"""Whatever two policies decide differently about a file is among their differences."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.policy.compare.pairs import PATH_RULES, PATHS, judging
from tests.policy.making import EMPTY, document, judge, policy

from ringfence.model.action import FileAction, FileOperation
from ringfence.model.decision import Verdict
from ringfence.policy.compare.difference import Area, Difference, Side, side
from ringfence.policy.compare.files import file_differences, path_kinds
from ringfence.policy.effective import Access, Origin, PathRule


def _rule(pattern: str, access: Access) -> PathRule:
    return PathRule(pattern=pattern, access=access, origin=Origin(layer="user", source="f:1"))


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(PATH_RULES, PATH_RULES, st.lists(PATHS, min_size=1, max_size=12))
@example([], [_rule("/a", Access.READ), _rule("/*", Access.WRITE)], ["/etc"])
def test_a_file_that_is_judged_differently_has_a_difference_for_the_rule_of_each_policy(
    first: list[PathRule], second: list[PathRule], paths: list[str]
) -> None:
    before, after = judging(filesystem=tuple(first)), judging(filesystem=tuple(second))

    found = [(one.action.operation, one.before, one.after) for one in file_differences(before, after)]
    told = {(operation, one, other.verdict) for operation, one, other in found}
    told_after = {(operation, one.verdict, other) for operation, one, other in found}

    for path in paths:
        for operation in FileOperation:
            action = FileAction(operation=operation, path=path)
            one, other = side(before.evaluate(action)), side(after.evaluate(action))
            if one.verdict is not other.verdict:
                assert (operation, one, other.verdict) in told
                assert (operation, one.verdict, other) in told_after


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(PATH_RULES)
def test_a_policy_does_not_differ_from_itself_in_another_order(rules: list[PathRule]) -> None:
    before, after = judging(filesystem=tuple(rules)), judging(filesystem=tuple(reversed(rules)))

    verdicts = [(one.before.verdict, one.after.verdict) for one in file_differences(before, after)]

    assert verdicts == []


def test_a_difference_says_what_each_policy_decides_and_by_which_rule() -> None:
    before = judge(policy(base=EMPTY))
    after = judge(policy(document("[filesystem]\nwrite = ['~/.cache']\n"), base=EMPTY))

    denied = Side(verdict=Verdict.DENY, rule="filesystem.default", source="ringfence")
    allowed = Side(verdict=Verdict.ALLOW, rule="filesystem.write:~/.cache", source="user.toml:2")
    assert file_differences(before, after) == [
        Difference(
            area=Area.FILES,
            what=f"{operation.value} /home/u/.cache",
            action=FileAction(operation=operation, path="/home/u/.cache"),
            before=denied,
            after=allowed,
        )
        for operation in FileOperation
    ]


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ("deny = ['**/*.pem']", "deny = ['**/*.pem', '**/*.key']", "/w/.key"),
        ("deny = ['**/.env*']", "deny = ['**/.env.[!e]*']", "/w/.env"),
        ("write = ['/srv']", "write = ['/srv/a/**/c']", "/srv"),
    ],
)
def test_the_example_is_a_shortest_one(before: str, after: str, path: str) -> None:
    first = judge(policy(document(f"[filesystem]\n{before}\n"), base=EMPTY))
    second = judge(policy(document(f"[filesystem]\n{after}\n"), base=EMPTY))

    found = [one.action.path for one in file_differences(first, second) if isinstance(one.action, FileAction)]

    assert min(found, key=len) == path


def test_a_kind_of_names_that_are_all_written_elsewhere_is_shown_by_one_of_them() -> None:
    evaluator = judge(policy(document("[filesystem]\nread = ['/s/a', '/t/[a]']\n"), base=EMPTY))

    assert {"/s/a", "/t/a"} <= set(path_kinds(evaluator, evaluator))


def test_a_control_file_that_only_one_policy_protects_is_a_difference() -> None:
    before = judge(policy(document("[control_files]\nprotect = ['deploy/prod.sh']\n"), base=EMPTY))
    after = judge(policy(document("[control_files]\nexempt = ['.vscode']\n"), base=EMPTY))

    found = {one.what: one.after.verdict for one in file_differences(before, after)}

    assert found == {"write /w/deploy/prod.sh": Verdict.ALLOW, "write /w/.vscode": Verdict.ALLOW}
