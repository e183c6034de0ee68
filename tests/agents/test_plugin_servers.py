"""Servers of tools that plugins and extensions start, each behind the stand-in."""

from __future__ import annotations

import json

from tests.agents.disk import DictDisk

from ringfence.agents.agent import AgentRequest, AgentSetup
from ringfence.agents.claude import Claude
from ringfence.agents.codex import Codex
from ringfence.agents.known_by_name import ROWS, KnownByName

BEHIND = ["-I", "-S", "/run/ringfence/mcp.py", "--"]
NOTES = {"command": "${CLAUDE_PLUGIN_ROOT}/notes", "args": ["-v"]}
CACHE = "/h/.claude/plugins/cache/market"
UNSEEN = "servers of tools that `{}` starts are not seen by Ringfence; its sandbox holds them"


def behind(name: str, server: dict[str, object] = NOTES) -> dict[str, object]:
    arguments = server.get("args")
    assert isinstance(arguments, list)
    command = [*BEHIND, server["command"], *arguments]
    return {**server, "command": "/usr/bin/python3", "args": command, "env": {"RINGFENCE_MCP_NAME": name}}


def prepared(name: str, files: dict[str, object], *argv: str, disk: type[DictDisk] = DictDisk) -> AgentSetup:
    there = {path: value if isinstance(value, bytes) else json.dumps(value).encode() for path, value in files.items()}
    request = AgentRequest(
        argv=(name, *argv), environ={}, home="/h", workspace="/w", session="s", interpreter="/usr/bin/python3"
    )
    known = {row.name: KnownByName(row, "/h") for row in ROWS}
    profile = {"claude": Claude(home="/h"), "codex": Codex(home="/h"), **known}[name]
    return profile.prepare(request, disk(there))


def over(setup: AgentSetup) -> dict[str, object]:
    """What lies over each file; none of them can be written."""
    assert all(file.mode == 0o444 for file in setup.overlays)
    return {file.path: json.loads(file.content) for file in setup.overlays}


def told(setup: AgentSetup) -> list[str]:
    return [notice for notice in setup.notices if "servers of tools" in notice]


def installed(*paths: str) -> dict[str, object]:
    listed = {f"p{number}@market": [{"scope": "user", "installPath": path}] for number, path in enumerate(paths)}
    return {"/h/.claude/plugins/installed_plugins.json": {"version": 2, "plugins": listed}}


def test_servers_of_installed_plugins_of_claude_are_wrapped_wherever_the_plugin_names_them() -> None:
    files = {
        **installed(f"{CACHE}/a/1", f"{CACHE}/b/1", f"{CACHE}/c/1"),
        f"{CACHE}/a/1/.claude-plugin/plugin.json": {"name": "a.b", "version": "1"},
        f"{CACHE}/a/1/.mcp.json": {"mcpServers": {"notes": NOTES, "far": {"type": "http", "url": "https://x.test"}}},
        f"{CACHE}/b/1/.claude-plugin/plugin.json": {"name": "b", "mcpServers": {"notes": NOTES}},
        f"{CACHE}/c/1/.claude-plugin/plugin.json": {"name": "c", "mcpServers": "./servers.json"},
        f"{CACHE}/c/1/servers.json": {"mcpServers": {"notes": NOTES}},
        f"{CACHE}/c/1/.mcp.json": {"other": NOTES},
    }

    setup = prepared("claude", files)

    assert over(setup) == {
        f"{CACHE}/a/1/.mcp.json": {
            "mcpServers": {"notes": behind("plugin_a_b_notes"), "far": {"type": "http", "url": "https://x.test"}}
        },
        f"{CACHE}/b/1/.claude-plugin/plugin.json": {"name": "b", "mcpServers": {"notes": behind("plugin_b_notes")}},
        f"{CACHE}/c/1/.mcp.json": {"other": behind("plugin_c_other")},
        f"{CACHE}/c/1/servers.json": {"mcpServers": {"notes": behind("plugin_c_notes")}},
    }
    assert told(setup) == []


def test_an_older_list_of_plugins_is_read_too() -> None:
    listed = {"version": 1, "plugins": {"a@market": {"installPath": f"{CACHE}/a/1/"}}}
    files = {
        "/h/.claude/plugins/installed_plugins.json": listed,
        f"{CACHE}/a/1/.mcp.json": {"mcpServers": {"notes": {"command": "notes", "args": []}}},
    }

    assert list(over(prepared("claude", files))) == [f"{CACHE}/a/1/.mcp.json"]


