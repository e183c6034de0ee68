"""Layers: who may say what, and the notice for each line that does not count."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.making import EMPTY, HOME, WORKSPACE, connect, document, file, judge, policy, shell

from ringfence.model.action import Action, CommandAction, ConnectAction, FileAction, FileOperation
from ringfence.model.decision import Verdict
from ringfence.policy.choosing import choose_preset
from ringfence.policy.documents import Document
from ringfence.policy.effective import BUILT_IN, Inactive, Origin, WorkspaceMode
from ringfence.policy.layers import Layer
from ringfence.policy.merge import Facts, merge


def untrusted(text: str) -> Document:
    return msgspec.structs.replace(document(text, Layer.PROJECT), trusted=False)


def test_a_user_loosens_a_default_of_the_preset() -> None:
    merged = policy(document("[approvals]\ntimeout_seconds = 900\n[sandbox]\nmin_tier = 'C'"))

    assert (merged.approvals.timeout_seconds, merged.min_tier, merged.notices) == (900, "C", ())


def test_a_user_does_not_loosen_what_the_administrator_set_and_is_told() -> None:
    managed = document("[network]\ndefault = 'deny'\n[sandbox]\nmin_tier = 'B'", Layer.MANAGED)
    user = document("[network]\ndefault = 'ask'\n[sandbox]\nmin_tier = 'C'")

    merged = policy(managed, user)

    assert merged.network.default is Verdict.DENY
    assert merged.network.default_origin == Origin(layer="managed", source="managed.toml:2")
    assert merged.min_tier == "B"
    assert merged.notices == (
        "user.toml:2: `network.default = ask` does not apply: managed.toml:2 says `deny`",
        "user.toml:4: `sandbox.min_tier = C` does not apply: managed.toml:4 says `B`",
    )


def test_a_user_may_be_stricter_than_the_administrator() -> None:
    managed = document("[approvals]\ntimeout_seconds = 600", Layer.MANAGED)

    assert policy(managed, document("[approvals]\ntimeout_seconds = 60")).approvals.timeout_seconds == 60


def test_requirements_replace_a_looser_value_by_the_nearest_permitted_one() -> None:
    requirements = document("[approvals]\ntimeout_seconds = 120", Layer.REQUIREMENTS)
    merged = policy(document("[approvals]\ntimeout_seconds = 900"), requirements)

    assert merged.approvals.timeout_seconds == 120
    assert merged.notices == (
        "user.toml:2: `approvals.timeout_seconds = 900` does not apply: requirements.toml:2 requires `120`",
    )


def test_an_untrusted_project_only_tightens() -> None:
    project = untrusted(
        """
