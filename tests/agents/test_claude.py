"""Claude Code: what is opened for it, how its hooks are read, what the administrator's files become."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.agents.disk import CLIENT_SOURCE, DictDisk

from ringfence.agents.agent import AgentRequest, AgentSetup, HookAnswer, HookCall, HookMoment, HookUnreadable
from ringfence.agents.claude import HOSTS, KEYS, OUR_VARIABLES, Claude
from ringfence.model.action import (
    Action,
    CommandAction,
    ConnectAction,
    FileAction,
    FileOperation,
    McpAction,
    OpaqueAction,
)
from ringfence.model.decision import Decision, Verdict
from ringfence.model.shown import Bind
from ringfence.model.situations import RingfenceError

SETTINGS = "/h/.claude/settings.json"
MANAGED = "/etc/claude-code/managed-settings.json"


def prepare(
    files: dict[str, bytes | None] | None = None,
    *,
    nested: bool = False,
    delegated: bool = False,
    argv: tuple[str, ...] = ("claude", "-p", "hello"),
    **environ: str,
) -> AgentSetup:
    request = AgentRequest(
        argv=argv,
        delegated=delegated,
        environ=environ,
        home="/h",
        workspace="/w",
        session="s",
        interpreter="/usr/bin/python3",
        nested=nested,
    )
    return Claude(home="/h").prepare(request, DictDisk(files or {}))


def content(setup: AgentSetup, path: str) -> bytes:
    return next(file.content for file in setup.files if file.path == path)


def managed(setup: AgentSetup) -> dict[str, Any]:
    value = json.loads(content(setup, MANAGED))
    assert isinstance(value, dict)
    return value


def test_without_settings_it_gets_the_vendors_hosts_its_keys_and_hooks() -> None:
    setup = prepare()

    assert (setup.argv, setup.destinations, setup.host_ports) == (("claude", "-p", "hello"), HOSTS, ())
    assert (setup.keep, setup.set, setup.hooks) == (KEYS, OUR_VARIABLES, True)
    assert setup.binds == (Bind(source="/h/.claude/projects", target="/h/.claude/projects", writable=True),)
    assert setup.folders == ("/h/.claude/projects",)
    assert content(setup, "/run/ringfence/hook.py") == CLIENT_SOURCE


def test_hooks_are_asked_before_and_after_every_tool() -> None:
    settings = managed(prepare())

    assert set(settings["hooks"]) == {
        "PreToolUse", "PostToolUse", "PostToolUseFailure", "UserPromptSubmit", "SessionStart",
    }  # fmt: skip
    (group,) = settings["hooks"]["PreToolUse"]
    assert group["matcher"] == "*"
    assert group["hooks"][0]["timeout"] == 630
    assert "/run/ringfence/hook.py PreToolUse 600" in group["hooks"][0]["command"]
    assert settings["sandbox"]["enabled"] is False


@pytest.mark.parametrize(
    ("files", "environ", "destinations", "ports"),
    [
        ({}, {"ANTHROPIC_BASE_URL": "https://llm.corp.example"}, ("llm.corp.example:443",), ()),
        ({}, {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9100"}, (), (9100,)),
        ({}, {"ANTHROPIC_BASE_URL": "http://[::1]:9100/x"}, (), (9100,)),
        ({}, {"ANTHROPIC_BASE_URL": "http://localhost"}, (), (80,)),
        ({SETTINGS: b'{"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:7"}}'}, {}, (), (7,)),
        ({}, {"ANTHROPIC_BASE_URL": "no address"}, (), ()),
        ({}, {"CLAUDE_CODE_USE_BEDROCK": "1"}, (), ()),
    ],
    ids=str,
)
def test_the_persons_own_address_is_opened_and_said(
    files: dict[str, bytes | None], environ: dict[str, str], destinations: tuple[str, ...], ports: tuple[int, ...]
) -> None:
    setup = prepare(files, **environ)

    assert (setup.destinations, setup.host_ports, len(setup.notices)) == (destinations, ports, 1)


@pytest.mark.parametrize(
    ("files", "environ", "said"),
    [
        ({}, {}, True),
        ({}, {"ANTHROPIC_API_KEY": "k"}, False),
        ({"/h/.claude/.credentials.json": b"{}"}, {}, False),
    ],
    ids=str,
)
def test_a_missing_login_is_said(files: dict[str, bytes | None], environ: dict[str, str], said: bool) -> None:
    notices = prepare(files, **environ).notices

    assert any("has no login yet" in notice for notice in notices) == said


def test_settings_of_the_workspace_are_not_looked_at() -> None:
    planted = b'{"env": {"ANTHROPIC_BASE_URL": "https://evil.example"}}'

    assert prepare({"/w/.claude/settings.json": planted, "/w/.mcp.json": b"{}"}) == prepare()


def test_settings_that_are_not_json_are_said() -> None:
    setup = prepare({SETTINGS: b"{"})

    assert setup.destinations == HOSTS
    assert SETTINGS in setup.notices[0]


def test_logins_and_transcripts_are_bound_and_settings_are_copies() -> None:
    files: dict[str, bytes | None] = {
        "/h/.claude.json": b'{"mcpServers": {}}',
        "/h/.claude/settings.json": b"{}",
        "/h/.claude/.credentials.json": b"{}",
        "/h/.claude/projects/p/x.jsonl": b"",
        "/h/.claude/skills/mine/SKILL.md": b"",
        "/h/.claude/shell-snapshots/x.sh": b"",
        "/h/.ssh/id_ed25519": b"secret",
    }

    setup = prepare(files)

    assert setup.binds == (
        Bind(source="/h/.claude/skills", target="/h/.claude/skills"),
        Bind(source="/h/.claude/.credentials.json", target="/h/.claude/.credentials.json", writable=True),
        Bind(source="/h/.claude/projects", target="/h/.claude/projects", writable=True),
    )
    copies = {file.path: file.mode for file in setup.files if file.path.startswith("/h/")}
    assert copies == {"/h/.claude.json": 0o600, "/h/.claude/settings.json": 0o600}


def test_another_settings_folder_is_followed() -> None:
    setup = prepare({"/c/.claude.json": b"{}", "/c/projects/x": b""}, CLAUDE_CONFIG_DIR="/c")

    assert setup.binds == (Bind(source="/c/projects", target="/c/projects", writable=True),)
    assert setup.set[-1] == ("CLAUDE_CONFIG_DIR", "/c")
    assert setup.files[-1].path == "/c/.claude.json"


def test_managed_settings_stay_and_ours_are_added() -> None:
    hook = {"matcher": "Bash", "hooks": [{"type": "command", "command": "/opt/corp/hook"}]}
    theirs = {
        "allowManagedHooksOnly": True,
        "permissions": {"deny": ["Bash(rm:*)"]},
        "sandbox": {"enabled": True, "failIfUnavailable": True, "network": {"allowedDomains": []}},
        "hooks": {"PreToolUse": [hook], "Stop": [hook]},
    }
    fragment = "/etc/claude-code/managed-settings.d/10-more.json"
    servers = "/etc/claude-code/managed-mcp.json"

    setup = prepare({MANAGED: json.dumps(theirs).encode(), fragment: b"{}", servers: b'{"mcpServers": {}}'})

    merged = managed(setup)
    assert merged["permissions"] == theirs["permissions"]
    assert merged["allowManagedHooksOnly"] is True
    assert [group["matcher"] for group in merged["hooks"]["PreToolUse"]] == ["Bash", "*"]
    assert merged["hooks"]["Stop"] == [hook]
    assert merged["sandbox"] == {"enabled": False, "failIfUnavailable": False, "network": {"allowedDomains": []}}
    assert {fragment, servers} <= {file.path for file in setup.files}
    assert setup.files[5].path == "/etc/claude-code/managed-settings.d/zz-ringfence.json"
    assert "stay in force" in setup.notices[0]


@pytest.mark.parametrize("content", [None, b"{", b"[]"], ids=str)
def test_managed_settings_that_cannot_be_used_stop_the_start(content: bytes | None) -> None:
    with pytest.raises(RingfenceError) as stopped:
        prepare({MANAGED: content})

    assert MANAGED in stopped.value.message
    assert stopped.value.remedy


def parse(tool: str, arguments: object, event: str = "PreToolUse", **more: object) -> HookCall:
    payload = {"cwd": "/w", "tool_name": tool, "tool_input": arguments, "tool_use_id": "c1", **more}
    return Claude(home="/h").parse_hook(event, json.dumps(payload).encode())


def read(path: str) -> FileAction:
    return FileAction(operation=FileOperation.READ, path=path)


def fetch(host: str, path: str) -> ConnectAction:
    return ConnectAction(host=host, port=443, method="GET", path=path)


def write(path: str) -> FileAction:
    return FileAction(operation=FileOperation.WRITE, path=path)


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("Bash", {"command": "ls"}, CommandAction(argv=("bash", "-c", "ls"), shell="ls", cwd="/w")),
        ("Monitor", {"command": "ls"}, CommandAction(argv=("bash", "-c", "ls"), shell="ls", cwd="/w")),
        ("Read", {"file_path": "~/.ssh/id_rsa"}, read("/h/.ssh/id_rsa")),
        ("Read", {"file_path": "/w/../etc//shadow"}, read("/etc/shadow")),
        ("Read", {"file_path": "//etc/shadow"}, read("/etc/shadow")),
        ("Write", {"file_path": "a", "content": ""}, write("/w/a")),
        ("Edit", {"file_path": "/x"}, write("/x")),
        ("NotebookEdit", {"notebook_path": "/x"}, write("/x")),
        ("Grep", {"pattern": "key", "path": "/h"}, read("/h")),
        ("Glob", {"pattern": "**"}, read("/w")),
        ("WebFetch", {"url": "https://Example.COM/a?b=c"}, fetch("example.com", "/a")),
        ("mcp__git__push", {"command": "x"}, McpAction(server="git", tool="push", arguments='{"command":"x"}')),
        ("Skill", {"skill": "s"}, OpaqueAction(tool="Skill", arguments='{"skill":"s"}')),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_tools_become_actions(tool: str, arguments: object, expected: Action) -> None:
    assert parse(tool, arguments).actions == (expected,)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("Bash", {}),
        ("Bash", None),
        ("Read", {"path": "/x"}),
        ("Write", {"file_path": ["/x"]}),
        ("WebFetch", {"url": "file:///etc/passwd"}),
        ("WebFetch", {"url": "https://a.example@b.example/"}),
    ],
    ids=str,
)
def test_half_a_tool_call_is_not_judged(tool: str, arguments: object) -> None:
    with pytest.raises(HookUnreadable):
        parse(tool, arguments)


def test_a_failure_is_read_from_either_event() -> None:
    first = parse("Bash", {"command": "false"}, "PostToolUseFailure", error="Exit code 1")
    second = parse("Bash", {"command": "false"}, "PostToolUse", tool_response="Error: Exit code 1")
    fine = parse("Bash", {"command": "true"}, "PostToolUse", tool_response={"stdout": "x"})

    assert [(call.success, call.result) for call in (first, second, fine)] == [
        (False, "Exit code 1"),
        (False, "Error: Exit code 1"),
        (True, '{"stdout":"x"}'),
    ]


def allowed(call: HookCall) -> HookAnswer:
    decision = Decision(verdict=Verdict.ALLOW, action=call.actions[0], reasons=(), policy="p")
    return Claude(home="/h").render(call, decision)


def test_an_allowance_answers_its_own_question_but_never_the_persons() -> None:
    said = allowed(parse("Bash", {"command": "ls"}))

    assert json.loads(said.stdout)["hookSpecificOutput"]["permissionDecision"] == "allow"
    assert allowed(parse("ExitPlanMode", {"plan": "x"})) == HookAnswer()
    assert allowed(parse("AskUserQuestion", {})) == HookAnswer()


def test_its_own_sandbox_stays_where_it_can_stand_in_ours() -> None:
    theirs = {"sandbox": {"enabled": True, "network": {"allowedDomains": []}}}

    merged = managed(prepare({MANAGED: json.dumps(theirs).encode()}, nested=True))

    assert merged["sandbox"] == theirs["sandbox"]
    assert "sandbox" not in managed(prepare(nested=True))


def test_where_its_own_prompt_asks_its_hooks_report_and_no_other_hook_can_answer() -> None:
    files: dict[str, bytes | None] = {
        "/etc/claude-code/managed-settings.d/corp.json": b'{"allowManagedHooksOnly": false}'
    }
    setup = prepare(files, delegated=True, argv=("claude",))
    settings = managed(setup)

    assert {"PermissionRequest", "PostToolBatch", "Stop", "StopFailure", "SessionEnd"} < set(settings["hooks"])
    assert settings["allowManagedHooksOnly"] is True
    last = json.loads(content(setup, "/etc/claude-code/managed-settings.d/zz-ringfence.json"))
    assert last == {"sandbox": {"enabled": False}, "allowManagedHooksOnly": True}


@pytest.mark.parametrize(
    ("argv", "silent"),
    [
        (("claude",), ""),
        (("claude", "fix the bug"), ""),
        (("claude", "--model", "opus", "--permission-mode", "acceptEdits"), ""),
        (("claude", "-p", "hello"), "-p"),
        (("claude", "-cp", "hello"), "-cp"),
        (("claude", "--print"), "--print"),
        (("claude", "--dangerously-skip-permissions"), "--dangerously-skip-permissions"),
        (("claude", "--permission-prompt-tool=mcp__x__y"), "--permission-prompt-tool"),
        (("claude", "--permission-prompts", "none"), "--permission-prompts"),
    ],
)
def test_a_start_that_asks_nobody_is_told_from_one_that_does(argv: tuple[str, ...], silent: str) -> None:
    said = prepare(argv=argv, delegated=True).own_prompt

    assert said == (silent and f"Claude Code asks nobody when it is started with `{silent}`")


@pytest.mark.parametrize(
    ("tool", "more", "said"),
    [
        ("Bash", {"permission_mode": "default"}, ""),
        ("Bash", {"permission_mode": "auto"}, ""),
        ("Bash", {"permission_mode": "plan"}, ""),
        ("Bash", {"permission_mode": "bypassPermissions"}, "Claude Code asks nobody in the permission mode"),
        ("Bash", {"permission_mode": "dontAsk"}, "Claude Code asks nobody in the permission mode"),
        ("Bash", {"permission_mode": "of a later version"}, "Claude Code asks nobody in the permission mode"),
        ("Bash", {}, "Claude Code asks nobody in the permission mode"),
        ("Bash", {"permission_mode": "default", "agent_id": "a1"}, "it is a call of a subagent"),
        ("Write", {"permission_mode": "default", "file_path": "/w/a"}, "shows our words for commands only"),
    ],
)
def test_a_call_whose_prompt_nobody_would_read_is_told_from_one_that_somebody_does(
    tool: str, more: dict[str, Any], said: str
) -> None:
    arguments = {"command": "make"} if tool == "Bash" else {"file_path": "/w/a"}

    found = parse(tool, arguments, **{key: value for key, value in more.items() if key != "file_path"}).own_prompt

    assert said in found
    assert bool(said) == bool(found)


def test_what_is_left_to_its_own_prompt_is_asked_there_in_our_words() -> None:
    call = parse("Bash", {"command": "make"})
    left = Decision(verdict=Verdict.ASK, action=call.actions[0], reasons=(), policy="p", resolved_by="delegated")

    answer = Claude(home="/h").render(call, msgspec.structs.replace(left, message="the agent wants to run make"))
    nobody = Claude(home="/h").render(call, msgspec.structs.replace(left, resolved_by="policy"))

    assert json.loads(answer.stdout)["hookSpecificOutput"] == {
        "hookEventName": "PreToolUse",
        "permissionDecision": "ask",
        "permissionDecisionReason": "ringfence: the agent wants to run make",
    }
    assert (answer.exit_code, answer.stderr) == (0, b"")
    assert (nobody.exit_code, b'"deny"' in nobody.stdout) == (2, True)


def test_the_calls_of_a_batch_and_the_end_of_a_turn_are_read() -> None:
    batch = json.dumps({"cwd": "/w", "tool_calls": [{"tool_use_id": "t1"}, {"tool_use_id": 7}, "x"]}).encode()
    claude = Claude(home="/h")

    assert claude.parse_hook("PostToolBatch", batch) == HookCall(
        event="PostToolBatch", moment=HookMoment.BATCH, cwd="/w", calls=("t1",)
    )
    assert claude.parse_hook("Stop", b'{"cwd": "/w"}').moment is HookMoment.TURN_END
    assert claude.parse_hook("SessionEnd", b"{}").moment is HookMoment.TURN_END
