"""The servers of tools that Gemini CLI starts: those of the person's settings and extensions behind our stand-in.

They are wrapped in private copies. A project's settings win over the person's, and the workspace is not ours to change;
what wins over both has to belong to the machine's root, who is nobody inside. So those of a project are told of.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from ringfence.agents.agent import AgentRequest, Disk, UnseenServers
from ringfence.agents.agent_texts import texts_with_servers
from ringfence.agents.jsonc import read_object
from ringfence.agents.server_copies import MOST, Wrapped, joined, left_unseen, wrapped_copy

MANIFEST = "gemini-extension.json"
_INSTALLED = ".gemini-extension-install.json"
"""Beside it: where an extension came from, or is."""


def gemini_servers(request: AgentRequest, disk: Disk) -> Wrapped:
    """Those of its settings and extensions."""
    folder = os.path.join(request.home, ".gemini")
    extensions = os.path.join(folder, "extensions")
    names = disk.list_folder(extensions)
    found = [wrapped_copy(os.path.join(folder, "settings.json"), folder, request, disk)]
    found += [_extension(os.path.join(extensions, name), folder, request, disk) for name in names[:MOST]]
    found += [_of_project(path, request, disk) for path in _project_files(request)]
    places = [folder, *map(os.path.dirname, _project_files(request))]
    places += [os.path.join(extensions, name) for name in names[:MOST]]
    texts = [each for place in places for each in texts_with_servers(os.path.join(place, "agents"), disk)]
    found.append(Wrapped(unseen=tuple(texts)))
    if len(names) > MOST:
        found.append(Wrapped(unseen=(UnseenServers(where=extensions, why=f"only {MOST} extensions are looked at"),)))
    return joined(found)


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
