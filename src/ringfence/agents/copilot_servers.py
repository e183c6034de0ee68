"""The servers of tools that Copilot CLI starts: each behind our stand-in, or told of.

Those of the person's settings and plugins are wrapped in private copies. A project's files stay as they are, because
the workspace is not ours to change: where Copilot trusts the project, its command line says how they are started, and
what the person says there wins over that as before.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator

import msgspec

from ringfence.agents.agent import AgentRequest, Disk, UnseenServers
from ringfence.agents.agent_texts import texts_with_servers
from ringfence.agents.copilot_plugins import copilot_plugins, plugin_servers
from ringfence.agents.jsonc import JsonObject, as_object, read_object
from ringfence.agents.mcp_wrapping import started_unseen, wrap_servers, wrapped_anywhere
from ringfence.agents.server_copies import SERVERS, Wrapped, joined, left_unseen, settings_in, wrapped_copy
from ringfence.model.shown import PlacedFile

HOME = "COPILOT_HOME"
OPTION = "--additional-mcp-config"
STATE = "config.json"
"""What Copilot writes of its own, with the login."""
_OWN = re.compile(r"logs|ide|session-state|session-store\.db.*|.*\.lock")
"""What it cannot work without writing; nothing of it is settings."""
_PLACE = ".ringfence"
"""Below the private HOME, wherever that is: our files that its command line names."""
_COMMANDS = frozenset(
    {
        *("app", "login", "help", "init", "config", "update", "version", "workflow", "sessions", "memories", "plugin"),
        *("mcp", "skill", "instruction", "lsp", "sandbox", "completion"),
    }
)
_PROMPT = frozenset(["-p", "--prompt"])
"""With these nobody is asked whether a folder is trusted."""
_DEEPEST = 64


class Copilot(msgspec.Struct, frozen=True, kw_only=True):
    """What a session does about the servers of Copilot."""

    argv: tuple[str, ...]
    copies: tuple[PlacedFile, ...] = ()
    private: tuple[str, ...] = ()
    """What Copilot writes of its own, of which a session has one for itself."""
    unseen: tuple[UnseenServers, ...] = ()


def copilot_folder(request: AgentRequest) -> str:
    """Where Copilot keeps its settings."""
    return request.environ.get(HOME) or os.path.join(request.home, ".copilot")


def copilot_servers(request: AgentRequest, disk: Disk) -> Copilot:
    """Those of its settings, plugins, command line and of the project."""
    folder = copilot_folder(request)
    texts = tuple(texts_with_servers(os.path.join(folder, "agents"), disk))
    own = joined([*_own(folder, request, disk), Wrapped(unseen=texts)])
    private = tuple(os.path.join(folder, name) for name in disk.list_folder(folder) if _OWN.fullmatch(name))
    if _COMMANDS.intersection(request.argv[1:2]):
        return Copilot(argv=request.argv, copies=own.copies, private=private, unseen=own.unseen)
    here = os.path.normpath(os.path.join(request.cwd or request.workspace, *_values(request.argv, "-C")))
    words, files, unseen = _command_line(here, request, disk)
    project, told = _project(here, folder, request, disk)
    if project:
        name = f"{_PLACE}/mcp-project.json"
        files.append(
            PlacedFile(
                path=os.path.join(request.home, name), content=json.dumps({SERVERS: project}).encode(), mode=0o400
            )
        )
        words = [words[0], OPTION, f"@~/{name}", *words[1:]]
    named = [
        plugin_servers(os.path.join(here, one), "", request, disk) for one in _values(request.argv, "--plugin-dir")
    ]
    found = joined([own, *named, *told, Wrapped(unseen=tuple(unseen))])
    return Copilot(argv=tuple(words), copies=(*found.copies, *files), private=private, unseen=found.unseen)


def _own(folder: str, request: AgentRequest, disk: Disk) -> Iterator[Wrapped]:
    yield wrapped_copy(os.path.join(folder, "mcp-config.json"), folder, request, disk)
    if state := disk.read_file(os.path.join(folder, STATE)):
        yield Wrapped(copies=(PlacedFile(path=os.path.join(folder, STATE), content=state, mode=0o600),))
    yield copilot_plugins(folder, request, disk)


def _command_line(
    here: str, request: AgentRequest, disk: Disk
) -> tuple[list[str], list[PlacedFile], list[UnseenServers]]:
    """The command line with the servers that it adds behind the stand-in. What stands in a file may be secret, and a
    command line is put on record, so that a file stays one."""
    words: list[str] = []
    files: list[PlacedFile] = []
    unseen: list[UnseenServers] = []
    inside = False
    for word in request.argv:
        text = word.removeprefix(f"{OPTION}=") if word.startswith(f"{OPTION}=") else word if inside else ""
        start = f"{OPTION}=" if text and not inside else ""
        inside = word == OPTION
        words.append(f"{start}{_added(text, here, request, disk, files, unseen)}" if text else word)
    return words, files, unseen


def _added(
    text: str,
    here: str,
    request: AgentRequest,
    disk: Disk,
    files: list[PlacedFile],
    unseen: list[UnseenServers],
) -> str:
    named = text.removeprefix("@") if text.startswith("@") else ""
    place = os.path.join(request.home, named[2:]) if named.startswith("~/") else os.path.join(here, named)
    try:
        values = read_object(disk.read_file(place) if named else text.encode())
    except ValueError as error:
        unseen.append(UnseenServers(where=named or OPTION, why=f"it cannot be read: {error}"))
        return text
    if not wrap_servers(values.get(SERVERS), request, by=wrapped_anywhere):
        return text
    if not named:
        return json.dumps(values)
    name = f"{_PLACE}/mcp-config-{len(files)}.json"
    files.append(PlacedFile(path=os.path.join(request.home, name), content=json.dumps(values).encode(), mode=0o400))
    return f"@~/{name}"


def _project(here: str, folder: str, request: AgentRequest, disk: Disk) -> tuple[JsonObject, list[Wrapped]]:
    """The servers of the project behind the stand-in, where Copilot trusts it, and what is to be told."""
    servers: JsonObject = {}
    told: list[Wrapped] = []
    folders = [*_upwards(here, request, disk)]
    for each in folders:
        told.append(Wrapped(unseen=tuple(texts_with_servers(os.path.join(each, ".github", "agents"), disk))))
    for path in filter(None, (_named_in(each, disk) for each in reversed(folders))):
        # SECURITY: what a repository's link leads to is not the project's, and may hold what is not visible inside.
        if any(map(disk.is_link, (path, os.path.dirname(path)))):
            told.append(Wrapped(unseen=(UnseenServers(where=path, why="a link stands there"),)))
            continue
        if not _trusts(here, folder, request, disk):
            told += [] if _PROMPT.intersection(request.argv) else [left_unseen(path, _PENDING, request, disk)]
            continue
        try:
            servers |= as_object(settings_in(path, disk).get(SERVERS))
        except ValueError as error:
            told.append(Wrapped(unseen=(UnseenServers(where=path, why=f"it cannot be read: {error}"),)))
    kept: JsonObject = {name: servers[name] for name in started_unseen(servers, request.interpreter)}
    wrap_servers(kept, request, by=wrapped_anywhere)
    return kept, told


_PENDING = "copilot does not trust this folder yet, and starts them when somebody says that it may"


def _named_in(folder: str, disk: Disk) -> str | None:
    """The file with servers of one folder: the second one counts where the first is not there."""
    paths = (os.path.join(folder, ".mcp.json"), os.path.join(folder, ".github", "mcp.json"))
    return next(filter(disk.exists, paths), None)


def _trusts(here: str, folder: str, request: AgentRequest, disk: Disk) -> bool:
    if "--trust-folder" in request.argv or request.environ.get("COPILOT_ALLOW_ALL") == "true":
        return True
    for name in (STATE, "settings.json"):
        try:
            listed = read_object(disk.read_file(os.path.join(folder, name))).get("trustedFolders")
        except ValueError:
            continue
        for one in listed if isinstance(listed, list) else ():
            if isinstance(one, str) and (here == one or here.startswith(f"{one.rstrip('/')}/")):
                return True
    return False


def _upwards(here: str, request: AgentRequest, disk: Disk) -> Iterator[str]:
    """The folders from where it works up to the top of the repository, or of what is visible."""
    for _ in range(_DEEPEST):
        yield here
        if here in (request.workspace, "/") or disk.exists(os.path.join(here, ".git")):
            return
        here = os.path.dirname(here)


def _values(argv: tuple[str, ...], option: str) -> Iterator[str]:
    words = iter(argv)
    for word in words:
        if word == option:
            yield next(words, "")
        elif option.startswith("--") and word.startswith(f"{option}="):
            yield word.removeprefix(f"{option}=")
