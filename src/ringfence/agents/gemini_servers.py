"""The servers of tools that Gemini CLI starts: those of the person's settings and extensions behind our stand-in.

They are wrapped in private copies. A project's settings win over the person's, and the workspace is not ours to change;
what wins over both has to belong to the machine's root, who is nobody inside. So those of a project are told of.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import msgspec

from ringfence.agents.agent import AgentRequest, Disk, UnseenServers
from ringfence.agents.jsonc import JsonObject, read_object
from ringfence.agents.mcp_wrapping import started_unseen, wrap_servers, wrapped_anywhere
from ringfence.model.shown import PlacedFile

SERVERS = "mcpServers"
MOST = 500
"""How many extensions are looked at."""
MANIFEST = "gemini-extension.json"
_INSTALLED = ".gemini-extension-install.json"
"""Beside it: where an extension came from, or is."""


class Wrapped(msgspec.Struct, frozen=True, kw_only=True):
    """What a session does about the servers of files of settings."""

    copies: tuple[PlacedFile, ...] = ()
    unseen: tuple[UnseenServers, ...] = ()


def gemini_servers(request: AgentRequest, disk: Disk) -> Wrapped:
    """Those of its settings and extensions."""
    folder = os.path.join(request.home, ".gemini")
    extensions = os.path.join(folder, "extensions")
    names = disk.list_folder(extensions)
    found = [wrapped_copy(os.path.join(folder, "settings.json"), folder, request, disk)]
    found += [_extension(os.path.join(extensions, name), folder, request, disk) for name in names[:MOST]]
    found += [_of_project(path, request, disk) for path in _project_files(request)]
    if len(names) > MOST:
        found.append(Wrapped(unseen=(UnseenServers(where=extensions, why=f"only {MOST} extensions are looked at"),)))
    return joined(found)


def wrapped_copy(path: str, folder: str, request: AgentRequest, disk: Disk, prefix: str = "") -> Wrapped:
    """A private copy of one of the person's files, with its servers behind the stand-in. `folder`: what is shown."""
    try:
        values = read_object(disk.read_file(path))
    except ValueError as error:
        return Wrapped(unseen=(UnseenServers(where=path, why=f"it cannot be read: {error}"),))
    servers = _table(path, values)
    names = started_unseen(servers, request.interpreter, prefix)
    if not names:
        return Wrapped()
    # SECURITY: a link may lead to a file that is not to be seen inside, or out of what is shown of the folder.
    if any(map(disk.is_link, beneath(folder, path))):
        return Wrapped(unseen=(UnseenServers(where=path, why="it lies behind a link", names=names),))
    wrap_servers(servers, request, prefix, by=wrapped_anywhere)
    left = started_unseen(servers, request.interpreter, prefix)
    unseen = (UnseenServers(where=path, why="it is not known how they are started", names=left),) if left else ()
    copy = PlacedFile(path=path, content=json.dumps(values, indent=2).encode(), mode=0o600)
    return Wrapped(copies=(copy,), unseen=unseen)


def _table(path: str, values: JsonObject) -> object:
    """The servers of a file; one of this name may hold nothing else."""
    return values.get(SERVERS, values if os.path.basename(path) == ".mcp.json" else None)


def beneath(folder: str, path: str) -> Iterator[str]:
    """A path and the folders above it, down to one of them."""
    while path not in (folder, "/"):
        yield path
        path = os.path.dirname(path)


def joined(found: list[Wrapped]) -> Wrapped:
    """All of them as one."""
    copies = {copy.path: copy for one in found for copy in one.copies}
    unseen = dict.fromkeys(each for one in found for each in one.unseen)
    return Wrapped(copies=tuple(copies.values()), unseen=tuple(unseen))


def _extension(root: str, folder: str, request: AgentRequest, disk: Disk) -> Wrapped:
    try:
        installed = read_object(disk.read_file(os.path.join(root, _INSTALLED)))
    except ValueError as error:
        return Wrapped(unseen=(UnseenServers(where=root, why=f"where it lies cannot be read: {error}"),))
    source = installed.get("source")
    if installed.get("type") != "link" or not isinstance(source, str):
        return wrapped_copy(os.path.join(root, MANIFEST), folder, request, disk)
    return left_unseen(os.path.join(source, MANIFEST), "it is a linked extension", request, disk)


def _project_files(request: AgentRequest) -> Iterator[str]:
    for folder in dict.fromkeys((request.workspace, request.cwd or request.workspace)):
        if folder != request.home:
            yield os.path.join(folder, ".gemini", "settings.json")


def _of_project(path: str, request: AgentRequest, disk: Disk) -> Wrapped:
    if disk.exists(path) and any(map(disk.is_link, (path, os.path.dirname(path)))):
        return Wrapped(unseen=(UnseenServers(where=path, why="a link stands there"),))
    return left_unseen(path, "the workspace is not ours to change", request, disk)


def left_unseen(path: str, why: str, request: AgentRequest, disk: Disk) -> Wrapped:
    """The servers of a file that stays as it is."""
    try:
        names = started_unseen(_table(path, read_object(disk.read_file(path))), request.interpreter)
    except ValueError as error:
        return Wrapped(unseen=(UnseenServers(where=path, why=f"it cannot be read: {error}"),))
    return Wrapped(unseen=(UnseenServers(where=path, why=why, names=names),)) if names else Wrapped()
