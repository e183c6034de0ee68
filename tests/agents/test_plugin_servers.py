"""Servers of tools that plugins start, each behind the stand-in or told of."""

from __future__ import annotations

import json

from tests.agents.disk import DictDisk

from ringfence.agents.agent import AgentRequest, AgentSetup
from ringfence.agents.claude import Claude
from ringfence.agents.codex import Codex

BEHIND = ["-I", "-S", "/run/ringfence/mcp.py", "--"]
NOTES = {"command": "${CLAUDE_PLUGIN_ROOT}/notes", "args": ["-v"]}
CACHE = "/h/.claude/plugins/cache/market"
FLAT = "this sandbox has no mounts"
NO_LIST = "it is no file of the plugin that lists servers"
NAMED = "it is named on the command line"


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
    profile = {"claude": Claude(home="/h"), "codex": Codex(home="/h")}[name]
    return profile.prepare(request, disk(there))


def over(setup: AgentSetup) -> dict[str, object]:
    """What lies over each file; none of them can be written."""
    assert all(file.mode == 0o444 for file in setup.overlays)
    return {file.path: json.loads(file.content) for file in setup.overlays}


def told(setup: AgentSetup) -> list[tuple[str, str, tuple[str, ...]]]:
    """What starts unseen where the sandbox has mounts."""
    return [(one.where, one.why, one.names) for one in setup.unseen if not one.behind_mounts]


def flat(setup: AgentSetup) -> list[tuple[str, str, tuple[str, ...]]]:
    """What starts unseen only where it has none."""
    return [(one.where, one.why, one.names) for one in setup.unseen if one.behind_mounts]


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
    assert flat(setup) == [
        (f"{CACHE}/a/1/.mcp.json", FLAT, ("plugin_a_b_notes",)),
        (f"{CACHE}/b/1/.claude-plugin/plugin.json", FLAT, ("plugin_b_notes",)),
        (f"{CACHE}/c/1/.mcp.json", FLAT, ("plugin_c_other",)),
        (f"{CACHE}/c/1/servers.json", FLAT, ("plugin_c_notes",)),
    ]


def test_plugins_of_markets_on_this_machine_are_found_where_claude_loads_them_from() -> None:
    markets = "/h/.claude/plugins/marketplaces"
    near, far = f"{markets}/near", "/src/far"
    files: dict[str, object] = {
        **installed(f"{CACHE}/a/1"),
        "/h/.claude/plugins/known_marketplaces.json": {
            "market": {"source": {"source": "directory", "path": near}, "installLocation": near},
            "far": {"installLocation": far},
        },
        f"{near}/.claude-plugin/marketplace.json": {
            "name": "market",
            "plugins": [{"name": "p0", "source": "./a"}, {"name": "other", "source": "./other"}],
        },
        f"{near}/a/.claude-plugin/plugin.json": {"name": "a"},
        f"{near}/a/.mcp.json": {"mcpServers": {"notes": NOTES}},
        f"{near}/other/.mcp.json": {"mcpServers": {"notes": NOTES}},
        "/w/.claude/settings.json": {"enabledPlugins": {"b@far": True}},
        f"{far}/.claude-plugin/marketplace.json": {
            "metadata": {"pluginRoot": "./plugins"},
            "plugins": [{"name": "b", "source": "b", "mcpServers": {"listed": NOTES}}],
        },
        f"{far}/plugins/b/.mcp.json": {"mcpServers": {"notes": NOTES}},
    }

    setup = prepared("claude", files)

    assert over(setup) == {f"{near}/a/.mcp.json": {"mcpServers": {"notes": behind("plugin_a_notes")}}}
    assert told(setup) == [
        (f"{far}/plugins/b/.mcp.json", "it lies outside of the agent's own folder", ("plugin_b_notes",)),
        (f"{far}/.claude-plugin/marketplace.json", "the list of a market says them", ("listed",)),
    ]


def test_what_is_shown_of_plugins_leaves_room_for_a_folder_of_their_data() -> None:
    plugins = "/h/.claude/plugins"

    setup = prepared("claude", {f"{plugins}/cache/a": {}, f"{plugins}/data/old/x": {}, f"{plugins}/config.json": {}})

    shown = [(bind.source, bind.writable) for bind in setup.binds if bind.source.startswith(plugins)]
    assert shown == [(f"{plugins}/{name}", False) for name in ("cache", "config.json", "data/old")]


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
        (f"{CACHE}/a/1/.mcp.json", "it lies behind a link", ("plugin_1_notes",)),
        (f"{CACHE}/b/1/tools.mcpb", NO_LIST, ()),
        (f"{CACHE}/up.json", NO_LIST, ()),
        ("/opt/plugin/.mcp.json", "it lies outside of the agent's own folder", ("plugin_plugin_notes",)),
        ("./mine", "it is no folder that can be looked into", ()),
    ]