def test_what_cannot_be_put_behind_the_stand_in_is_told_at_the_start() -> None:
    class Linked(DictDisk):
        def is_link(self, path: str) -> bool:
            return path == f"{CACHE}/a"

    manifest = {"name": "b", "mcpServers": ["./tools.mcpb", "../../up.json", 7]}
    files = {
        **installed(f"{CACHE}/a/1", f"{CACHE}/b/1", "/opt/plugin"),
        f"{CACHE}/a/1/.mcp.json": {"mcpServers": {"notes": NOTES}},
        f"{CACHE}/b/1/.claude-plugin/plugin.json": manifest,
        "/opt/plugin/.mcp.json": {"mcpServers": {"notes": NOTES}},
    }

    setup = prepared("claude", files, "--plugin-dir", "./mine", "-p", "x", "--", "--plugin-dir=y", disk=Linked)

    assert over(setup) == {}
    assert told(setup) == [
        *(UNSEEN.format(path) for path in (f"{CACHE}/a/1/.mcp.json", "./tools.mcpb", "../../up.json")),
        UNSEEN.format("/opt/plugin/.mcp.json"),
        "servers of tools that the plugin in `./mine` starts are not seen by Ringfence; its sandbox holds them",
    ]


def test_a_plugin_that_starts_nothing_or_cannot_be_read_is_left_alone() -> None:
    files = {
        **installed(f"{CACHE}/a/1", f"{CACHE}/b/1", f"{CACHE}/gone"),
        f"{CACHE}/a/1/.mcp.json": b"no JSON",
        f"{CACHE}/b/1/.claude-plugin/plugin.json": {"name": 5, "mcpServers": {"far": {"url": "https://x.test"}}},
    }

    setup = prepared("claude", files)

    assert (over(setup), told(setup)) == ({}, [])


def test_servers_of_plugins_of_codex_are_wrapped_by_their_own_names() -> None:
    root = "/h/.codex/plugins/cache/market/a/1"
    files = {
        "/h/.codex/auth.json": {},
        f"{root}/.codex-plugin/plugin.json": {"name": "a", "mcpServers": "./.mcp.json"},
        f"{root}/.mcp.json": {"mcpServers": {"notes": NOTES}},
    }

    setup = prepared("codex", files)

    assert over(setup) == {f"{root}/.mcp.json": {"mcpServers": {"notes": behind("notes")}}}


def test_settings_of_gemini_with_comments_are_told_because_it_can_read_them() -> None:
    setup = prepared("gemini", {"/h/.gemini/settings.json": b'{"mcpServers": {} // mine\n}'})

    assert (over(setup), told(setup)) == ({}, [UNSEEN.format("/h/.gemini/settings.json")])


def test_servers_of_gemini_are_wrapped_in_its_settings_and_extensions_and_those_of_a_project_are_told() -> None:
    manifest = "/h/.gemini/extensions/x/gemini-extension.json"
    files: dict[str, object] = {
        "/h/.gemini/settings.json": {"mcpServers": {"notes": NOTES}},
        manifest: {"name": "x", "mcpServers": {"more": NOTES}},
        "/w/.gemini/settings.json": {"mcpServers": {"notes": NOTES}},
    }

    setup = prepared("gemini", files)

    assert over(setup) == {
        "/h/.gemini/settings.json": {"mcpServers": {"notes": behind("notes")}},
        manifest: {"name": "x", "mcpServers": {"more": behind("more")}},
    }
    assert "/run/ringfence/mcp.py" in [file.path for file in setup.files]
    assert told(setup) == [UNSEEN.format("/w/.gemini/settings.json")]


def test_agents_whose_servers_cannot_be_wrapped_say_so() -> None:
    own = {"/h/.config/opencode/opencode.json": {"mcp": {"notes": {"type": "local", "command": ["notes"]}}}}

    assert told(prepared("opencode", {**own, "/w/opencode.json": {"mcp": {}}, "/w/.opencode/opencode.json": {}})) == [
        UNSEEN.format("/w/opencode.json"),
        UNSEEN.format("/h/.config/opencode/opencode.json"),
    ]
    assert told(prepared("opencode", {})) == []
