"""The effective policy as managed settings: golden files of each preset, and what each agent would then decide."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.agents.exchange import agents_matching
from tests.agents.exchange.importing import HOME, WORKSPACE

from ringfence.agents.exchange.native import Native, NativeAgent
from ringfence.agents.exchange.native_agents import native_settings
from ringfence.model.action import EffectKind
from ringfence.model.decision import Verdict
from ringfence.policy.documents import read_document
from ringfence.policy.effective import CommandRule, Origin, Policy
from ringfence.policy.layers import Layer
from ringfence.policy.merge import Facts, merge
from ringfence.policy.presets import preset
from ringfence.policy.sections.settings import PRESETS

GOLDEN = Path(__file__).parent / "golden"
ORIGIN = Origin(layer="user", source="policy.toml:1")

POLICY = """
[filesystem]
read = ["~/shared", "docs/fixed.md"]
write = ["~/out"]
deny = ["~/secret", "**/*.key", ":workspace/private"]

[network]
default = "deny"
host_ports = [5432]
[[network.rule]]
hosts = ["api.test", "*.cdn.test"]
verdict = "allow"
[[network.rule]]
hosts = ["evil.test:8080"]
verdict = "deny"
[[network.rule]]
hosts = ["git.test"]
methods = ["GET"]
verdict = "allow"
[[network.rule]]
hosts = ["10.0.0.0/8"]
verdict = "deny"

[environment]
keep = ["MY_*"]
remove = ["MY_TOKEN"]
set = { A = "1" }

[[mcp.rule]]
servers = ["git"]
tools = ["push", "send_mail"]
verdict = "deny"
[[mcp.rule]]
servers = ["db*"]
verdict = "ask"

