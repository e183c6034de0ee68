"""Sections, enforcement levels and everything that a person's layer cannot loosen."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.making import EMPTY, HOME, WORKSPACE, connect, document, file, judge

from ringfence.model.action import McpAction
from ringfence.model.decision import Decision, Reason, Risk, Verdict
from ringfence.model.situations import PolicyInvalid
from ringfence.policy.conditions import Situation
from ringfence.policy.documents import Document
from ringfence.policy.effective import (
    AgentPolicy,
    ApprovalPolicy,
    Inactive,
    Limits,
    Origin,
    Policy,
    QuorumRule,
    Remember,
    StepRule,
    TelemetryPolicy,
    ToolArguments,
)
from ringfence.policy.layers import Layer
from ringfence.policy.merge import Facts, merge

SITUATION = Situation(
    host="build7.example.com", user="ana", groups=("dev", "ops"), agent="codex", remotes=("git.example.com/shop/web",)
)


def here(*documents: Document, situation: Situation = SITUATION) -> Policy:
    base = document(EMPTY, Layer.PRESET, "base.toml")
    return merge((base, *documents), facts=Facts(home=HOME, workspace=WORKSPACE, situation=situation))


def section(condition: str, layer: Layer = Layer.USER) -> Document:
    return document(f"[[when]]\n{condition}\n[[when.network.rule]]\nhosts = ['x.test']\nverdict = 'allow'\n", layer)


def mcp(of: Policy, server: str, tool: str, arguments: str = "{}") -> Decision:
    return judge(of).evaluate(McpAction(server=server, tool=tool, arguments=arguments))


@pytest.mark.parametrize(
    ("condition", "verdict"),
    [
        ("hosts = ['build*']", "allow"),
        ("hosts = ['build7']", "allow"),
        ("hosts = ['web*']", "deny"),
        ("users = ['bob', 'ana']", "allow"),
        ("groups = ['o*']", "allow"),
        ("groups = ['admin']", "deny"),
        ("for_agents = ['codex']", "allow"),
        ("for_agents = ['claude']", "deny"),
        ("hosts = ['build*']\nusers = ['bob']", "deny"),
        ("repositories = ['/w']", "allow"),
        ("repositories = ['/*']", "allow"),
        ("repositories = ['~/src']", "deny"),
        ("repositories = ['git.example.com/other/*']", "deny"),
    ],
)
def test_a_section_applies_where_all_of_its_conditions_hold(condition: str, verdict: str) -> None:
    assert connect(here(section(condition)), "x.test").verdict == verdict


def test_a_section_that_does_not_apply_is_shown_with_its_reason() -> None:
    merged = here(section("hosts = ['web*']"))

    assert merged.inactive == (
        Inactive(
            origin=Origin(layer="user", source="user.toml:1"),
            what="a section",
            why="it is for host `web*`",
            told=False,
        ),
    )


def test_a_remote_is_the_repository_s_own_word_so_its_section_only_tightens() -> None:
    condition = "repositories = ['git.example.com/shop/*']"
    tightening = f"[[when]]\n{condition}\n[[when.network.rule]]\nhosts = ['y.test']\nverdict = 'deny'\n"

    opened = here(section(condition))
    shut = here(
        document(tightening), document("[[network.rule]]\nhosts = ['y.test']\nverdict = 'allow'", Layer.MANAGED)
    )

    assert connect(opened, "x.test").verdict is Verdict.DENY
    assert len(opened.notices) == 1
    assert "name the folder in `repositories`" in opened.notices[0]
    assert connect(shut, "y.test").verdict is Verdict.DENY


def test_a_section_of_requirements_binds_where_it_applies() -> None:
    requirements = document("[[when]]\ngroups = ['dev']\n[when.network]\ndefault = 'deny'", Layer.REQUIREMENTS)
    user = document("[[network.rule]]\nhosts = ['x.test']\nverdict = 'allow'")

    bound = connect(here(user, requirements), "x.test")
    free = connect(here(user, requirements, situation=Situation(groups=("guests",))), "x.test")

    assert (bound.verdict, free.verdict) == (Verdict.DENY, Verdict.ALLOW)


def test_a_rule_that_observes_decides_nothing_and_says_what_it_would_have_changed() -> None:
    text = "[[network.rule]]\nid = 'watch'\nhosts = ['x.test']\nverdict = 'deny'\nenforcement = 'observe'\n"
    allowing = "[[network.rule]]\nhosts = ['x.test']\nverdict = 'allow'\n"

    decision = connect(here(document(text), document(allowing, Layer.MANAGED)), "x.test")

    assert decision.verdict is Verdict.ALLOW
    assert [reason.rule for reason in decision.reasons] == ["network.allow:x.test"]
    assert decision.observed == (
        Reason(rule="watch", layer="user", source="user.toml:1", verdict=Verdict.DENY, text="a rule names x.test"),
    )


def test_a_document_that_observes_binds_nobody_and_is_seen_in_each_decision() -> None:
    text = "enforcement = 'observe'\n[network]\ndefault = 'deny'\n[filesystem]\ndeny = ['secret']\n"
    user = document("[[network.rule]]\nhosts = ['x.test']\nverdict = 'allow'")

    merged = here(user, document(text, Layer.REQUIREMENTS))
    reached, read = connect(merged, "x.test"), file(merged, "read", "/w/secret")

    assert (reached.verdict, [one.layer for one in reached.observed]) == (Verdict.ALLOW, ["requirements"])
    assert (read.verdict, [one.rule for one in read.observed]) == (Verdict.ALLOW, ["filesystem.deny:secret"])


def test_a_rule_of_its_own_level_in_a_document_that_observes_still_holds() -> None:
    text = "enforcement = 'observe'\n[[network.rule]]\nhosts = ['x.test']\nverdict = 'deny'\nenforcement = 'hard'\n"

    assert connect(here(document(text, Layer.REQUIREMENTS)), "x.test").verdict is Verdict.DENY


def test_a_soft_denial_is_a_question_of_its_own_kind() -> None:
    text = "[[network.rule]]\nhosts = ['x.test']\nverdict = 'deny'\nenforcement = 'soft'\n"

    decision = connect(here(document(text, Layer.REQUIREMENTS)), "x.test")

    assert (decision.verdict, decision.override) == (Verdict.ASK, True)


def test_a_soft_denial_beside_a_hard_one_is_no_question() -> None:
    soft = "[[network.rule]]\nhosts = ['x.test']\nverdict = 'deny'\nenforcement = 'soft'\n"
    hard = "[[network.rule]]\nhosts = ['**.test']\nverdict = 'deny'\n"

    decision = connect(here(document(soft), document(hard, Layer.REQUIREMENTS)), "x.test")

    assert (decision.verdict, decision.override) == (Verdict.DENY, False)


def test_of_two_rules_on_one_line_the_firmer_one_speaks_for_both() -> None:
    rules = "{hosts=['x.test'], verdict='deny', enforcement='soft'}, {hosts=['y.test'], verdict='deny'}"

    merged = here(document(f"network = {{rule = [{rules}]}}\n"))

    assert [connect(merged, host).verdict for host in ("x.test", "y.test")] == [Verdict.DENY, Verdict.DENY]


def test_a_soft_path_holds_because_it_cannot_be_shown_later() -> None:
    merged = here(document("enforcement = 'soft'\n[filesystem]\ndeny = ['secret']\n"))

    assert file(merged, "read", "/w/secret").verdict is Verdict.DENY


def test_nobody_lowers_the_level_of_a_managed_rule_by_its_id() -> None:
    managed = "[[network.rule]]\nid = 'shut'\nhosts = ['x.test']\nverdict = 'deny'\n"
    user = managed + "enforcement = 'observe'\n"

    assert connect(here(document(managed, Layer.MANAGED), document(user)), "x.test").verdict is Verdict.DENY


@pytest.mark.parametrize(
    ("server", "tool", "arguments", "verdict"),
    [
        ("files", "read_file", "{}", Verdict.ALLOW),
        ("files", "write_file", '{"path": "/etc/passwd"}', Verdict.DENY),
        ("FILES", "write_file", '{"path": "/etc/passwd"}', Verdict.DENY),
        ("files", "write_file", '{"path": ["/a", "/etc/x"]}', Verdict.DENY),
        ("files", "write_file", '{"path": "/w/x"}', Verdict.ASK),
        ("files", "write_file", "not JSON", Verdict.DENY),
        ("db", "query", '{"options": {"mode": "write"}}', Verdict.DENY),
        ("db", "query", '{"options": {"mode": "read"}}', Verdict.ASK),
    ],
)
def test_tools_of_servers_are_judged_by_server_tool_and_arguments(
    server: str, tool: str, arguments: str, verdict: Verdict
) -> None:
    text = """
