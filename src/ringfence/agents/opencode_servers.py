"""The servers of tools that opencode starts: each behind our stand-in, by the settings that it reads last.

It lays its files over each other, the person's and the project's, and over them what `OPENCODE_CONFIG_CONTENT` says. So
its files stay as they are: that variable says of every server how it is started. What else a server has (variables that
may be secret, whether it is on) is left to the files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping

import msgspec

from ringfence.agents.agent import AgentRequest, Disk, UnseenServers
from ringfence.agents.jsonc import JsonObject, as_object, read_object
from ringfence.agents.mcp_client import NAME
from ringfence.agents.mcp_wrapping import started_unseen, wrapped_anywhere
from ringfence.agents.server_copies import settings_in
from ringfence.model.shown import PlacedFile

CONTENT = "OPENCODE_CONFIG_CONTENT"
FILE = "OPENCODE_CONFIG"
FOLDER = "OPENCODE_CONFIG_DIR"
NO_PROJECT = "OPENCODE_DISABLE_PROJECT_CONFIG"
LOGINS = ".local/share/opencode/auth.json"
_LARGEST = 100_000
"""Bytes: a variable that is longer than 128 KiB starts no program."""
_DEEPEST = 64
_OF_FILE = "{file:"
_NAMES = ("opencode.json", "opencode.jsonc")
_COMMANDS = frozenset(
    {
        *("acp", "agent", "attach", "auth", "completion", "db", "debug", "export", "github", "import", "mcp"),
        *("models", "plugin", "pr", "providers", "run", "serve", "session", "stats", "uninstall", "upgrade", "web"),
    }
)
"""What a first word means that is no folder."""


class Opencode(msgspec.Struct, frozen=True, kw_only=True):
    """What a session does about the servers of opencode."""

    variables: tuple[tuple[str, str], ...] = ()
    shown: tuple[str, ...] = ()
    """What the person's variables name, which is to be visible."""
    copies: tuple[PlacedFile, ...] = ()
    """What it writes into folders of settings at its start, without which it ends."""
    unseen: tuple[UnseenServers, ...] = ()


def opencode_servers(request: AgentRequest, disk: Disk) -> Opencode:
    """The variable that puts the servers of all settings behind the stand-in."""
    unseen: list[UnseenServers] = []
    own = request.environ.get(CONTENT, "")
    merged = _merged(request, disk, unseen)
    try:
        said = read_object(own.encode())
    except ValueError as error:
        unseen.append(UnseenServers(where=CONTENT, why=f"it cannot be read: {error}"))
        said, merged = {}, {}  # opencode does not start with it either
    merged = _laid_over(merged, _servers(said))
    ours, left = _wrapped(merged, request)
    text = json.dumps({**said, "mcp": _laid_over(_servers(said), ours)}) if ours else own
    if left:
        unseen.append(UnseenServers(where="opencode.json", why="their commands stand in other files", names=left))
    if len(text.encode()) > _LARGEST and ours:
        unseen.append(UnseenServers(where=CONTENT, why="they are too long for one variable", names=tuple(ours)))
        text = own
    return Opencode(
        variables=((CONTENT, text),) if text else (),
        shown=tuple(_at(request, request.environ[name]) for name in (FILE, FOLDER) if request.environ.get(name)),
        copies=tuple(_ignoring(request, disk)),
        unseen=(*unseen, *_named_by_hosts(request, disk)),
    )


def _ignoring(request: AgentRequest, disk: Disk) -> Iterator[PlacedFile]:
    folder = os.path.join(request.home, ".config", "opencode")
    path = os.path.join(folder, ".gitignore")
    if disk.exists(folder) and not disk.exists(path):
        yield PlacedFile(path=path, content=b"*\n", mode=0o600, made=True)


def _merged(request: AgentRequest, disk: Disk, unseen: list[UnseenServers]) -> JsonObject:
    """The servers of all files together."""
    merged: JsonObject = {}
    for path in _paths(request, disk):
        inside = path.startswith(f"{request.workspace}/")
        # SECURITY: what a repository's link leads to is not the project's, and may hold what is not visible inside.
        if inside and disk.exists(path) and any(map(disk.is_link, (path, os.path.dirname(path)))):
            unseen.append(UnseenServers(where=path, why="a link stands there"))
            continue
        try:
            merged = _laid_over(merged, _servers(settings_in(path, disk)))
        except ValueError as error:
            unseen.append(UnseenServers(where=path, why=f"it cannot be read: {error}"))
    return merged


