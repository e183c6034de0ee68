"""The servers of tools that Codex starts, by its configuration: each behind our stand-in.

They are wrapped in the private copies of its files. What the command line says about a server is laid over those, and
said once more behind it. A project's own `.codex/config.toml` is not touched, because the workspace is not ours to
change: where Codex trusts the project, the command line says of its servers how they are started.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, MutableMapping

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError

from ringfence.agents.agent import AgentRequest, Disk, UnseenServers
from ringfence.agents.codex_config import Table, effective_table, option_values, read_table
from ringfence.agents.mcp_client import NAME
from ringfence.agents.mcp_wrapping import is_wrapped, started_unseen, wrap_servers, wrapped

SERVERS = "mcp_servers"
_PENDING = "codex does not trust this folder yet, and starts them when somebody says that it may"
_WITHOUT_QUESTION = frozenset(["exec", "e", "review"])
"""Where nobody is asked whether a folder is trusted, so that its settings are not read."""
_NAME = re.compile(r"[A-Za-z0-9_-]+")
"""Any other name Codex does not take either."""


def wrap_file(content: bytes, request: AgentRequest) -> bytes:
    """A configuration with its servers wrapped; as it is where it has none, or where Codex could not read it either."""
    if SERVERS.encode() not in content:
        return content
    try:
        document = tomlkit.parse(content.decode("utf-8"))
    except (TOMLKitError, UnicodeDecodeError):
        return content
    tables = [document, *_profiles(document)]
    done = [wrap_servers(table.get(SERVERS), request) for table in tables]
    return tomlkit.dumps(document).encode() if any(done) else content


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """The servers of a project's own settings."""

    agreed: Table = {}
    """Those that Codex reads."""
    unseen: tuple[UnseenServers, ...] = ()


def as_they_are(
    where: str, config: Table, project: Project, plugins: tuple[UnseenServers, ...], request: AgentRequest
) -> tuple[UnseenServers, ...]:
    """All servers, where an administrator's file names them by their commands, so that none can be wrapped."""
    tables = (config.get(SERVERS), project.agreed)
    own = [name for table in tables for name in started_unseen(table, request.interpreter)]
    others = [name for one in plugins for name in one.names]
    names = tuple(dict.fromkeys([*own, *others]))
    listed = UnseenServers(where=where, why="it names servers by their commands", names=names)
    told = [one for one in plugins if not one.behind_mounts]
    return (*([listed] if names else []), *project.unseen, *told)


def project_servers(argv: tuple[str, ...], config: Table, request: AgentRequest, disk: Disk) -> Project:
    """The servers of the project's own settings, as far as Codex reads those."""
    projects = config.get("projects")
    project = projects.get(request.workspace) if isinstance(projects, Mapping) else None
    level = project.get("trust_level") if isinstance(project, Mapping) else None
    path = os.path.join(request.workspace, ".codex", "config.toml")
    # SECURITY: what a repository's link leads to is not the project's.
    if any(map(disk.is_link, (path, os.path.dirname(path)))):
        linked = UnseenServers(where=path, why="a link stands there")
        return Project(unseen=(linked,) if disk.exists(path) else ())
    try:
        servers = read_table(disk.read_file(path)).get(SERVERS)
    except ValueError:
        return Project()
    if level == "trusted" or "--trust" in argv:
        return Project(agreed=dict(servers) if isinstance(servers, Mapping) else {})
    names = started_unseen(servers, request.interpreter)
    asks = level != "untrusted" and not _WITHOUT_QUESTION.intersection(argv)
    return Project(unseen=(UnseenServers(where=path, why=_PENDING, names=names),) if names and asks else ())


def with_servers(argv: tuple[str, ...], config: Table, project: Table, request: AgentRequest) -> tuple[str, ...]:
    """The command line with the servers behind the stand-in that it, or the project, says something about. `config` is
    what the person's files and the command line say together."""
    said = {_server_of(one) for one in option_values(argv, "-c", "--config")} - {""} | set(project)
    servers = effective_table({SERVERS: config.get(SERVERS, {})}, {SERVERS: project}, argv).get(SERVERS)
    words: list[str] = []
    for name in sorted(filter(_NAME.fullmatch, said)):
        server = servers.get(name) if isinstance(servers, Mapping) else None
        command = server.get("command") if isinstance(server, Mapping) else None
        if not isinstance(server, Mapping) or not isinstance(command, str):
            continue
        arguments = server.get("args")
        listed = arguments if isinstance(arguments, list) else []
        started = (command, *map(str, listed))
        if is_wrapped(started, request.interpreter):
            continue
        program, *rest = wrapped(started, request.interpreter)
        for key, value in (("command", program), ("args", rest), (f"env.{NAME}", name)):
            words += ["-c", f"{SERVERS}.{name}.{key}={json.dumps(value)}"]
    last = max((number for number, word in enumerate(argv) if _server_of(_value(word))), default=0)
    return (*argv[: last + 1], *words, *argv[last + 1 :])


def _value(word: str) -> str:
    """The assignment in one word of a command line: it may be the option's word too."""
    for option in ("--config=", "-c"):
        if word.startswith(option):
            return word.removeprefix(option).removeprefix("=")
    return word


def _profiles(document: tomlkit.TOMLDocument) -> list[MutableMapping[str, object]]:
    profiles = document.get("profiles")
    return [one for one in profiles.values() if isinstance(one, MutableMapping)] if isinstance(profiles, dict) else []


def _server_of(assignment: str) -> str:
    """The server that an option is about."""
    key, *rest = assignment.partition("=")[0].split(".")
    return rest[0].strip().strip('"') if key.strip() == SERVERS and rest else ""
