"""Codex: what is opened for it, how its hooks are read, what the administrator's file becomes."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from tests.agents.disk import CLIENT_SOURCE, DictDisk

from ringfence.agents.agent import AgentRequest, AgentSetup, HookAnswer, HookCall, HookMoment, HookUnreadable
from ringfence.agents.codex import OPENAI_HOSTS, Codex
from ringfence.agents.codex_hooks import patched_files
from ringfence.model.action import (
    Action,
    CommandAction,
    FileAction,
    FileOperation,
    McpAction,
    OpaqueAction,
)
from ringfence.model.shown import Bind
from ringfence.model.situations import RingfenceError, UsageInvalid

CONFIG = "/h/.codex/config.toml"
REQUIREMENTS = "/etc/codex/requirements.toml"
CORP = """
model_provider = "corp"
[model_providers.corp]
base_url = "https://models.corp.example/v1"
env_key = "CORP_KEY"
env_http_headers = { "x-team" = "CORP_TEAM" }
"""


def prepare(
    *words: str,
    files: dict[str, bytes | None] | None = None,
    position: int = 0,
    nested: bool = False,
    **environ: str,
) -> AgentSetup:
    request = AgentRequest(
        argv=words or ("codex",),
        environ=environ,
        home="/h",
        workspace="/w",
        session="s",
        interpreter="/usr/bin/python3",
        nested=nested,
    )
    return Codex(home="/h", position=position).prepare(request, DictDisk(files or {}))


def content(setup: AgentSetup, path: str) -> bytes:
    return next(file.content for file in setup.files if file.path == path)


def requirements(setup: AgentSetup) -> dict[str, Any]:
    return tomllib.loads(content(setup, REQUIREMENTS).decode())


def test_without_settings_it_gets_the_vendors_hosts_its_keys_and_hooks() -> None:
    setup = prepare("codex", "exec", "hello")

    assert setup.argv == (
        "codex",
        "-c",
        'sandbox_mode="danger-full-access"',
        "-c",
        'approval_policy="never"',
        "-c",
        "features.plugins=false",
        "exec",
        "hello",
    )
    assert setup.destinations == OPENAI_HOSTS
    assert (setup.host_ports, setup.hooks) == ((), True)
    assert setup.binds == (Bind(source="/h/.codex/sessions", target="/h/.codex/sessions", writable=True),)
    assert setup.folders == ("/h/.codex/sessions",)
    assert {"OPENAI_API_KEY", "CODEX_API_KEY"} <= set(setup.keep)
    assert content(setup, "/run/ringfence/hook.py") == CLIENT_SOURCE


def test_hooks_are_asked_before_and_after_every_tool() -> None:
    hooks = requirements(prepare())["hooks"]

    assert set(hooks) == {"managed_dir", "PreToolUse", "PostToolUse", "UserPromptSubmit", "SessionStart"}
    (group,) = hooks["PreToolUse"]
    assert group["matcher"] == ".*"
    assert group["hooks"][0]["timeout"] == 630
    assert "/run/ringfence/hook.py PreToolUse 600" in group["hooks"][0]["command"]
    assert group["hooks"][0]["command"].endswith("|| exit 2")


def test_an_own_provider_opens_its_host_and_nothing_else() -> None:
    setup = prepare(files={CONFIG: CORP.encode()})

    assert setup.destinations == ("models.corp.example:443",)
    assert {"CORP_KEY", "CORP_TEAM"} <= set(setup.keep)
    assert setup.notices == (
        "`models.corp.example:443` is reachable, because config.toml (provider `corp`) places the model there",
    )


def test_a_provider_on_loopback_opens_a_port_of_this_machine() -> None:
    setup = prepare(files={CONFIG: CORP.replace("https://models.corp.example", "http://127.0.0.1:9100").encode()})

    assert (setup.destinations, setup.host_ports) == ((), (9100,))


@pytest.mark.parametrize(
    ("words", "environ", "destinations", "ports"),
    [
        (("-c", "model_provider=openai"), {}, OPENAI_HOSTS, ()),
        (("-c", 'model_providers.corp.base_url="https://x.example"'), {}, ("x.example:443",), ()),
        (("--config=model_provider=openai",), {}, OPENAI_HOSTS, ()),
        (("-p", "home"), {}, OPENAI_HOSTS, ()),
        (("--oss",), {}, (), (11434,)),
        (("--oss", "--local-provider", "lmstudio"), {}, (), (1234,)),
        (
            ("-c", "model_provider=openai"),
            {"OPENAI_BASE_URL": "https://y.example:8443/v1"},
            ("y.example:8443", *OPENAI_HOSTS[1:]),
            (),
        ),
        (("--", "-c", "model_provider=openai"), {}, ("models.corp.example:443",), ()),
    ],
    ids=str,
)
def test_the_command_line_and_environment_choose_the_model(
    words: tuple[str, ...], environ: dict[str, str], destinations: tuple[str, ...], ports: tuple[int, ...]
) -> None:
    config = CORP + '[profiles.home]\nmodel_provider = "openai"\n'

    setup = prepare("codex", *words, files={CONFIG: config.encode()}, **environ)

    assert (setup.destinations, setup.host_ports) == (destinations, ports)


@pytest.mark.parametrize(
    "address", ["ftp://x.example", "https://api.openai.com@evil.example/", "nonsense", "http://[::1"]
)
def test_an_address_that_is_not_clear_opens_nothing_and_is_said(address: str) -> None:
    setup = prepare(files={CONFIG: CORP.replace("https://models.corp.example/v1", address).encode()})

    assert (setup.destinations, setup.host_ports) == ((), ())
    assert "opens nothing" in setup.notices[0]


def test_settings_that_are_not_toml_are_said() -> None:
    setup = prepare(files={CONFIG: b"model = "}, OPENAI_API_KEY="k")

    assert setup.destinations == OPENAI_HOSTS
    assert "is not valid TOML" in setup.notices[0]


def test_settings_of_the_workspace_are_not_looked_at() -> None:
    assert prepare(files={"/w/.codex/config.toml": CORP.encode()}) == prepare()


def test_logins_and_transcripts_are_bound_and_settings_are_copies() -> None:
    files: dict[str, bytes | None] = {
        "/h/.codex/auth.json": b"{}",
        "/h/.codex/sessions/x": b"",
        "/h/.codex/skills/mine/SKILL.md": b"",
        "/h/.codex/skills/.system/x": b"",
        "/h/.codex/rules/default.rules": b"",
        "/h/.codex/app-server.sock": b"",
        "/h/.codex/config.toml": b"a = 1\n",
        "/h/.codex/hooks.json": b"{}",
        "/h/.ssh/id_ed25519": b"secret",
    }

    setup = prepare(files=files)

    assert setup.binds == (
        Bind(source="/h/.codex/rules", target="/h/.codex/rules"),
        Bind(source="/h/.codex/skills/mine", target="/h/.codex/skills/mine"),
        Bind(source="/h/.codex/auth.json", target="/h/.codex/auth.json"),
        Bind(source="/h/.codex/sessions", target="/h/.codex/sessions", writable=True),
    )
    copies = {file.path: file.mode for file in setup.files if file.path.startswith("/h/")}
    assert copies == {"/h/.codex/config.toml": 0o600, "/h/.codex/hooks.json": 0o600}


@pytest.mark.parametrize(
    ("files", "environ", "said"),
    [
        ({}, {}, True),
        ({}, {"OPENAI_API_KEY": "k"}, False),
        ({"/h/.codex/auth.json": b"{}"}, {}, False),
        ({CONFIG: CORP.encode()}, {}, False),
    ],
    ids=str,
)
def test_a_missing_login_is_said(files: dict[str, bytes | None], environ: dict[str, str], said: bool) -> None:
    notices = prepare(files=files, **environ).notices

    assert any("codex login" in notice for notice in notices) == said


@pytest.mark.parametrize(
    ("login", "writable"),
    [
        (b'{"tokens": {"refresh_token": "r"}}', True),
        (b'{"OPENAI_API_KEY": "k", "tokens": null}', False),
        (b"[]", False),
        (b"{", False),
    ],
)
def test_a_login_is_writable_only_where_it_is_renewed(login: bytes, writable: bool) -> None:
    binds = prepare(files={"/h/.codex/auth.json": login}).binds

    assert Bind(source="/h/.codex/auth.json", target="/h/.codex/auth.json", writable=writable) in binds


def test_another_settings_folder_is_followed() -> None:
    tokens = b'{"tokens": {"refresh_token": "r"}}'

    setup = prepare(files={"/c/auth.json": tokens, "/c/config.toml": CORP.encode()}, CODEX_HOME="/c")

    assert setup.binds == tuple(
        Bind(source=path, target=path, writable=True) for path in ("/c/auth.json", "/c/sessions")
    )
    assert setup.set == (("CODEX_HOME", "/c"),)
    assert setup.destinations == ("models.corp.example:443",)


def test_its_own_sandbox_is_replaced_by_ours() -> None:
    own = ("-s", "workspace-write", "-c", 'sandbox_mode="workspace-write"', "--sandbox=workspace-write")

    setup = prepare("codex", *own, "-c", "a=1", "exec", "do", "--", "-s", "x")

    assert setup.argv[7:] == ("-c", "a=1", "exec", "do", "--", "-s", "x")


@pytest.mark.parametrize(
    "words",
    [
        ("-s", "read-only"),
        ("--sandbox", "read-only"),
        ("--sandbox=read-only",),
        ("-c", "sandbox_mode=read-only"),
        ("--config", 'sandbox_mode="read-only"'),
    ],
)
def test_a_wish_for_read_only_is_not_dropped_in_silence(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageInvalid) as refused:
        prepare("codex", *words)

    assert "ringfence run --policy read-only" in refused.value.remedy


def test_its_own_sandbox_stays_where_it_can_stand_in_ours() -> None:
    own = ("-s", "read-only", "-c", 'sandbox_mode="workspace-write"')
    managed = b'allowed_sandbox_modes = ["read-only", "workspace-write"]'

    setup = prepare("codex", *own, "exec", "do", files={REQUIREMENTS: managed}, nested=True, OPENAI_API_KEY="k")

    assert setup.argv[-6:] == (*own, "exec", "do")
    assert not any("danger-full-access" in word for word in setup.argv)
    assert requirements(setup)["allowed_sandbox_modes"] == ["read-only", "workspace-write"]


@pytest.mark.parametrize("config", [b"[plugins.mine]\nenabled = true\n", b"[features]\nplugins = true\n"])
def test_plugins_stay_where_the_person_uses_them(config: bytes) -> None:
    assert "features.plugins=false" in prepare().argv
    assert "features.plugins=false" not in prepare(files={CONFIG: config}).argv


def test_the_persons_choice_of_approvals_wins() -> None:
    assert 'approval_policy="never"' not in prepare("codex", "-a", "on-request").argv


def test_behind_node_the_options_follow_the_script() -> None:
    setup = prepare("node", "/opt/codex.js", "exec", "do", position=1)

    assert setup.argv[:3] == ("node", "/opt/codex.js", "-c")
    assert setup.argv[-2:] == ("exec", "do")


def test_managed_requirements_stay_and_ours_are_added() -> None:
    managed = b"""
    allowed_approval_policies = ["on-request"]
    allowed_sandbox_modes = ["read-only", "workspace-write"]
    allow_managed_hooks_only = true
    [hooks]
    managed_dir = "/opt/corp"
    [[hooks.PreToolUse]]
    matcher = "Bash"
    [[hooks.PreToolUse.hooks]]
    type = "command"
    command = "/opt/corp/hook"
    """

    setup = prepare(files={REQUIREMENTS: managed}, OPENAI_API_KEY="k")

    merged = requirements(setup)
    assert merged["allowed_sandbox_modes"] == ["read-only", "workspace-write", "danger-full-access"]
    assert merged["allow_managed_hooks_only"] is True
    assert merged["hooks"]["managed_dir"] == "/opt/corp"
    assert [group["matcher"] for group in merged["hooks"]["PreToolUse"]] == ["Bash", ".*"]
    assert 'approval_policy="never"' not in setup.argv
    assert len(setup.notices) == 2


@pytest.mark.parametrize("managed", [None, b"not toml =", b"\xff", b"hooks = 3"], ids=str)
def test_managed_requirements_that_cannot_be_used_stop_the_start(managed: bytes | None) -> None:
    with pytest.raises(RingfenceError) as stopped:
        prepare(files={REQUIREMENTS: managed})

    assert REQUIREMENTS in stopped.value.message
    assert stopped.value.remedy


def parse(tool: str, arguments: object, event: str = "PreToolUse", **more: object) -> HookCall:
    payload = {"cwd": "/w", "tool_name": tool, "tool_input": arguments, "tool_use_id": "c1", **more}
    return Codex(home="/h").parse_hook(event, json.dumps(payload).encode())


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("Bash", {"command": "ls | wc"}, CommandAction(argv=("bash", "-c", "ls | wc"), shell="ls | wc", cwd="/w")),
        ("shell", {"command": ["git", "push"]}, CommandAction(argv=("git", "push"), cwd="/w")),
        ("view_image", {"path": "../x.png"}, FileAction(operation=FileOperation.READ, path="/x.png")),
        ("mcp__files__read", {"b": 1, "a": "é"}, McpAction(server="files", tool="read", arguments='{"a":"é","b":1}')),
        ("update_plan", {}, OpaqueAction(tool="update_plan", arguments="{}")),
        ("mcp__", {}, OpaqueAction(tool="mcp__", arguments="{}")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_tools_become_actions(tool: str, arguments: object, expected: Action) -> None:
    assert parse(tool, arguments).actions == (expected,)


def test_a_patch_is_one_write_for_each_file() -> None:
    marks = ("Begin Patch", "Update File: a/b.py", "Move to: ../c.py", "Delete File: /etc/d", "End Patch")
    patch = "\n-x\n".join(f"*** {mark}" for mark in marks)

    call = parse("apply_patch", {"command": patch})

    assert call.actions == tuple(
        FileAction(operation=FileOperation.WRITE, path=path) for path in ("/w/a/b.py", "/c.py", "/etc/d")
    )


def test_added_lines_that_look_like_marks_are_content() -> None:
    assert patched_files("*** Add File: a\n+*** Add File: b\n") == ("a",)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("Bash", {}),
        ("Bash", {"command": 5}),
        ("shell", {"command": []}),
        ("apply_patch", {"command": "*** Begin Patch\n*** End Patch"}),
        ("apply_patch", {}),
        ("view_image", {"path": "a\0b"}),
    ],
    ids=str,
)
def test_half_a_tool_call_is_not_judged(tool: str, arguments: object) -> None:
    with pytest.raises(HookUnreadable):
        parse(tool, arguments)


def test_the_end_of_a_call_is_read() -> None:
    call = parse("apply_patch", {"command": "x"}, "PostToolUse", tool_response="Exit code: 1\nno")

    assert call == HookCall(
        event="PostToolUse",
        moment=HookMoment.AFTER_TOOL,
        tool="apply_patch",
        call="c1",
        cwd="/w",
        arguments='{"command":"x"}',
        success=False,
        result="Exit code: 1\nno",
    )


def test_lone_surrogates_reach_the_record_as_text() -> None:
    raw = b'{"cwd": "/w", "tool_name": "Bash", "tool_input": {"command": "echo \\ud800"}, "tool_use_id": "c"}'

    with pytest.raises(HookUnreadable):
        Codex(home="/h").parse_hook("PreToolUse", raw)


def test_an_allowance_is_silence_and_a_denial_has_all_three_forms() -> None:
    codex = Codex(home="/h")

    assert codex.render(parse("Bash", {"command": "ls"}), None) == HookAnswer()
    refused = codex.refuse("PreToolUse", "no")
    assert (json.loads(refused.stdout)["hookSpecificOutput"]["permissionDecision"], refused.stderr) == ("deny", b"no\n")
    assert refused.exit_code == 2
