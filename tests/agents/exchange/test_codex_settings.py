"""Codex's requirements and settings as a policy."""

from __future__ import annotations

import pytest
from tests.agents.exchange.importing import HOME, WORKSPACE, Judge, codex

from ringfence.agents.exchange.draft import Note, Unmapped
from ringfence.model.decision import Verdict
from ringfence.model.situations import PolicyInvalid
from ringfence.policy.effective import Access


def paths(judge: Judge) -> list[tuple[str, Access]]:
    return [(rule.pattern, rule.access) for rule in judge.document.filesystem]


def test_a_mode_is_a_preset_and_its_network_is_off() -> None:
    found = codex(
        ("config.toml", 'sandbox_mode = "workspace-write"\n[sandbox_workspace_write]\nwritable_roots = ["~/lib"]')
    )

    judge = Judge(found)
    assert judge.preset == "workspace"
    assert judge.document.network.default is not None
    assert judge.document.network.default[0] is Verdict.DENY
    assert paths(judge) == [("~/lib", Access.WRITE)]
    assert "# config.toml:3" in found.policy


@pytest.mark.parametrize(
    ("text", "preset"),
    [
        ('sandbox_mode = "read-only"', "read-only"),
        ('sandbox_mode = "danger-full-access"', "full-access"),
        ('allowed_sandbox_modes = ["read-only"]', "read-only"),
        ('allowed_sandbox_modes = ["read-only", "workspace-write", "danger-full-access"]', "workspace"),
        ('sandbox_mode = "danger-full-access"\nallowed_sandbox_modes = ["read-only"]', "read-only"),
        ('default_permissions = ":workspace"', "workspace"),
    ],
)
def test_the_strictest_of_what_is_chosen_and_permitted_is_the_preset(text: str, preset: str) -> None:
    found = codex(("config.toml", text))

    assert Judge(found).preset == preset


def test_admin_rules_are_carried_and_may_never_allow() -> None:
    text = """
[rules]
prefix_rules = [
  { pattern = [{ token = "rm" }, { any_of = ["-rf", "-fr"] }], decision = "forbidden", justification = "no" },
]
"""
    found = codex(("requirements.toml", text))

    assert Judge(found).command("rm -rf build") is Verdict.DENY
    with pytest.raises(PolicyInvalid) as raised:
        codex(("requirements.toml", text.replace("forbidden", "allow")))
    assert str(raised.value.diagnostics[0]) == (
        "requirements.toml:4:64: `rules.prefix_rules.0.decision` has to be `prompt` or `forbidden`"
    )


def test_a_profile_brings_its_paths_with_those_that_it_extends() -> None:
    text = """
default_permissions = "near"
[permissions.far]
extends = ":workspace"
[permissions.far.filesystem]
":minimal" = "read"
"~/secret" = "deny"
"~/shared" = "write"
[permissions.near]
extends = "far"
[permissions.near.filesystem]
"~/shared" = "read"
[permissions.near.filesystem.":workspace_roots"]
"." = "write"
"**/*.key" = "deny"
[permissions.other]
extends = ":read-only"
"""
    found = codex(("config.toml", text))

    judge = Judge(found)
    assert sorted(paths(judge)) == [
        (":workspace", Access.WRITE),
        (":workspace/**/*.key", Access.DENY),
        ("~/secret", Access.DENY),
        ("~/shared", Access.READ),
    ]
    assert (judge.reads(f"{HOME}/shared/x"), judge.writes(f"{HOME}/shared/x")) == (True, False)
    assert judge.reads(f"{WORKSPACE}/a/b.key") is False
    reason = "another profile is the default; a policy has one"
    assert found.unmapped == (
        Unmapped(origin="config.toml:16", item="permissions.other", reason=reason, restricts=False),
    )


def test_a_profile_that_extends_nothing_starts_from_the_strictest_preset() -> None:
    text = 'default_permissions = "mine"\n[permissions.mine.filesystem]\n"~/x" = "read"'

    judge = Judge(codex(("config.toml", text)))

    assert judge.preset == "read-only"
    assert (judge.reads(f"{HOME}/x/y"), judge.writes(f"{WORKSPACE}/y")) == (True, False)


