"""The servers of tools of Copilot CLI: behind the stand-in by private copies and its command line, or told of."""

from __future__ import annotations

import json
from functools import partial

import pytest
from tests.agents.disk import DictDisk
from tests.agents.known import set_up

from ringfence.agents.agent import AgentSetup
from ringfence.agents.mcp_wrapping import SCRIPT

FOLDER = "/h/.copilot"
NOTES = {"type": "local", "command": "notes", "args": ["-v"], "env": {"KEY": "$KEY"}, "tools": ["*"]}
TRUSTED = {f"{FOLDER}/config.json": {"trustedFolders": ["/w"]}}
PENDING = "copilot does not trust this folder yet, and starts them when somebody says that it may"


class Linked(DictDisk):
    def is_link(self, path: str) -> bool:
        return path in ("/w/.mcp.json", f"{FOLDER}/installed-plugins/market/linked")


def behind(name: str) -> dict[str, object]:
    wrapped = ["-c", SCRIPT, "/usr/bin/python3", "notes", "-v"]
    return {**NOTES, "command": "/bin/sh", "args": wrapped, "env": {"KEY": "$KEY", "RINGFENCE_MCP_NAME": name}}


prepared = partial(set_up, "copilot")


def placed(setup: AgentSetup) -> dict[str, object]:
    return {file.path: json.loads(file.content) for file in setup.files if file.path.startswith("/h/")}


def told(setup: AgentSetup) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(one.where, one.why, one.names) for one in setup.unseen]


def test_servers_of_the_person_and_of_plugins_are_wrapped_in_private_copies_beside_what_is_shown() -> None:
    root = f"{FOLDER}/installed-plugins/market/a"
    files: dict[str, object] = {
        f"{FOLDER}/mcp-config.json": b'{"mcpServers": {"notes": ' + json.dumps(NOTES).encode() + b",}, // mine\n}",
        f"{FOLDER}/settings.json": {"a": 1},
        f"{FOLDER}/session-state/x": b"",
        f"{FOLDER}/session-store.db-wal": b"",
        f"{root}/.mcp.json": {"flat": NOTES},
        f"{root}/plugin.json": {"name": "a", "mcpServers": "servers.json"},
        f"{root}/servers.json": {"mcpServers": {"named": NOTES, "far": {"type": "http", "url": "https://x.test"}}},
        f"{root}/skills/x": b"",
    }

    setup = prepared(files)

    assert placed(setup) == {
        f"{FOLDER}/mcp-config.json": {"mcpServers": {"notes": behind("notes")}},
        f"{root}/.mcp.json": {"flat": behind("flat")},
        f"{root}/servers.json": {
            "mcpServers": {"named": behind("named"), "far": {"type": "http", "url": "https://x.test"}}
        },
    }
    assert [bind.source for bind in setup.binds] == [
        f"{root}/plugin.json",
        f"{root}/skills",
        f"{FOLDER}/settings.json",
    ]
    assert (told(setup), setup.argv) == ([], ("copilot",))


@pytest.mark.parametrize(
    ("words", "environ"),
    [((), {}), (("--trust-folder", "-p", "x"), {}), ((), {"COPILOT_ALLOW_ALL": "true"})],
    ids=["in its settings", "on its command line", "in a variable"],
)
def test_servers_of_a_project_that_copilot_trusts_are_said_on_its_command_line(
    words: tuple[str, ...], environ: dict[str, str]
) -> None:
    files: dict[str, object] = {"/w/.mcp.json": {"mcpServers": {"notes": NOTES, "both": {"command": "outer"}}}}
    files |= {"/w/sub/.github/mcp.json": {"mcpServers": {"both": NOTES}}, "/w/.github/mcp.json": b"not read"}
    files |= {} if words or environ else TRUSTED

    setup = prepared(files, *words, cwd="/w/sub", **environ)

    place = "/h/.ringfence/mcp-project.json"
    assert setup.argv == ("copilot", "--additional-mcp-config", "@~/.ringfence/mcp-project.json", *words)
    assert placed(setup)[place] == {"mcpServers": {"notes": behind("notes"), "both": behind("both")}}
    assert told(setup) == []


def test_servers_of_a_project_that_is_not_trusted_are_told_where_somebody_may_trust_it_yet() -> None:
    files: dict[str, object] = {
        "/w/.mcp.json": {"mcpServers": {"notes": NOTES}},
        f"{FOLDER}/config.json": {"trustedFolders": ["/workshop", "/w/other"]},
    }

    asked, alone = prepared(files), prepared(files, "-p", "x")

    assert (asked.argv, told(asked)) == (("copilot",), [("/w/.mcp.json", PENDING, ("notes",))])
    assert (alone.argv, told(alone)) == (("copilot", "-p", "x"), [])


