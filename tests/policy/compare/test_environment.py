"""Every variable is of one kind, and reaches the sandbox exactly where the example of its kind does."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.policy.compare.environment import is_credential, kept, variable_kinds
from ringfence.policy.effective import EnvironmentPolicy
from ringfence.session.environment import inside

PATTERNS = st.sampled_from(["A", "A*", "AB*", "A_TOKEN", "B", "LC_*", "L*", "A_*", "R*"])
POLICIES = st.builds(
    lambda keep, remove: EnvironmentPolicy(keep=tuple(keep), remove=tuple(remove)),
    st.lists(PATTERNS, max_size=4),
    st.lists(st.one_of(PATTERNS, st.just("R*")), max_size=2),
)
NAMES = st.one_of(
    st.sampled_from(["A", "B", "AB", "LC_ALL", "A_TOKEN", "C", "RX"]),
    st.text("ABL_C", min_size=1, max_size=4),
)


@given(POLICIES, POLICIES, st.lists(NAMES, min_size=1))
def test_a_variable_that_is_kept_differently_has_a_kind_that_says_so(
    before: EnvironmentPolicy, after: EnvironmentPolicy, names: list[str]
) -> None:
    told = {(kind.before, kind.after) for kind in variable_kinds(before, after)}

    assert {(kept(before, name), kept(after, name)) for name in names} <= told


@given(POLICIES, NAMES)
def test_what_is_kept_is_what_a_session_lets_through(policy: EnvironmentPolicy, name: str) -> None:
    found = inside({name: "value"}, keep=policy.keep, remove=policy.remove, fixed=(), session="s", user="u")

    assert (name in found) == kept(policy, name)


def test_prefixes_that_leave_hardly_a_name_are_compared_all_the_same() -> None:
    letters = string.ascii_letters + "_"
    policy = EnvironmentPolicy(keep=tuple(f"{letter}*" for letter in letters))

    rest = [kind for kind in variable_kinds(policy, EnvironmentPolicy()) if kind.text == "every other variable"]

    assert [kind.example[0] in letters for kind in rest] == [False]


@pytest.mark.parametrize(
    "name", ["GITHUB_TOKEN", "OPENAI_API_KEY", "db_password", "AWS_SECRET_ACCESS_KEY", "SSH_PRIVATE_KEY"]
)
def test_a_variable_is_a_credential_by_its_name(name: str) -> None:
    assert is_credential(name)


@pytest.mark.parametrize("name", ["LANG", "TERM", "EDITOR", "KEYBOARD", "PATH", "LC_TOKEN"])
def test_other_variables_are_none(name: str) -> None:
    assert not is_credential(name)
