"""The servers of tools that Claude Code starts: from its settings, its command line, and the project's own file.

A project's `.mcp.json` stays as it is, because the workspace is not ours to change. Of its servers, those that the
person has agreed to, or that Claude Code starts without a question, stand behind our stand-in in the private copy of
`~/.claude.json`, where one of the same name wins. Others are told of.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import msgspec

from ringfence.agents.agent import HOOK_FOLDER, AgentRequest, Disk, UnseenServers
from ringfence.agents.jsonc import plain_object
from ringfence.agents.mcp_wrapping import started_unseen, wrap_servers, wrap_text
from ringfence.model.shown import PlacedFile

OPTION = "--mcp-config"
PROJECT_FILE = ".mcp.json"

JsonObject = dict[str, object]
_WITHOUT_QUESTION = frozenset(["-p", "--print"])
"""With these Claude Code starts the servers of a project to which nobody has said no."""
_SOURCES = "--setting-sources"


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """The servers of a project's own file."""

    agreed: JsonObject = {}
    """Those that are started."""
    pending: JsonObject = {}
    """Those that are started if the person agrees to them then."""


def unseen_servers(
    copies: tuple[PlacedFile, ...], state: str, request: AgentRequest, disk: Disk
) -> tuple[UnseenServers, ...]:
    """The servers of projects that may start as they are."""
    path = os.path.join(request.workspace, PROJECT_FILE)
    found = [] if not disk.is_link(path) else [UnseenServers(where=path, why="a link stands there")]
    names = started_unseen(_project(copies, state, request, disk).pending, request.interpreter)
    found += [UnseenServers(where=path, why=_PENDING, names=names)] if names else []
    here = request.cwd or request.workspace
    while here.startswith(f"{request.workspace}/"):
        below = os.path.join(here, PROJECT_FILE)
        names = started_unseen(_read(disk.read_file(below)).get("mcpServers"), request.interpreter)
        found += [UnseenServers(where=below, why="it lies below the project's own", names=names)] if names else []
        here = os.path.dirname(here)
    return tuple(found)


_PENDING = "nobody has agreed to them in Claude Code, and they start when somebody does"


def wrapped_files(
    copies: tuple[PlacedFile, ...], state: str, request: AgentRequest, disk: Disk
) -> tuple[PlacedFile, ...]:
    """Private copies of settings, with the servers that they start behind the stand-in. `state`: `~/.claude.json`."""
    project = _project(copies, state, request, disk).agreed
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


def _project(copies: tuple[PlacedFile, ...], state: str, request: AgentRequest, disk: Disk) -> Project:
    """The servers of the project's own file: those that the person has agreed to, by name, and the others."""
    path = os.path.join(request.workspace, PROJECT_FILE)
    # SECURITY: what a repository's link leads to is not the project's, and may hold what is not visible inside.
    servers = {} if disk.is_link(path) else _object(_read(disk.read_file(path)).get("mcpServers"))
    if not servers:
        return Project()
    settings = [_read(copy.content) for copy in copies if os.path.basename(copy.path).startswith("settings.")]
    settings += [
        _read(disk.read_file(os.path.join(request.workspace, ".claude", name)))
        for name in ("settings.json", "settings.local.json")
    ]
    known = _read(next((copy.content for copy in copies if copy.path == state), None))
    settings.append(_object(_object(known.get("projects")).get(request.workspace)))
    words = request.argv[: request.argv.index("--")] if "--" in request.argv else request.argv
    refused = _names(settings, "disabledMcpjsonServers")
    left = {name: server for name, server in servers.items() if name not in refused}
    unasked = not any(word.partition("=")[0] == _SOURCES for word in words) and _WITHOUT_QUESTION.intersection(words)
    if unasked or any(one.get("enableAllProjectMcpServers") is True for one in settings):
        return Project(agreed=left)
    named = _names(settings, "enabledMcpjsonServers")
    return Project(
        agreed={name: server for name, server in left.items() if name in named},
        pending={name: server for name, server in left.items() if name not in named},
    )


def _names(settings: list[JsonObject], key: str) -> set[str]:
    lists = [one.get(key) for one in settings]
    return {name for one in lists if isinstance(one, list) for name in one if isinstance(name, str)}


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
        return plain_object(content)
    except ValueError:
        return {}


def _object(value: object) -> JsonObject:
    return dict(value) if isinstance(value, dict) else {}
