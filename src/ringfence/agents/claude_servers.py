"""The servers of tools that Claude Code starts: from its settings, its command line, and the project's own file.

A project's `.mcp.json` stays as it is, because the workspace is not ours to change. Of its servers, those that the
person has agreed to stand behind our stand-in in the private copy of `~/.claude.json`, where one of the same name wins.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import msgspec

from ringfence.agents.agent import HOOK_FOLDER, AgentRequest, Disk
from ringfence.agents.mcp_wrapping import wrap_servers, wrap_text
from ringfence.model.shown import PlacedFile

OPTION = "--mcp-config"
PROJECT_FILE = ".mcp.json"

JsonObject = dict[str, object]


def wrapped_files(
    copies: tuple[PlacedFile, ...], state: str, request: AgentRequest, disk: Disk
) -> tuple[PlacedFile, ...]:
    """Private copies of settings, with the servers that they start behind the stand-in. `state`: `~/.claude.json`."""
    project = _agreed(copies, state, request, disk)
    placed = {copy.path: copy for copy in copies}
    if project:
        there = placed.get(state, PlacedFile(path=state, content=b"{}", mode=0o600))
        placed[state] = msgspec.structs.replace(there, content=_with_project(there.content, project, request))
    return tuple(
        msgspec.structs.replace(copy, content=wrap_text(copy.content, request, depth=copy.path == state))
        if copy.path.endswith(".json")
        else copy
        for copy in placed.values()
    )


def with_servers(request: AgentRequest, disk: Disk) -> tuple[tuple[str, ...], tuple[PlacedFile, ...]]:
    """The command line, with the servers of `--mcp-config` behind the stand-in, and the files that it names then."""
    files: list[PlacedFile] = []
    return tuple(_words(request, disk, files)), tuple(files)


def _words(request: AgentRequest, disk: Disk, files: list[PlacedFile]) -> Iterator[str]:
    inside = False
    words = iter(request.argv)
    for word in words:
        if word == "--":
            yield word
            yield from words
            return
        if word.startswith(f"{OPTION}="):
            yield f"{OPTION}={_configuration(word.removeprefix(f'{OPTION}='), request, disk, files)}"
        elif inside and not word.startswith("-"):
            yield _configuration(word, request, disk, files)
        else:
            inside = word == OPTION
            yield word


def _configuration(word: str, request: AgentRequest, disk: Disk, files: list[PlacedFile]) -> str:
    """One configuration with its servers wrapped: a text, or a file, which is another one inside then. What stands in
    a file may be secret, and a command line is put on record."""
    if word.lstrip().startswith("{"):
        return wrap_text(word.encode(), request).decode()
    content = disk.read_file(os.path.join(request.cwd or request.workspace, word))
    found = None if content is None else wrap_text(content, request)
    if found is None or found == content:
        return word
    files.append(PlacedFile(path=f"{HOOK_FOLDER}/mcp-config-{len(files)}.json", content=found, mode=0o400))
    return files[-1].path


def _agreed(copies: tuple[PlacedFile, ...], state: str, request: AgentRequest, disk: Disk) -> JsonObject:
    """The servers of the project's own file that the person has agreed to, by name."""
    path = os.path.join(request.workspace, PROJECT_FILE)
    # SECURITY: what a repository's link leads to is not the project's, and may hold what is not visible inside.
    servers = {} if disk.is_link(path) else _object(_read(disk.read_file(path)).get("mcpServers"))
    if not servers:
        return {}
    settings = [_read(copy.content) for copy in copies if os.path.basename(copy.path).startswith("settings.")]
    settings += [
        _read(disk.read_file(os.path.join(request.workspace, ".claude", name)))
        for name in ("settings.json", "settings.local.json")
    ]
    known = _read(next((copy.content for copy in copies if copy.path == state), None))
    settings.append(_object(_object(known.get("projects")).get(request.workspace)))
    if any(one.get("enableAllProjectMcpServers") is True for one in settings):
        return servers
    lists = [one.get("enabledMcpjsonServers") for one in settings]
    named = {name for one in lists if isinstance(one, list) for name in one if isinstance(name, str)}
    return {name: server for name, server in servers.items() if name in named}


def _with_project(content: bytes, servers: JsonObject, request: AgentRequest) -> bytes:
    values = _read(content)
    projects = _object(values.get("projects"))
    for folder in dict.fromkeys((request.workspace, request.cwd or request.workspace)):
        project = _object(projects.get(folder))
        copies: JsonObject = json.loads(json.dumps(servers))
        wrap_servers(copies, request)
        # A server of the person's own of that name wins over the project's anyway.
        projects[folder] = {**project, "mcpServers": {**copies, **_object(project.get("mcpServers"))}}
    return json.dumps({**values, "projects": projects}).encode()


def _read(content: bytes | None) -> JsonObject:
    try:
        return _object(json.loads(content or b"{}"))
    except ValueError:
        return {}


def _object(value: object) -> JsonObject:
    return dict(value) if isinstance(value, dict) else {}