def test_plugins_of_the_command_line_are_told_with_the_names_of_their_servers() -> None:
    files = {
        "/w/one/.claude-plugin/plugin.json": {"name": "one"},
        "/w/one/.mcp.json": {"notes": NOTES, "ours": {"command": "ringfence", "args": ["mcp", "--", "notes"]}},
        "/many/two/.claude-plugin/plugin.json": {"name": "two", "mcpServers": {"more": NOTES}},
        "/w/quiet/.claude-plugin/plugin.json": {"name": "quiet"},
    }
    words = (
        "--plugin-dir",
        "one",
        "--plugin-dir=/many",
        "--plugin-dir",
        "quiet",
        "--plugin-url",
        "https://x.test/p.zip",
    )

    setup = prepared("claude", files, *words, "--agents", '{"a": {"mcpServers": {}}}')

    assert (over(setup), flat(setup)) == ({}, [])
    assert told(setup) == [
        ("/w/one/.mcp.json", NAMED, ("plugin_one_notes",)),
        ("/many/two/.claude-plugin/plugin.json", NAMED, ("plugin_two_more",)),
        ("https://x.test/p.zip", "it is fetched at the start", ()),
        ("--agents", NAMED, ()),
    ]


def test_folders_of_skills_that_are_plugins_are_wrapped_and_those_of_a_project_told() -> None:
    files = {
        "/h/.claude/skills/mine/.claude-plugin/plugin.json": {"name": "mine", "mcpServers": {"notes": NOTES}},
        "/h/.claude/skills/plain/.mcp.json": {"mcpServers": {"notes": NOTES}},
        "/w/.claude/skills/theirs/.claude-plugin/plugin.json": {"name": "theirs", "mcpServers": {"notes": NOTES}},
    }

    setup = prepared("claude", files)

    manifest = "/h/.claude/skills/mine/.claude-plugin/plugin.json"
    assert over(setup) == {manifest: {"name": "mine", "mcpServers": {"notes": behind("plugin_mine_notes")}}}
    theirs = "/w/.claude/skills/theirs/.claude-plugin/plugin.json"
    assert told(setup) == [(theirs, "the workspace is not ours to change", ("plugin_theirs_notes",))]


def test_agents_that_bring_servers_are_told() -> None:
    head = b"---\nname: a\nmcpServers:\n  - notes:\n      command: notes\n---\nHelp."
    files = {
        "/h/.claude/agents/a.md": head,
        "/w/.claude/agents/b.md": head,
        "/w/.claude/agents/c.md": b"---\nname: c\nmcpServers:\n  - known\n---\nRun a command.",
        "/w/.claude/agents/d.md": b"---\nname: d\n---\nmcpServers: command",
    }

    why = "an agent's own servers stand in its text"
    assert told(prepared("claude", files)) == [
        ("/w/.claude/agents/b.md", why, ()),
        ("/h/.claude/agents/a.md", why, ()),
    ]


def test_what_is_not_looked_at_any_more_is_told() -> None:
    skills = {f"/h/.claude/skills/{number}/SKILL.md": b"x" for number in range(501)}
    plugins = {f"/h/.codex/plugins/cache/{number}/x/y/z/a": b"x" for number in range(501)}
    why = "there are more than the 500 folders that are looked at"

    assert told(prepared("claude", skills)) == [("/h/.claude/skills", why, ())]
    assert told(prepared("codex", plugins)) == [("/h/.codex/plugins", why, ())]


def test_a_file_that_is_there_and_cannot_be_read_is_told() -> None:
    files = installed(f"{CACHE}/a/1")
    there = {path: json.dumps(value).encode() for path, value in files.items()}
    request = AgentRequest(
        argv=("claude",), environ={}, home="/h", workspace="/w", session="s", interpreter="/usr/bin/python3"
    )

    setup = Claude(home="/h").prepare(request, DictDisk({**there, f"{CACHE}/a/1/.mcp.json": None}))

    assert told(setup) == [(f"{CACHE}/a/1/.mcp.json", "it cannot be read", ())]


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
    assert (told(setup), flat(setup)) == ([], [(f"{root}/.mcp.json", FLAT, ("notes",))])
