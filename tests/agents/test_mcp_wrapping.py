"""Servers of tools in agents' settings, each behind the stand-in."""

from __future__ import annotations

import json
import tomllib

from tests.agents.disk import DictDisk

from ringfence.agents.agent import AgentRequest, AgentSetup
from ringfence.agents.claude import Claude
from ringfence.agents.codex import Codex

BEHIND = ["-I", "-S", "/run/ringfence/mcp.py", "--"]
NOTES = {"command": "npx", "args": ["-y", "notes"], "env": {"KEY": "v"}}
WRAPPED = {
    "command": "/usr/bin/python3",
    "args": [*BEHIND, "npx", "-y", "notes"],
    "env": {"KEY": "v", "RINGFENCE_MCP_NAME": "notes"},
}
REMOTE = {"type": "http", "url": "https://mcp.example.com/"}


def request(*argv: str) -> AgentRequest:
    return AgentRequest(
        argv=argv, environ={}, home="/h", workspace="/w", cwd="/w/sub", session="s", interpreter="/usr/bin/python3"
    )


def claude(*argv: str, **files: object) -> AgentSetup:
    disk = DictDisk({path: json.dumps(content).encode() for path, content in files.items()})
    return Claude(home="/h").prepare(request("claude", *argv), disk)


def codex(*argv: str, **files: str) -> AgentSetup:
    return Codex(home="/h").prepare(
        request("codex", *argv), DictDisk({path: text.encode() for path, text in files.items()})
    )


def placed(setup: AgentSetup, path: str) -> bytes:
    return next(file.content for file in setup.files if file.path == path)


def test_the_stand_in_lies_in_the_sandbox() -> None:
    assert placed(claude(), "/run/ringfence/mcp.py") == placed(codex(), "/run/ringfence/mcp.py")


def test_servers_of_a_person_and_of_each_of_their_projects_are_wrapped_and_the_rest_stays() -> None:
    state = {
        "mcpServers": {"notes": NOTES, "remote": REMOTE},
        "projects": {"/w": {"mcpServers": {"notes": {**NOTES, "type": "stdio"}}, "allowedTools": ["x"]}},
        "numStartups": 3,
    }

    found = json.loads(placed(claude(**{"/h/.claude.json": state}), "/h/.claude.json"))

    assert found == {
        "mcpServers": {"notes": WRAPPED, "remote": REMOTE},
        "projects": {"/w": {"mcpServers": {"notes": {**WRAPPED, "type": "stdio"}}, "allowedTools": ["x"]}},
        "numStartups": 3,
    }


def test_servers_of_a_project_are_wrapped_where_the_person_agreed_to_them() -> None:
    project = {"mcpServers": {"notes": NOTES, "other": NOTES}}
    state = {"projects": {"/w": {"enabledMcpjsonServers": ["notes"]}}}

    found = json.loads(placed(claude(**{"/h/.claude.json": state, "/w/.mcp.json": project}), "/h/.claude.json"))

    assert found["projects"]["/w"]["mcpServers"] == {"notes": WRAPPED}
    assert found["projects"]["/w/sub"]["mcpServers"] == {"notes": WRAPPED}
    everything = {"enableAllProjectMcpServers": True}
    found = json.loads(
        placed(claude(**{"/h/.claude/settings.json": everything, "/w/.mcp.json": project}), "/h/.claude.json")
    )
    assert set(found["projects"]["/w"]["mcpServers"]) == {"notes", "other"}


def test_a_project_to_whose_servers_nobody_agreed_starts_none_of_them() -> None:
    setup = claude(**{"/h/.claude.json": {"a": 1}, "/w/.mcp.json": {"mcpServers": {"notes": NOTES}}})

    assert json.loads(placed(setup, "/h/.claude.json")) == {"a": 1}
    assert [(one.where, one.names) for one in setup.unseen] == [("/w/.mcp.json", ("notes",))]


def test_servers_of_a_project_that_claude_starts_without_a_question_are_wrapped() -> None:
    files = {
        "/h/.claude.json": {"projects": {"/w": {"disabledMcpjsonServers": ["other"]}}},
        "/w/.mcp.json": {"mcpServers": {"notes": NOTES, "other": NOTES}},
    }

    setup = claude("-p", "hello", **files)
    limited = claude("-p", "hello", "--setting-sources=user", **files)
    said = claude("--", "-p", **files)

    assert json.loads(placed(setup, "/h/.claude.json"))["projects"]["/w"]["mcpServers"] == {"notes": WRAPPED}
    assert setup.unseen == ()
    for other in (limited, said):
        assert "mcpServers" not in json.loads(placed(other, "/h/.claude.json"))["projects"]["/w"]
        assert [one.names for one in other.unseen] == [("notes",)]


def test_servers_that_a_folder_below_the_project_names_are_told() -> None:
    setup = claude("-p", "hello", **{"/w/sub/.mcp.json": {"mcpServers": {"notes": NOTES}}})

    assert [(one.where, one.names) for one in setup.unseen] == [("/w/sub/.mcp.json", ("notes",))]


def test_a_word_of_ours_among_the_arguments_hides_no_server() -> None:
    decoy = {"command": "evil", "args": ["/run/ringfence/mcp.py", "-I", "-S"]}

    setup = claude(**{"/h/.claude.json": {"mcpServers": {"a": decoy}}})

    server = json.loads(placed(setup, "/h/.claude.json"))["mcpServers"]["a"]
    assert (server["command"], server["args"]) == ("/usr/bin/python3", [*BEHIND, "evil", *decoy["args"]])