[mcp]
default = "ask"
[[mcp.rule]]
servers = ["files"]
tools = ["read_*"]
verdict = "allow"
[[mcp.rule]]
servers = ["files"]
arguments = { "path" = "/etc/*" }
verdict = "deny"
[[mcp.rule]]
servers = ["*"]
arguments = { "options.mode" = "write" }
verdict = "deny"
"""

    assert mcp(here(document(text)), server, tool, arguments).verdict is verdict


def test_each_layer_only_narrows_limits_answers_and_agents() -> None:
    managed = """
[limits]
processes = 500
[approvals]
remember = "session"
approvers = ["@ops"]
[agents]
allowed = ["codex", "claude"]
[telemetry]
tool_arguments = "full"
"""
    user = """
[limits]
processes = 5000
open_files = 300
[approvals]
remember = "repo"
remember_days = 7
approvers = ["ana"]
[agents]
allowed = ["codex", "generic"]
[telemetry]
tool_arguments = "digest"
redact = ["hidden-*"]
"""

    merged = here(document(managed, Layer.MANAGED), document(user))

    assert merged.limits == Limits(processes=500, open_files=300)
    assert merged.approvals == ApprovalPolicy(
        remember=Remember.SESSION, remember_days=7, approvers=(("@ops",), ("ana",))
    )
    assert merged.agents == AgentPolicy(
        allowed=(
            (("codex", "claude"), Origin(layer="managed", source="managed.toml:8")),
            (("codex", "generic"), Origin(layer="user", source="user.toml:10")),
        )
    )
    assert merged.telemetry == TelemetryPolicy(tool_arguments=ToolArguments.FULL)
    assert [notice.partition(": ")[0] for notice in merged.notices] == [f"user.toml:{n}" for n in (3, 6, 12, 13)]


def test_a_repository_never_says_who_answers_or_what_is_recorded() -> None:
    text = "[approvals]\napprovers = ['mallory']\n[telemetry]\nredact = ['evidence*']\ntool_arguments = 'digest'\n"
    project = msgspec.structs.replace(document(text, Layer.PROJECT), trusted=False)

    merged = here(project)

    assert (merged.approvals, merged.telemetry) == (ApprovalPolicy(), TelemetryPolicy())
    assert len(merged.notices) == 3


def test_more_control_files_are_refused_and_exempted_ones_are_not() -> None:
    text = "[control_files]\nprotect = ['deploy/prod.sh']\nexempt = ['.vscode']\n"

    merged = here(document(text))
    verdicts = [
        file(merged, "write", f"/w/{name}").verdict.value for name in ("deploy/prod.sh", ".vscode/x", ".idea/x")
    ]

    assert verdicts == ["deny", "allow", "deny"]


RULES = st.lists(
    st.tuples(st.sampled_from(["x.test", "*.test", "y.test", "*"]), st.sampled_from(["allow", "ask", "deny"])),
    max_size=4,
)


def _network(rules: list[tuple[str, str]]) -> str:
    return "".join(f"[[network.rule]]\nhosts = ['{host}']\nverdict = '{verdict}'\n" for host, verdict in rules)


def _strictness(of: Policy) -> list[int]:
    return [connect(of, host).verdict.strictness for host in ("x.test", "y.test", "z.test", "other.example")]


@settings(max_examples=60, deadline=None)
@given(
    RULES,
    RULES.map(lambda rules: [one for one in rules if one[1] != "allow"]),
    st.sampled_from(["", "[network]\ndefault='deny'\n"]),
)
def test_requirements_only_tighten(user: list[tuple[str, str]], required: list[tuple[str, str]], default: str) -> None:
    free = here(document(_network(user)))
    bound = here(document(_network(user)), document(default + _network(required), Layer.REQUIREMENTS))

    assert all(after >= before for before, after in zip(_strictness(free), _strictness(bound), strict=True))


@settings(max_examples=60, deadline=None)
@given(RULES, st.sampled_from(["x.test", "**.test", "*"]), st.sampled_from(list(Layer)[1:5]))
def test_adding_a_denial_never_loosens(rules: list[tuple[str, str]], host: str, layer: Layer) -> None:
    before = here(document(_network(rules)))
    after = here(document(_network(rules)), document(_network([(host, "deny")]), layer, "more.toml"))

    assert all(new >= old for old, new in zip(_strictness(before), _strictness(after), strict=True))


@settings(max_examples=60, deadline=None)
@given(RULES.flatmap(lambda rules: st.tuples(st.just(rules), st.permutations(rules))))
def test_the_order_of_rules_does_not_matter(both: tuple[list[tuple[str, str]], list[tuple[str, str]]]) -> None:
    one, other = (here(document(_network(rules))) for rules in both)

    assert _strictness(one) == _strictness(other)


def test_a_variable_that_requirements_remove_is_set_by_nobody() -> None:
    user = document("[environment]\nset = { AWS_REGION = 'x', B = 'y' }\n")
    requirements = document("[environment]\nremove = ['AWS_*']\n", Layer.REQUIREMENTS)

    merged = here(user, requirements)

    assert (merged.environment.set, merged.environment.remove) == ((("B", "y"),), ("AWS_*",))
    assert merged.notices == ("user.toml:2: setting `AWS_REGION` does not apply: requirements.toml:2 removes it",)


ANSWERS = """
[approvals]
self_approval = false
denials_in_a_row = 2
break_glass = ["ana", "@ops"]
break_glass_minutes = 20
[[approvals.quorum]]
who = ["@security"]
approve = 2
risk = "high"
[[approvals.step]]
who = [":owner"]
[[approvals.step]]
who = ["@ops"]
after_seconds = 60
"""


def test_who_answers_is_what_the_administrator_says_and_a_person_only_adds_to_it() -> None:
    user = """