def test_servers_of_the_command_line_are_wrapped_and_those_of_a_file_do_not_come_on_record() -> None:
    text = json.dumps({"mcpServers": {"said": NOTES}})
    files: dict[str, object] = {"/w/sub/my.json": {"mcpServers": {"filed": NOTES}}, **TRUSTED}
    files |= {"/h/own.json": {"mcpServers": {"own": NOTES}}, "/w/.mcp.json": {"mcpServers": {"notes": NOTES}}}
    option = "--additional-mcp-config"

    setup = prepared(files, option, "@my.json", f"{option}={text}", f"{option}=@~/own.json", cwd="/w/sub")

    ours = json.loads(setup.argv[5].removeprefix(f"{option}="))
    assert setup.argv[:5] == (
        *("copilot", option, "@~/.ringfence/mcp-project.json"),
        *(option, "@~/.ringfence/mcp-config-0.json"),
    )
    assert (ours, setup.argv[6]) == (
        {"mcpServers": {"said": behind("said")}},
        f"{option}=@~/.ringfence/mcp-config-1.json",
    )
    assert placed(setup)["/h/.ringfence/mcp-config-0.json"] == {"mcpServers": {"filed": behind("filed")}}
    assert placed(setup)["/h/.ringfence/mcp-config-1.json"] == {"mcpServers": {"own": behind("own")}}


def test_a_folder_that_its_variable_names_is_shown_beside_the_private_copies() -> None:
    files: dict[str, object] = {
        "/x/mcp-config.json": {"mcpServers": {"notes": NOTES}},
        "/x/agents/a": b"",
        "/x/logs/a": b"",
    }

    setup = prepared(files, COPILOT_HOME="/x")

    assert [file.path for file in setup.files if file.path.startswith("/x/")] == ["/x/mcp-config.json"]
    assert [bind.source for bind in setup.binds] == ["/x/agents"]
    assert "COPILOT_HOME" in setup.keep


def test_a_command_of_its_own_gets_no_options() -> None:
    files: dict[str, object] = {"/w/.mcp.json": {"mcpServers": {"notes": NOTES}}, **TRUSTED}

    assert prepared(files, "mcp", "list").argv == ("copilot", "mcp", "list")


def test_what_cannot_be_wrapped_is_told_with_the_reason() -> None:
    files: dict[str, object] = {
        **TRUSTED,
        f"{FOLDER}/mcp-config.json": b'{"mcpServers": ',
        f"{FOLDER}/installed-plugins/market/linked/.mcp.json": {"mcpServers": {"more": NOTES}},
        f"{FOLDER}/agents/a.md": b"---\nname: a\nmcp-servers:\n  x:\n    command: x\n---\n",
        "/w/.mcp.json": {"mcpServers": {"notes": NOTES}},
        "/w/.github/agents/b.agent.md": b"---\nmcp-servers: {x: {command: y}}\n---\n",
        "/p/.mcp.json": {"mcpServers": {"named": NOTES}},
    }

    setup = prepared(files, "--plugin-dir=/p", "--additional-mcp-config", "{", disk=Linked)

    assert [(where, names) for where, _, names in told(setup)] == [
        (f"{FOLDER}/mcp-config.json", ()),
        (f"{FOLDER}/installed-plugins/market/linked/.mcp.json", ("more",)),
        (f"{FOLDER}/agents/a.md", ()),
        ("/p/.mcp.json", ("named",)),
        ("/w/.github/agents/b.agent.md", ()),
        ("/w/.mcp.json", ()),
        ("--additional-mcp-config", ()),
    ]


def test_plugins_that_are_loaded_from_a_market_on_this_machine_are_told() -> None:
    market = {"name": "near", "plugins": [{"name": "a", "source": "./a"}, {"name": "b", "source": "./b"}]}
    files: dict[str, object] = {
        f"{FOLDER}/settings.json": {
            "extraKnownMarketplaces": {"near": {"source": {"source": "directory", "path": "/src/near"}}},
            "enabledPlugins": {"a@near": True},
        },
        "/src/near/.claude-plugin/marketplace.json": market,
        "/src/near/a/.mcp.json": {"mcpServers": {"notes": NOTES}},
        "/src/near/b/.mcp.json": {"mcpServers": {"other": NOTES}},
    }

    assert told(prepared(files)) == [("/src/near/a/.mcp.json", "it is a plugin that lies elsewhere", ("notes",))]


def test_more_plugins_than_are_looked_at_are_told() -> None:
    plugins: dict[str, object] = {f"{FOLDER}/installed-plugins/market/{number}/x": b"" for number in range(501)}

    assert told(prepared(plugins)) == [(f"{FOLDER}/installed-plugins", "only 500 plugins are looked at", ())]