def _paths(request: AgentRequest, disk: Disk) -> Iterator[str]:
    """The files of settings, in the order in which opencode lays them over each other."""
    own = os.path.join(request.home, ".config", "opencode")
    yield from (os.path.join(own, name) for name in ("config.json", *_NAMES))
    if named := request.environ.get(FILE):
        yield _at(request, named)
    project = [] if request.environ.get(NO_PROJECT) else [*_upwards(request, disk)]
    folders = [*reversed(project), *(os.path.join(folder, ".opencode") for folder in project)]
    folders.append(os.path.join(request.home, ".opencode"))
    folders += [_at(request, named)] if (named := request.environ.get(FOLDER)) else []
    yield from (os.path.join(folder, name) for folder in folders for name in _NAMES)


def _at(request: AgentRequest, path: str) -> str:
    return os.path.normpath(os.path.join(request.cwd or request.workspace, path))


def _begun_in(request: AgentRequest, disk: Disk) -> str:
    """The folder that it works in: where it is started, or what its command line names."""
    words = [*request.argv[1:], "--"]
    words = words[: words.index("--")]
    for number, word in enumerate(words):
        if word == "--dir" or word.startswith("--dir="):
            return _at(request, word.removeprefix("--dir=") if word != "--dir" else "".join(words[number + 1 :][:1]))
    named = [word for word in words if not word.startswith("-")]
    folders = [] if _COMMANDS.intersection(named) else [folder for word in named if (folder := _at(request, word))]
    return next(filter(disk.list_folder, folders), _at(request, "."))


def _upwards(request: AgentRequest, disk: Disk) -> Iterator[str]:
    """The folders from where it works up to the top of the repository, or of what is visible."""
    here = _begun_in(request, disk)
    for _ in range(_DEEPEST):
        yield here
        if here in (request.workspace, "/") or disk.exists(os.path.join(here, ".git")):
            return
        here = os.path.dirname(here)


def _servers(settings: JsonObject) -> JsonObject:
    """The table of servers, in either of the two forms that opencode reads; the older one wins."""
    table = as_object(settings.get("mcp"))
    newer = table.get("servers")
    if not isinstance(newer, Mapping) or "type" in newer or "enabled" in newer:
        return table
    older = {name: server for name, server in table.items() if name != "servers"}
    return {**{name: _as_older(server) for name, server in newer.items()}, **older}


def _as_older(server: object) -> object:
    values = as_object(server)
    disabled = values.pop("disabled", None)
    return {**values, "enabled": not disabled} if isinstance(disabled, bool) else server


def _laid_over(below: JsonObject, above: JsonObject) -> JsonObject:
    """Two tables as opencode merges them: tables of the same name key by key, everything else by the upper one."""
    return {
        **below,
        **{
            key: _laid_over(as_object(below[key]), as_object(value))
            if isinstance(value, dict) and isinstance(below.get(key), dict)
            else value
            for key, value in above.items()
        },
    }


def _wrapped(servers: JsonObject, request: AgentRequest) -> tuple[JsonObject, tuple[str, ...]]:
    """How each server is started behind the stand-in, and the names of those of which that is not known."""
    ours: JsonObject = {}
    left: list[str] = []
    for name in started_unseen(servers, request.interpreter):
        command = as_object(servers[name]).get("command")
        if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
            continue  # opencode does not start it either
        if any(_OF_FILE in word for word in command):
            left.append(name)
            continue
        wrapped = [*wrapped_anywhere(command, request.interpreter)]
        ours[name] = {"type": "local", "command": wrapped, "environment": {NAME: name}}
    return ours, tuple(left)


def _named_by_hosts(request: AgentRequest, disk: Disk) -> tuple[UnseenServers, ...]:
    """Logins of hosts that hand out settings at each start."""
    path = os.path.join(request.home, LOGINS)
    try:
        logins = read_object(disk.read_file(path))
    except ValueError:
        return ()
    hosts = tuple(host for host, login in logins.items() if as_object(login).get("type") == "wellknown")
    return tuple(
        UnseenServers(where=host, why="settings that this host hands out are read at each start") for host in hosts
    )
