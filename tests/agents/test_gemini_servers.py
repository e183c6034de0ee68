"""The servers of tools of Gemini CLI: the person's behind the stand-in, a project's told of."""

from __future__ import annotations

import json

from tests.agents.disk import DictDisk

from ringfence.agents.agent import AgentRequest, AgentSetup
from ringfence.agents.known_by_name import ROWS, KnownByName
from ringfence.agents.mcp_wrapping import SCRIPT

SETTINGS = "/h/.gemini/settings.json"
NOTES = {"command": "notes", "args": ["-v"], "trust": True}


def behind(name: str) -> dict[str, object]:
    wrapped = ["-c", SCRIPT, "/usr/bin/python3", "notes", "-v"]
    return {**NOTES, "command": "/bin/sh", "args": wrapped, "env": {"RINGFENCE_MCP_NAME": name}}


def prepared(files: dict[str, object], disk: type[DictDisk] = DictDisk) -> AgentSetup:
    there = {path: value if isinstance(value, bytes) else json.dumps(value).encode() for path, value in files.items()}
    row = next(row for row in ROWS if row.name == "gemini")
    request = AgentRequest(
        argv=("gemini",), environ={}, home="/h", workspace="/w", session="s", interpreter="/usr/bin/python3"
    )
    return KnownByName(row, "/h").prepare(request, disk(there))


def copies(setup: AgentSetup) -> dict[str, object]:
    return {file.path: json.loads(file.content) for file in setup.files if file.path.startswith("/h/")}


def told(setup: AgentSetup) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(one.where, one.why, one.names) for one in setup.unseen]


def test_servers_of_settings_with_comments_and_of_extensions_are_wrapped_in_private_copies() -> None:
    manifest = "/h/.gemini/extensions/x/gemini-extension.json"
    files: dict[str, object] = {
        SETTINGS: b'{"mcpServers": {"notes": ' + json.dumps(NOTES).encode() + b'}, // mine\n"theme": "a"}',
        manifest: {"name": "x", "mcpServers": {"more": NOTES, "far": {"httpUrl": "https://x.test"}}},
        "/h/.gemini/extensions/x/server.js": b"x",
        "/h/.gemini/extensions/y/gemini-extension.json": {"name": "y"},
        "/h/.gemini/oauth_creds.json": b"{}",
    }

    setup = prepared(files)

    assert copies(setup) == {
        SETTINGS: {"mcpServers": {"notes": behind("notes")}, "theme": "a"},
        manifest: {"name": "x", "mcpServers": {"more": behind("more"), "far": {"httpUrl": "https://x.test"}}},
    }
    assert told(setup) == []
    assert [bind.source for bind in setup.binds] == [
        "/h/.gemini/extensions/x/server.js",
        "/h/.gemini/extensions/y",
        "/h/.gemini/oauth_creds.json",
    ]
    assert not any(bind.writable for bind in setup.binds)


def test_a_person_without_servers_has_the_folder_as_it_is() -> None:
    setup = prepared({SETTINGS: {"theme": "a"}, "/h/.gemini/x": b""})

    assert (copies(setup), told(setup)) == ({}, [])
    assert [bind.source for bind in setup.binds] == ["/h/.gemini"]


def test_servers_of_a_project_and_of_linked_extensions_are_told() -> None:
    files: dict[str, object] = {
        "/w/.gemini/settings.json": {"mcpServers": {"theirs": NOTES}},
        "/h/.gemini/extensions/x/.gemini-extension-install.json": {"type": "link", "source": "/src/x"},
        "/src/x/gemini-extension.json": {"name": "x", "mcpServers": {"more": NOTES}},
        "/w/.gemini/agents/a.md": b"---\nname: a\nmcp_servers:\n  x:\n    command: y\n---\n",
    }

    assert told(prepared(files)) == [
        ("/src/x/gemini-extension.json", "it is a linked extension", ("more",)),
        ("/w/.gemini/settings.json", "the workspace is not ours to change", ("theirs",)),
        ("/w/.gemini/agents/a.md", "an agent's own servers stand in its text", ()),
    ]


def test_what_cannot_be_read_or_lies_behind_a_link_is_told() -> None:
    class Linked(DictDisk):
        def is_link(self, path: str) -> bool:
            return path in ("/h/.gemini/extensions/x", "/w/.gemini")

    files: dict[str, object] = {
        SETTINGS: b'{"mcpServers": ',
        "/w/.gemini/settings.json": {},
        "/h/.gemini/extensions/x/gemini-extension.json": {"mcpServers": {"more": NOTES}},
        **{f"/h/.gemini/extensions/y{number}/a": b"" for number in range(500)},
    }

    setup = prepared(files, Linked)

    assert copies(setup) == {}
    assert [(where, names) for where, _, names in told(setup)] == [
        (SETTINGS, ()),
        ("/h/.gemini/extensions/x/gemini-extension.json", ("more",)),
        ("/w/.gemini/settings.json", ()),
        ("/h/.gemini/extensions", ()),
    ]