[filesystem]
read = ["~/a"]
write = ["~/b"]
deny = ["secret"]
[network]
default = "deny"
host_ports = [5432]
[[network.rule]]
id = "open"
hosts = ["x.test"]
verdict = "allow"
[[network.rule]]
id = "shut"
hosts = ["y.test"]
verdict = "deny"
[environment]
keep = ["TOKEN"]
set = { A = "b" }
[approvals]
timeout_seconds = 100000
"""
    )

    merged = policy(project)

    assert merged.network.default is Verdict.DENY
    assert [rule.id for rule in merged.network.rules] == ["shut"]
    assert merged.network.host_ports == ()
    assert [rule.pattern for rule in merged.filesystem if rule.origin.layer == "project"] == ["secret"]
    assert "TOKEN" not in merged.environment.keep
    assert merged.environment.set == ()
    assert merged.approvals.timeout_seconds == 300
    assert [notice.partition(": ")[0] for notice in merged.notices] == [
        f"project.toml:{line}" for line in (3, 4, 8, 9, 18, 19, 21)
    ]
    assert all("ringfence trust" in notice for notice in merged.notices)


def test_a_trusted_project_opens_what_a_user_could_open() -> None:
    text = "[filesystem]\nread = ['~/a']\n[[network.rule]]\nhosts = ['x.test']\nverdict = 'allow'"

    merged = policy(document(text, Layer.PROJECT))

    assert merged.notices == ()
    assert file(merged, "read", "/home/u/a").verdict is Verdict.ALLOW
    assert connect(merged, "x.test").verdict is Verdict.ALLOW


def test_what_people_replace_themselves_is_shown_as_inactive_and_never_a_notice() -> None:
    base = "[approvals]\ntimeout_seconds = 30\n[environment]\nset = { A = 'b' }\n"
    own = base.replace("30", "31")
    rule = "[[commands.rule]]\nid = 'push'\nprefix = ['git', 'push']\nverdict = 'ask'\n"
    preset, user = Origin(layer="preset:base", source="base.toml:2"), Origin(layer="user", source="user.toml:2")

    merged = policy(document(own + rule), base=base + rule)

    assert merged.notices == ()
    assert merged.inactive == (
        Inactive(
            origin=preset, what="`approvals.timeout_seconds = 30`", why="user.toml:2 says `31`", by=user, told=False
        ),
        Inactive(
            origin=msgspec.structs.replace(preset, source="base.toml:4"),
            what="setting `A`",
            why="user.toml:4 sets it",
            by=msgspec.structs.replace(user, source="user.toml:4"),
            told=False,
        ),
        Inactive(
            origin=msgspec.structs.replace(preset, source="base.toml:5"),
            what="rule `push`",
            why="that of user.toml:5 takes its place",
            by=msgspec.structs.replace(user, source="user.toml:5"),
            told=False,
        ),
    )


def test_every_single_value_has_an_origin() -> None:
    text = "[network]\nhost_ports = [5432]\n[environment]\nkeep = ['LANG']\nset = { A = 'b' }\n"

    merged = policy(document(text), base="[sandbox]\nmin_tier = 'B'\n")

    assert dict(merged.origins) == {
        "approvals.break_glass_minutes": BUILT_IN,
        "approvals.delegate": BUILT_IN,
        "approvals.denials_in_a_row": BUILT_IN,
        "approvals.denials_of_50": BUILT_IN,
        "approvals.remember": BUILT_IN,
        "approvals.remember_days": BUILT_IN,
        "approvals.self_approval": BUILT_IN,
        "approvals.reviewer.audit_percent": BUILT_IN,
        "approvals.reviewer.ceiling": BUILT_IN,
        "approvals.timeout_seconds": BUILT_IN,
        "approvals.wait_seconds": BUILT_IN,
        "content.canaries": BUILT_IN,
        "content.on_secret": BUILT_IN,
        "content.unreadable": BUILT_IN,
        "filesystem.workspace": BUILT_IN,
        "environment.keep.LANG": Origin(layer="user", source="user.toml:4"),
        "environment.set.A": Origin(layer="user", source="user.toml:5"),
        "limits.cpu_percent": BUILT_IN,
        "limits.disk_mb": BUILT_IN,
        "limits.file_mb": BUILT_IN,
        "limits.memory_mb": BUILT_IN,
        "limits.open_files": BUILT_IN,
        "limits.processes": BUILT_IN,
        "limits.wall_seconds": BUILT_IN,
        "mcp.changed": BUILT_IN,
        "mcp.default": BUILT_IN,
        "mcp.unseen": BUILT_IN,
        "network.default": BUILT_IN,
        "network.host_ports.5432": Origin(layer="user", source="user.toml:2"),
        "sandbox.min_tier": Origin(layer="preset:base", source="base.toml:2"),
        "telemetry.tool_arguments": BUILT_IN,
        "telemetry.model_content": BUILT_IN,
        "model.read": BUILT_IN,
        "model.budget_tokens": BUILT_IN,
        "model.budget_cost": BUILT_IN,
    }


@pytest.mark.parametrize("layer", [Layer.MANAGED, Layer.REQUIREMENTS])
def test_a_path_below_what_the_administrator_denies_is_inactive(layer: Layer) -> None:
    merged = policy(
        document("[filesystem]\ndeny = ['~/.ssh', '**/*.key']", layer),
        document("[filesystem]\nread = ['~/.ssh/config', 'a/b.key']\nwrite = ['~/other']"),
    )

    assert merged.notices == (
        f"user.toml:2: `read` of `~/.ssh/config` does not apply: {layer.value}.toml:2 denies `~/.ssh`",
        f"user.toml:2: `read` of `a/b.key` does not apply: {layer.value}.toml:2 denies `**/*.key`",
    )
    assert file(merged, "read", "/home/u/.ssh/config").verdict is Verdict.DENY
    assert file(merged, "write", "/home/u/other").verdict is Verdict.ALLOW


def test_a_rule_of_the_same_id_replaces_that_of_the_preset_only() -> None:
    user = document("[[commands.rule]]\nid = 'publish'\nprefix = ['git', 'push']\nverdict = 'allow'")
    managed = document("[[commands.rule]]\nid = 'publish'\nprefix = ['git', 'push']\nverdict = 'ask'", Layer.MANAGED)

    assert shell(policy(user), "git push").verdict is Verdict.ALLOW
    assert shell(policy(user, managed), "git push").verdict is Verdict.ASK


def test_an_untrusted_project_does_not_replace_a_rule_of_the_preset() -> None:
    project = untrusted("[[commands.rule]]\nid = 'publish'\nprefix = ['never']\nverdict = 'deny'")

    assert shell(policy(project), "git push").verdict is Verdict.ASK


def test_a_required_default_holds_for_hosts_that_only_a_person_allows() -> None:
    allow = "[[network.rule]]\nid = 'mine'\nhosts = ['x.test']\nverdict = 'allow'"
    required = document("[network]\ndefault = 'deny'", Layer.REQUIREMENTS)

    assert connect(policy(document(allow), required), "x.test").verdict is Verdict.DENY
    assert connect(policy(document(allow, Layer.MANAGED), required), "x.test").verdict is Verdict.ALLOW


@pytest.mark.parametrize(
    ("wanted", "allowed", "expected"),
    [
        ("full-access", '["workspace", "read-only"]', "workspace"),
        ("full-access", '["read-only"]', "read-only"),
        ("read-only", '["workspace", "full-access"]', "workspace"),
        ("workspace", '["workspace"]', "workspace"),
    ],
)
def test_the_nearest_permitted_preset_applies(wanted: str, allowed: str, expected: str) -> None:
    documents = (
        document(f"extends = '{wanted}'"),
        document(f"allowed_presets = {allowed}", Layer.REQUIREMENTS),
    )

    chosen = choose_preset(documents, None)

    assert chosen.name == expected
    assert bool(chosen.inactive) is (wanted != expected)


def test_an_untrusted_project_chooses_a_stricter_preset_only() -> None:
    assert choose_preset((untrusted("extends = 'full-access'"),), None).name == "workspace"
    assert choose_preset((untrusted("extends = 'read-only'"),), None).name == "read-only"


def test_the_digest_changes_with_any_part_and_with_nothing_else() -> None:
    first = policy(document("[approvals]\ntimeout_seconds = 60"))

    assert first.digest == policy(document("[approvals]\ntimeout_seconds = 60")).digest
    assert first.digest != policy(document("[approvals]\ntimeout_seconds = 61")).digest
    assert first.digest.startswith("sha256:")


# Properties, over small policies and a handful of actions that they speak about

HOSTS = ["a.test", "b.a.test", "c.test", "10.0.0.1"]
ACTIONS: tuple[Action, ...] = (
    *(ConnectAction(host=host, port=port) for host in HOSTS for port in (80, 443)),
    ConnectAction(host="a.test", port=443, method="POST", path="/x/y"),
    *(
        FileAction(operation=operation, path=path)
        for operation in FileOperation
        for path in ("/w/a", "/w/b/c", "/home/u/a/x", "/home/u/b", "/etc/passwd")
    ),
    *(
        CommandAction(argv=("bash", "-c", text), shell=text, cwd="/w")
        for text in ("git push", "env git -C x push", "ls > b/c", "git $x", "eval ls", "cat ~/a/x", "make")
    ),
)

_verdicts = st.sampled_from(["allow", "ask", "deny"])
_host_rules = st.builds(
    lambda host, verdict, method: (
        f"[[network.rule]]\nhosts = ['{host}']\nverdict = '{verdict}'\n"
        + (f"methods = ['{method}']\n" if method else "")
    ),
    st.sampled_from(["a.test", "*.a.test", "**.a.test", "c.test:443", "10.0.0.0/8", "*"]),
    _verdicts,
    st.sampled_from(["", "GET", "POST"]),
)
_command_rules = st.builds(
    lambda words, verdict: f"[[commands.rule]]\nprefix = {words}\nverdict = '{verdict}'\n",
    st.sampled_from([["git"], ["git", "push"], ["ls"], ["make"], ["env"]]),
    _verdicts,
)
_rules = st.lists(_host_rules | _command_rules, max_size=5)
_paths = st.lists(st.sampled_from(["~/a", "~/a/x", "~/b", "a", "b/**", "**/c", ":workspace", "/etc"]), max_size=3)


def _text(rules: list[str], read: list[str], write: list[str], deny: list[str]) -> str:
    return f"[filesystem]\nread = {read}\nwrite = {write}\ndeny = {deny}\n" + "".join(rules)


_documents = st.builds(_text, _rules, _paths, _paths, _paths)


def _strictness(*documents: Document) -> list[int]:
    evaluator = judge(policy(*documents, base=EMPTY))
    return [evaluator.evaluate(action).verdict.strictness for action in ACTIONS]


@settings(max_examples=40, deadline=None)
@given(_documents, _rules, _paths)
def test_adding_a_deny_never_loosens(text: str, rules: list[str], deny: list[str]) -> None:
    stricter = [rule.replace("'allow'", "'deny'").replace("'ask'", "'deny'") for rule in rules]
    added = document(_text(stricter, [], [], deny), Layer.SESSION, "added.toml")

    before, after = _strictness(document(text)), _strictness(document(text), added)

    assert all(new >= old for old, new in zip(before, after, strict=True))


@settings(max_examples=40, deadline=None)
@given(_documents, _rules, _paths)
def test_requirements_only_tighten(text: str, rules: list[str], deny: list[str]) -> None:
    stricter = [rule.replace("'allow'", "'ask'") for rule in rules]
    requirements = document(
        f"[network]\ndefault = 'ask'\n[filesystem]\ndeny = {deny}\n" + "".join(stricter), Layer.REQUIREMENTS
    )

    before, after = _strictness(document(text)), _strictness(document(text), requirements)

    assert all(new >= old for old, new in zip(before, after, strict=True))


@settings(max_examples=40, deadline=None)
@given(_documents)
def test_an_untrusted_project_never_loosens(text: str) -> None:
    before, after = _strictness(), _strictness(untrusted(text))

    assert all(new >= old for old, new in zip(before, after, strict=True))


@settings(max_examples=40, deadline=None)
@given(_documents, st.lists(_host_rules, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_rules_is_irrelevant(text: str, rules: list[str], random: object) -> None:
    shuffled = sorted(rules, key=lambda rule: hash((rule, id(random))))

    first = _strictness(document(text), document("".join(rules), Layer.MANAGED))
    second = _strictness(document(text), document("".join(shuffled), Layer.MANAGED))

    assert first == second


def test_merging_needs_no_disk_and_no_order_of_documents() -> None:
    documents = (
        document(EMPTY, Layer.PRESET, "base.toml"),
        document("[network]\ndefault = 'deny'", Layer.REQUIREMENTS),
        document("[filesystem]\nread = ['~/a']"),
    )
    facts = Facts(home=HOME, workspace=WORKSPACE)

    assert merge(documents, facts=facts) == merge(documents[::-1], facts=facts)


def test_requirements_can_make_every_workspace_staged() -> None:
    staged, direct = (f'[filesystem]\nworkspace = "{word}"\n' for word in ("staged", "direct"))
    required, mine = document(staged, Layer.REQUIREMENTS), document(direct)

    bound = policy(mine, required)

    assert bound.workspace_mode is WorkspaceMode.STAGED
    assert bound.origin_of("filesystem.workspace").source == "requirements.toml:2"
    assert policy(mine).workspace_mode is WorkspaceMode.DIRECT


def test_only_who_may_loosen_declares_a_boundary() -> None:
    text = "[sandbox]\nboundary = 'the machine of the job'\n"
    untrusted = msgspec.structs.replace(document(text, Layer.PROJECT), trusted=False)

    assert policy(document(text)).boundary == "the machine of the job"
    assert policy(untrusted).boundary == ""
    assert any("sandbox.boundary" in notice for notice in policy(untrusted).notices)