def test_hosts_come_along_and_a_pattern_inside_a_label_denies_more() -> None:
    text = """
[experimental_network]
enabled = true
managed_allowed_domains_only = true
allow_local_binding = true
[experimental_network.domains]
"api.test" = "allow"
"**.b.test" = "deny"
"a*.c.test" = "deny"
"a*.d.test" = "allow"
"""
    found = codex(("requirements.toml", text))

    network = Judge(found).document.network
    assert network.default is not None
    assert network.default[0] is Verdict.DENY
    assert [(rule.hosts, rule.verdict) for rule in network.rules] == [
        (("api.test",), Verdict.ALLOW),
        (("**.b.test",), Verdict.DENY),
        (("*.c.test",), Verdict.DENY),
    ]
    assert found.stricter == (
        Note(origin="requirements.toml:9", item="deny `a*.c.test`", text="denies `*.c.test`, which is more"),
    )
    assert [(one.item, one.restricts) for one in found.unmapped] == [
        ("experimental_network.allow_local_binding", False),
        ("allow `a*.d.test`", False),
    ]


def test_the_limited_mode_is_about_methods() -> None:
    text = 'default_permissions = "m"\n[permissions.m.network]\nmode = "limited"\ndomains = { "a.test" = "allow" }'

    network = Judge(codex(("config.toml", text))).document.network

    assert network.rules[0].methods == ("GET", "HEAD", "OPTIONS")


def test_variables_come_along_but_not_credentials() -> None:
    text = """
[shell_environment_policy]
inherit = "all"
include_only = ["MY_*", "AWS_*", "*_X"]
exclude = ["AWS_SECRET_*", "TERM"]
set = { A = "1", API_KEY = "k" }
"""
    found = codex(("config.toml", text))

    environment = Judge(found).document.environment
    assert [name for name, _ in environment.keep] == ["MY_*", "AWS_*"]
    assert [name for name, _ in environment.remove] == ["AWS_SECRET_*", "TERM"]
    assert [(name, value) for name, value, _ in environment.set] == [("A", "1")]
    assert [(one.item, one.restricts) for one in found.unmapped] == [
        ("kept variable `*_X`", False),
        ("variable `API_KEY`", False),
    ]


def test_rules_about_tools_of_servers_come_along() -> None:
    text = """
[mcp_servers.git]
command = "git-server"
disabled_tools = ["push"]
default_tools_approval_mode = "writes"
[mcp_servers.git.tools.log]
approval_mode = "approve"
[mcp_servers.off]
enabled = false
identity = { command = "/usr/bin/off" }
"""
    found = codex(("config.toml", text))

    assert [(rule.servers, rule.tools, rule.verdict) for rule in Judge(found).document.mcp.rules] == [
        (("git",), ("push",), Verdict.DENY),
        (("git",), ("*",), Verdict.ASK),
        (("git",), ("log",), Verdict.ALLOW),
        (("off",), ("*",), Verdict.DENY),
    ]
    assert [(one.item, one.restricts) for one in found.unmapped] == [
        ("mcp_servers.git.command", False),
        ("mcp_servers.off.identity", True),
    ]


def test_requirements_without_servers_deny_all_of_them() -> None:
    default = Judge(codex(("requirements.toml", "[mcp_servers]"))).document.mcp.default

    assert default is not None
    assert default[0] is Verdict.DENY


def test_everything_that_has_no_place_in_a_policy_is_listed_once_with_its_line() -> None:
    text = 'model = "m"\nnew = 1\n[otel]\nexporter = "none"\n[mcp_servers.x]\ncommand = "x"\n[features]\nshiny = true\n'

    found = codex(("config.toml", text))

    assert [(one.origin, one.item, one.restricts) for one in found.unmapped] == [
        ("config.toml:1", "model", False),
        ("config.toml:2", "new", True),
        ("config.toml:3", "otel", False),
        ("config.toml:6", "mcp_servers.x.command", False),
        ("config.toml:8", "features.shiny", False),
    ]


def test_faults_of_all_files_are_told_at_once() -> None:
    with pytest.raises(PolicyInvalid) as raised:
        codex(("a.toml", "x = "), ("b.toml", "\nsandbox_mode = 3"), ("c.rules", "prefix_rule()"))

    assert [(fault.file, fault.line) for fault in raised.value.diagnostics] == [
        ("a.toml", 1),
        ("b.toml", 2),
        ("c.rules", 1),
    ]
