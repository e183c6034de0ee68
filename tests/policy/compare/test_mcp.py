"""Whatever two policies decide differently about a tool of an MCP server is among their differences."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.compare.pairs import judging
from tests.policy.making import EMPTY, document, judge, policy

from ringfence.model.action import McpAction
from ringfence.model.decision import Verdict
from ringfence.policy.compare.difference import side
from ringfence.policy.compare.mcp import mcp_differences
from ringfence.policy.effective import McpPolicy, McpRule, Origin

GLOBS = st.sampled_from(["*", "db", "DB", "d*", "[a-c]*", "?", "*b", "files"])
VALUES = st.sampled_from(["main", "m*", "*", "?", "[0-9]*"])
RULES = st.lists(
    st.builds(
        lambda servers, tools, arguments, verdict, number: McpRule(
            id=f"rule-{number}",
            servers=tuple(servers),
            tools=tuple(tools),
            arguments=tuple(arguments.items()),
            verdict=verdict,
            origin=Origin(layer="user", source="f:1"),
        ),
        st.lists(GLOBS, min_size=1, max_size=2),
        st.lists(GLOBS, min_size=1, max_size=2),
        st.dictionaries(st.sampled_from(["branch", "a.b"]), VALUES, max_size=2),
        st.sampled_from(Verdict),
        st.integers(1, 3),
    ),
    max_size=3,
)
POLICIES = st.builds(
    lambda rules, default: McpPolicy(rules=tuple(rules), default=default), RULES, st.sampled_from(Verdict)
)
NAMES = st.one_of(st.sampled_from(["db", "DB", "dB", "files", "", "x", "B"]), st.text("dDbBx", max_size=3))
TEXTS = st.one_of(st.sampled_from(["main", "mx", "", "7", "é"]), st.integers(0, 9), st.none())
ARGUMENTS = st.one_of(
    st.sampled_from(["[]", "{", "{}"]),
    st.dictionaries(
        st.sampled_from(["branch", "a.b", "other"]), st.one_of(TEXTS, st.lists(TEXTS, max_size=3)), max_size=2
    ).map(json.dumps),
    TEXTS.map(lambda value: json.dumps({"a": {"b": value}})),
)
CALLS = st.builds(McpAction, server=NAMES, tool=NAMES, arguments=ARGUMENTS)


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(POLICIES, POLICIES, st.lists(CALLS, min_size=1, max_size=12))
def test_a_call_that_is_judged_differently_has_a_difference_with_the_same_rules(
    first: McpPolicy, second: McpPolicy, calls: list[McpAction]
) -> None:
    before, after = judging(mcp=first), judging(mcp=second)

    told = {(one.before, one.after) for one in mcp_differences(before, after)}

    for call in calls:
        one, other = side(before.evaluate(call)), side(after.evaluate(call))
        assert one.verdict is other.verdict or (one, other) in told


def test_a_tool_that_is_newly_denied_is_told_by_server_and_tool() -> None:
    rule = "[[mcp.rule]]\nid = 'no-drop'\nservers = ['db']\ntools = ['drop_table']\nverdict = 'deny'\n"
    before, after = judge(policy(base=EMPTY)), judge(policy(document(rule), base=EMPTY))

    found = [(one.what, one.before.verdict, one.after.rule) for one in mcp_differences(before, after)]

    assert ("tool drop_table of server db", Verdict.ALLOW, "no-drop") in found