[approvals]
self_approval = true
denials_in_a_row = 9
break_glass = ["ana"]
[[approvals.quorum]]
who = ["bob"]
[[approvals.step]]
who = ["bob"]
"""

    said = here(document(ANSWERS, Layer.MANAGED), document(user)).approvals

    managed, own = Origin(layer="managed", source="managed.toml:7"), Origin(layer="user", source="user.toml:6")
    assert said == ApprovalPolicy(
        self_approval=False,
        denials_in_a_row=2,
        break_glass=(("ana", "@ops"),),
        break_glass_minutes=20,
        quorums=(
            QuorumRule(who=("@security",), approve=2, risk=Risk.HIGH, origin=managed),
            QuorumRule(who=("bob",), origin=own),
        ),
        steps=(
            StepRule(who=(":owner",), origin=Origin(layer="managed", source="managed.toml:11")),
            StepRule(who=("@ops",), after_seconds=60, origin=Origin(layer="managed", source="managed.toml:13")),
        ),
    )


def test_requirements_narrow_who_breaks_the_glass_and_never_let_anybody() -> None:
    narrowed = here(
        document(ANSWERS, Layer.MANAGED), document("[approvals]\nbreak_glass = ['ana']", Layer.REQUIREMENTS)
    )
    alone = here(document("[approvals]\nbreak_glass = ['ana']", Layer.REQUIREMENTS))

    assert narrowed.approvals.break_glass == (("ana", "@ops"), ("ana",))
    assert alone.approvals.break_glass is None


def test_a_person_and_a_repository_let_nobody_break_the_glass_and_set_no_terms() -> None:
    project = msgspec.structs.replace(document(ANSWERS, Layer.PROJECT), trusted=False)
    own = document("[approvals]\nbreak_glass = ['ana']")

    merged = here(own, project)

    assert merged.approvals == ApprovalPolicy(self_approval=False, denials_in_a_row=2, break_glass_minutes=20)
    assert any("only the managed policy lets anybody break the glass" in notice for notice in merged.notices)


def test_webhooks_come_from_a_person_and_from_above_them_and_not_from_a_repository() -> None:
    hook = "[[approvals.webhook]]\nname = '{}'\nurl = 'https://{}.test/'\nsecret = 'k'\nusers = {{ U = 'ana' }}"
    own = document(hook.format("chat", "own") + "\n" + hook.format("pager", "own"))
    project = document(hook.format("spy", "spy"), Layer.PROJECT)

    merged = here(own, project, document(hook.format("chat", "managed"), Layer.MANAGED))

    assert sorted((one.name, one.url) for one in merged.approvals.webhooks) == [
        ("chat", "https://managed.test/"),
        ("pager", "https://own.test/"),
    ]
    assert any("only your own policy and the managed one name webhooks" in notice for notice in merged.notices)
    assert any("another one is called `chat` already" in notice for notice in merged.notices)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[[approvals.webhook]]\nname = 'a'\nurl = 'https://a.test/'", "`secret` is missing here"),
        ("[[approvals.webhook]]\nname = 'A/b'\nurl = 'https://a.test/'\nsecret = 'k'", "is not a name"),
        ("[[approvals.webhook]]\nname = 'a'\nurl = 'http://a.test/'\nsecret = 'k'", "has to be an `https://` address"),
        ("[[approvals.webhook]]\nname = 'a'\nurl = 'https://a:b@a.test/'\nsecret = 'k'", "has to be an `https://`"),
        ("[[approvals.webhook]]\nname = 'a'\nurl = 'https://['\nsecret = 'k'", "has to be an `https://` address"),
        ("[[approvals.step]]\nwho = ['a']\nafter_seconds = 5", "the first step is asked at once"),
        ("[[approvals.step]]\nwho = ['a']\n[[approvals.step]]\nwho = ['b']", "each step is later than the one before"),
        ("[[approvals.quorum]]\napprove = 2", "`who` is missing here"),
        ("[[approvals.quorum]]\nwho = []", "nobody could answer"),
        ("[[approvals.quorum]]\nwho = ['a b']", "neither the name of a user"),
        ("[[approvals.quorum]]\nwho = ['a']\nrules = []", "it would be about no question"),
        ("[[approvals.quorum]]\nwho = ['a']\nassurance = 'pass'", "it is one of `account`, `signed`, `passkey`"),
        ("[approvals]\napprovers = [':owner']", "neither the name of a user"),
        ("[approvals]\nbreak_glass_minutes = 61", "it lies between 1 and 60"),
    ],
)
def test_terms_that_cannot_be_meant_are_faults(text: str, fault: str) -> None:
    with pytest.raises(PolicyInvalid) as wrong:
        document(text)

    assert any(fault in one.message for one in wrong.value.diagnostics)


def test_questions_are_left_to_an_agents_own_prompt_where_a_person_says_so_and_nobody_forbids_it() -> None:
    own = document("[approvals]\ndelegate = 'medium'")
    lower = document("[approvals]\ndelegate = 'low'", Layer.MANAGED)
    never = document("[approvals]\ndelegate = 'none'", Layer.REQUIREMENTS)
    none: tuple[Document, ...] = ()

    found = [here(*layers).approvals.delegate for layers in (none, (own,), (lower, own), (own, never))]

    assert found == [None, Risk.MEDIUM, Risk.LOW, None]


def test_a_repository_leaves_no_question_to_an_agent_even_where_it_is_trusted() -> None:
    merged = here(document("[approvals]\ndelegate = 'low'", Layer.PROJECT))

    assert merged.approvals.delegate is None
    assert any("only your own policy and the managed one" in notice for notice in merged.notices)


@pytest.mark.parametrize(
    "text", ["delegate = 'high'", "delegate = true", "[[approvals.quorum]]\nwho = ['a']\nassurance = 'agent-reported'"]
)
def test_high_risk_and_the_word_of_an_agent_cannot_be_written(text: str) -> None:
    with pytest.raises(PolicyInvalid):
        document(f"[approvals]\n{text}")