[[commands.rule]]
id = "deploy"
prefix = ["deploy", ["prod", "stage"]]
verdict = "deny"
reason = "a person does that"
[[commands.rule]]
id = "wipe"
prefix = ["wipe", "disk", ["-f", "--force"]]
verdict = "deny"
[[commands.rule]]
id = "look"
prefix = ["look", "up"]
verdict = "allow"
"""


def made(text: str = "", name: str = "workspace") -> Policy:
    document = read_document(text.encode(), file="policy.toml", layer=Layer.USER)
    return merge((preset(name), document), facts=Facts(home=HOME, workspace=WORKSPACE))


def native(agent: str, policy: Policy | None = None) -> Native:
    return native_settings(NativeAgent(agent), own() if policy is None else policy)


def own() -> Policy:
    """The policy above without the commands of its preset."""
    policy = made(POLICY)
    rules = tuple(rule for rule in policy.commands.rules if rule.origin.layer == "user")
    return msgspec.structs.replace(policy, commands=msgspec.structs.replace(policy.commands, rules=rules))


def content(found: Native, name: str) -> str:
    return next(file.content for file in found.files if file.name == name)


def only_commands(*rules: CommandRule) -> Policy:
    policy = made()
    return msgspec.structs.replace(policy, commands=msgspec.structs.replace(policy.commands, rules=rules))


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("agent", list(NativeAgent))
def test_the_settings_of_each_preset_are_those_that_were_reviewed(agent: NativeAgent, name: str) -> None:
    """Write them anew with RINGFENCE_GOLDEN=write, and read the difference as behaviour.

    Without the rules about effects, which come to as many words as there are tool tables.
    """
    policy = msgspec.structs.replace(made(name=name), digest="sha256:of-the-preset")
    worded = tuple(rule for rule in policy.commands.rules if rule.prefix)
    commands = msgspec.structs.replace(policy.commands, rules=worded)
    found = native_settings(agent, msgspec.structs.replace(policy, commands=commands))
    folder = GOLDEN / agent.value / name
    files = {file.name: file.content for file in found.files}
    files["left-out.json"] = (
        msgspec.json.format(msgspec.json.encode((found.unmapped, found.stricter, found.limits)), indent=1).decode()
        + "\n"
    )
    if os.environ.get("RINGFENCE_GOLDEN") == "write":
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (folder / file).write_text(text)

    assert {path.name: path.read_text() for path in sorted(folder.iterdir())} == files


def test_codex_gets_paths_hosts_and_rules_that_its_users_cannot_loosen() -> None:
    found = native("codex")

    requirements = tomllib.loads(content(found, "requirements.toml"))
    profile = requirements["permissions"]["ringfence"]["filesystem"]
    assert requirements["default_permissions"] == "ringfence"
    assert requirements["allowed_permission_profiles"] == {"ringfence": True}
    assert (profile["~/shared"], profile["~/out"], profile["~/secret"]) == ("read", "write", "deny")
    inside = profile[":workspace_roots"]
    assert (inside["."], inside["**/*.key"], inside["private"], inside["docs/fixed.md"]) == (
        "write",
        "deny",
        "deny",
        "read",
    )
    assert "~/secret" in requirements["permissions"]["filesystem"]["deny_read"]
    assert requirements["experimental_network"] == {
        "enabled": True,
        "managed_allowed_domains_only": True,
        "domains": {"api.test": "allow", "*.cdn.test": "allow", "evil.test": "deny"},
    }
    assert {
        "pattern": [{"token": "deploy"}, {"any_of": ["prod", "stage"]}],
        "decision": "forbidden",
        "justification": "a person does that",
    } in requirements["rules"]["prefix_rules"]
    environment = tomllib.loads(content(found, "config.toml"))["shell_environment_policy"]
    assert "MY_*" in environment["include_only"]
    assert (environment["set"], environment["exclude"]) == ({"A": "1"}, ["MY_TOKEN"])


def test_codex_is_never_told_to_allow_a_command_because_it_would_leave_the_sandbox() -> None:
    found = native("codex")

    assert 'decision = "allow"' not in content(found, "ringfence.rules")
    assert [one.restricts for one in found.unmapped if one.item == "allow `look`: look up"] == [False]


def test_tools_of_servers_are_named_as_each_agent_names_them() -> None:
    claude, gemini, codex = native("claude"), native("gemini"), native("codex")

    deny = json.loads(content(claude, "managed-settings.json"))["permissions"]["deny"]
    assert [entry for entry in deny if entry.startswith("mcp__")] == ["mcp__git__push", "mcp__git__send_mail"]
    assert {"toolName": ["push", "send_mail"], "mcpName": "git", "decision": "deny", "priority": 900} in tomllib.loads(
        content(gemini, "ringfence.toml")
    )["rule"]
    lost = [{one.item for one in found.unmapped if " / " in one.item} for found in (claude, gemini, codex)]
    assert lost == [{"ask db* / *"}, {"ask db* / *"}, {"ask db* / *", "deny git / push send_mail"}]


def test_what_no_agent_can_hold_is_listed() -> None:
    for agent in NativeAgent:
        found = native(agent.value)
        items = {one.item for one in found.unmapped}

        assert {
            "allow git.test",
            "deny 10.0.0.0/8",
            "network.host_ports 5432",
            "sandbox.min_tier",
            "control files",
        } <= items, agent


def test_a_part_of_a_policy_that_is_newer_than_this_code_is_listed_and_not_skipped() -> None:
    class NewRule(CommandRule, frozen=True, kw_only=True):
        weekdays: tuple[str, ...] = ()

    denied = NewRule(id="denied", prefix=(("x",),), verdict=Verdict.DENY, weekdays=("monday",), origin=ORIGIN)
    opened = NewRule(id="opened", prefix=(("y",),), verdict=Verdict.ALLOW, weekdays=("monday",), origin=ORIGIN)

    found = native("claude", only_commands(denied, opened))

    assert {"allow `opened`: y"} <= {one.item for one in found.unmapped}
    assert "deny `denied`: x" in {one.item for one in found.stricter}
    assert agents_matching.claude(content(found, "managed-settings.json"), "x z") == "deny"


@pytest.mark.slow
def test_a_rule_about_effects_is_written_in_the_words_that_have_them() -> None:
    rule = CommandRule(id="publish", effects=(EffectKind.PUBLISH,), verdict=Verdict.DENY, origin=ORIGIN)

    found = {agent: native_settings(agent, only_commands(rule)) for agent in NativeAgent}

    claude = content(found[NativeAgent.CLAUDE], "managed-settings.json")
    gemini = content(found[NativeAgent.GEMINI], "ringfence.toml")
    opencode = content(found[NativeAgent.OPENCODE], "opencode.json")
    for command, denied in (("git push x", True), ("git -C x push", True), ("npm publish", True), ("git log", False)):
        assert (agents_matching.claude(claude, command) == "deny") is denied, command
        assert (agents_matching.opencode(opencode, "bash", command) == "deny") is denied, command
        decided = agents_matching.gemini(gemini, "run_shell_command", {"command": command})
        assert (decided == "deny") is denied, command
    assert 'decision = "forbidden"' in content(found[NativeAgent.CODEX], "ringfence.rules")
    assert all(one.unmapped[0].item == "deny `publish`" and one.unmapped[0].restricts for one in found.values())


COMMANDS = [
    ("deploy prod now", "deny"),
    ("deploy --verbose prod", "deny"),
    ("deploy test", None),
    ("wipe disk --force x", "deny"),
    ("wipe disk x -f", "deny"),
    ("wipe disk x", None),
    ("look up x", "allow"),
    ("look down", None),
]


@pytest.mark.parametrize(("command", "verdict"), COMMANDS)
def test_claude_code_decides_so(command: str, verdict: str | None) -> None:
    assert agents_matching.claude(content(native("claude"), "managed-settings.json"), command) == verdict


@pytest.mark.parametrize(("command", "verdict"), COMMANDS)
def test_opencode_decides_so(command: str, verdict: str | None) -> None:
    expected = verdict if verdict == "deny" else "ask"

    assert agents_matching.opencode(content(native("opencode"), "opencode.json"), "bash", command) == expected


@pytest.mark.parametrize(("command", "verdict"), [*COMMANDS, ("/opt/deploy prod", "deny"), ("wipe disk -xf", "deny")])
def test_gemini_decides_so(command: str, verdict: str | None) -> None:
    policy = content(native("gemini"), "ringfence.toml")
    expected = verdict if verdict == "deny" else "ask_user"

    assert agents_matching.gemini(policy, "run_shell_command", {"command": command}) == expected


@pytest.mark.parametrize(
    ("path", "closed"),
    [
        ("a/b.key", True),
        ("private/x", True),
        ("~/secret", True),
        (".env.prod", True),
        (".env.example", False),
        ("a", False),
    ],
)
def test_gemini_and_opencode_close_files(path: str, closed: bool) -> None:
    opencode = agents_matching.opencode(content(native("opencode"), "opencode.json"), "read", path)
    gemini = agents_matching.gemini(content(native("gemini"), "ringfence.toml"), "read_file", {"file_path": path})

    assert gemini == ("deny" if closed else None)
    assert opencode == "deny" or not closed


@pytest.mark.slow
def test_a_preset_that_only_reads_lets_nobody_edit() -> None:
    policy = made(name="read-only")

    assert "Edit(/**)" in content(native("claude", policy), "managed-settings.json")
    assert agents_matching.opencode(content(native("opencode", policy), "opencode.json"), "edit", "a") == "deny"
    gemini = content(native("gemini", policy), "ringfence.toml")
    assert agents_matching.gemini(gemini, "write_file", {"file_path": "a", "content": ""}) == "deny"
    codex = tomllib.loads(content(native("codex", policy), "requirements.toml"))
    assert codex["allowed_sandbox_modes"] == ["read-only"]
    assert codex["permissions"]["ringfence"]["filesystem"][":workspace_roots"]["."] == "read"


WORDS = st.sampled_from(["git", "push", "-f", "--force", "*", "a.b", "x y", "(", "\\", '"', "/", "ä", "[a]", "a:*"])
PREFIXES = st.lists(st.lists(WORDS, min_size=1, max_size=3, unique=True).map(tuple), min_size=1, max_size=4).map(tuple)
RULES = st.builds(CommandRule, id=st.just("r"), prefix=PREFIXES, verdict=st.just(Verdict.DENY), origin=st.just(ORIGIN))


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(RULES, st.data())
def test_a_command_that_is_just_what_a_rule_says_is_denied_or_the_rule_is_listed(
    rule: CommandRule, data: st.DataObject
) -> None:
    command = " ".join(data.draw(st.sampled_from(words)) for words in rule.prefix)
    policy = only_commands(rule)

    found = {agent: native_settings(agent, policy) for agent in NativeAgent}

    claude, opencode = found[NativeAgent.CLAUDE], found[NativeAgent.OPENCODE]
    gemini = content(found[NativeAgent.GEMINI], "ringfence.toml")
    listed = any("parentheses" in one.reason for one in claude.unmapped)
    assert agents_matching.claude(content(claude, "managed-settings.json"), command) == "deny" or listed
    assert agents_matching.opencode(content(opencode, "opencode.json"), "bash", command) == "deny"
    assert agents_matching.gemini(gemini, "run_shell_command", {"command": command}) == "deny"