def test_servers_of_the_command_line_are_wrapped_and_those_of_a_file_do_not_come_on_record() -> None:
    text = json.dumps({"mcpServers": {"notes": NOTES}})

    setup = claude("--mcp-config", "my.json", text, "-p", "hello", **{"/w/sub/my.json": {"mcpServers": {"a": NOTES}}})

    assert setup.argv[:3] == ("claude", "--mcp-config", "/run/ringfence/mcp-config-0.json")
    assert json.loads(setup.argv[3]) == {"mcpServers": {"notes": WRAPPED}}
    assert setup.argv[4:] == ("-p", "hello")
    named = {**WRAPPED, "env": {"KEY": "v", "RINGFENCE_MCP_NAME": "a"}}
    assert json.loads(placed(setup, "/run/ringfence/mcp-config-0.json")) == {"mcpServers": {"a": named}}


def test_an_administrators_servers_are_wrapped_and_the_lists_that_name_commands_name_both() -> None:
    command = ["npx", "-y", "notes"]
    settings = {
        "allowedMcpServers": [{"serverCommand": command}, {"serverName": "x"}],
        "deniedMcpServers": [{"serverCommand": ["evil"]}],
    }
    setup = claude(
        **{
            "/etc/claude-code/managed-settings.json": settings,
            "/etc/claude-code/managed-mcp.json": {"mcpServers": {"notes": NOTES}},
        }
    )

    found = json.loads(placed(setup, "/etc/claude-code/managed-settings.json"))

    behind = ["/usr/bin/python3", *BEHIND]
    assert found["allowedMcpServers"] == [*settings["allowedMcpServers"], {"serverCommand": [*behind, *command]}]
    assert found["deniedMcpServers"] == [{"serverCommand": ["evil"]}, {"serverCommand": [*behind, "evil"]}]
    assert json.loads(placed(setup, "/etc/claude-code/managed-mcp.json")) == {"mcpServers": {"notes": WRAPPED}}


def test_servers_of_codex_are_wrapped_in_every_file_of_its_settings() -> None:
    text = '# mine\n[mcp_servers.notes]\ncommand = "npx"\nargs = ["-y", "notes"]\nenv = { KEY = "v" }\ncwd = "/w"\n'
    text += '[mcp_servers.remote]\nurl = "https://mcp.example.com/"\n'

    setup = codex(**{"/h/.codex/config.toml": text, "/h/.codex/work.config.toml": text})

    for name in ("config.toml", "work.config.toml"):
        content = placed(setup, f"/h/.codex/{name}").decode()
        assert content.startswith("# mine\n")
        assert tomllib.loads(content)["mcp_servers"] == {
            "notes": {**WRAPPED, "cwd": "/w"},
            "remote": {"url": "https://mcp.example.com/"},
        }


def test_what_the_command_line_of_codex_says_about_a_server_is_said_again_behind_the_stand_in() -> None:
    text = '[mcp_servers.notes]\ncommand = "npx"\nargs = ["-y", "notes"]\n'
    option = 'mcp_servers.notes.args=["-y", "other"]'

    setup = codex("exec", "-c", option, "--", "hello", **{"/h/.codex/config.toml": text})

    at = setup.argv.index(option)
    assert setup.argv[at + 1 :] == (
        *("-c", 'mcp_servers.notes.command="/usr/bin/python3"'),
        *("-c", f"mcp_servers.notes.args={json.dumps([*BEHIND, 'npx', '-y', 'other'])}"),
        *("-c", 'mcp_servers.notes.env.RINGFENCE_MCP_NAME="notes"'),
        *("--", "hello"),
    )


def test_servers_of_a_project_that_codex_trusts_are_said_on_its_command_line() -> None:
    project = '[mcp_servers.notes]\ncommand = "npx"\nargs = ["theirs"]\n[mcp_servers.far]\nurl = "https://a.test/"\n'
    own = '[mcp_servers.notes]\ncommand = "npx"\nargs = ["mine"]\nenv = { A = "b" }\n'
    trust = '[projects."/w"]\ntrust_level = "trusted"\n'
    files = {"/w/.codex/config.toml": project}

    trusted = codex("exec", "hello", **{**files, "/h/.codex/config.toml": own + trust})
    untrusted = codex("exec", "hello", **{**files, "/h/.codex/config.toml": own})

    assert f"mcp_servers.notes.args={json.dumps([*BEHIND, 'npx', 'theirs'])}" in trusted.argv
    assert not any("mcp_servers" in word for word in untrusted.argv)
    asked = codex(**{**files, "/h/.codex/config.toml": own})
    assert [(one.where, one.names) for one in asked.unseen] == [("/w/.codex/config.toml", ("notes",))]
    assert (trusted.unseen, untrusted.unseen) == ((), ())
    assert not any("far" in word for word in trusted.argv)
    assert trusted.argv[-2:] == ("exec", "hello")


def test_servers_that_an_administrator_names_by_their_commands_start_as_they_are() -> None:
    text = '[mcp_servers.notes]\ncommand = "npx"\n'
    managed = '[mcp_servers.notes.identity]\ncommand = "npx"\n'

    setup = codex(**{"/h/.codex/config.toml": text, "/etc/codex/requirements.toml": managed})

    assert placed(setup, "/h/.codex/config.toml") == text.encode()
    assert tomllib.loads(placed(setup, "/etc/codex/requirements.toml").decode())["mcp_servers"] == {
        "notes": {"identity": {"command": "npx"}}
    }
    assert any("lists of tools that change are not noticed" in notice for notice in setup.notices)
    assert [(one.where, one.names) for one in setup.unseen] == [("/etc/codex/requirements.toml", ("notes",))]
