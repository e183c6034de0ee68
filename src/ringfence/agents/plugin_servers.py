"""The servers of tools that plugins of an agent start: each behind our stand-in, or told of.

The files of a plugin are the person's own and stay as they are. Where the sandbox has mounts, one with its servers
behind the stand-in lies over each of them; where a file is not one that can be covered, its servers start unseen.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from ringfence.agents.agent import AgentRequest, Disk, UnseenServers
from ringfence.agents.agent_texts import texts_with_servers
from ringfence.agents.claude_markets import plugin_places
from ringfence.agents.jsonc import JsonObject, plain_object
from ringfence.agents.mcp_wrapping import started_unseen, wrap_servers
from ringfence.model.shown import PlacedFile

_SERVERS = "mcpServers"
_DEFAULT = ".mcp.json"
_OTHER = re.compile(r"[^A-Za-z0-9_-]")
"""What is a line in the names of tools."""
_DEEPEST = 4
"""Folders between the one of all plugins and a plugin: its market, its name, its version."""
_MOST = 500
"""How many folders are looked at, of each kind."""
_CLAUDE = ".claude-plugin/plugin.json"
_CODEX = ".codex-plugin/plugin.json"
_WORKSPACE = "the workspace is not ours to change"
_NAMED = "it is named on the command line"


class Plugins(msgspec.Struct, frozen=True, kw_only=True):
    """What a session does about the servers of plugins."""

    overlays: tuple[PlacedFile, ...] = ()
    unseen: tuple[UnseenServers, ...] = ()


class _Site(msgspec.Struct, frozen=True, kw_only=True):
    """Where plugins are found, and what can be done there."""

    request: AgentRequest
    disk: Disk
    manifest: str
    prefix: str = ""
    """What stands before the names of servers, with a place for the plugin's."""
    folder: str = ""
    """The agent's own, which is shown inside and whose files can be covered."""
    why: str = ""
    """Why nothing can be covered here."""


def claude_plugins(folder: str, request: AgentRequest, disk: Disk) -> Plugins:
    """Those of Claude Code's plugins. It calls a server `plugin_PLUGIN_SERVER`, and so do its hooks."""
    own = _Site(request=request, disk=disk, manifest=_CLAUDE, prefix="plugin_{}_", folder=folder)
    project = msgspec.structs.replace(own, folder="", why=_WORKSPACE)
    named = msgspec.structs.replace(project, why=_NAMED)
    places = plugin_places(folder, request, disk)
    found = [_of_plugin(root, own) for root in places.roots]
    found += [_of_list(path, said, own) for path, said in places.inline]
    found += _skills(os.path.join(folder, "skills"), own)
    for here in dict.fromkeys((request.workspace, request.cwd or request.workspace)):
        found += _skills(os.path.join(here, ".claude", "skills"), project)
        found.append(_agents(os.path.join(here, ".claude", "agents"), disk))
    found.append(_agents(os.path.join(folder, "agents"), disk))
    for path in _on_command_line(request.argv, "--plugin-dir"):
        found += _directory(path, named)
    found += [_told(url, "it is fetched at the start") for url in _on_command_line(request.argv, "--plugin-url")]
    found += [_told("--agents", _NAMED) for one in _on_command_line(request.argv, "--agents") if _SERVERS in one]
    return _joined(found)


def codex_plugins(folder: str, request: AgentRequest, disk: Disk) -> Plugins:
    """Those of Codex's plugins, whose servers have their own names."""
    site = _Site(request=request, disk=disk, manifest=_CODEX, folder=folder)
    plugins = os.path.join(folder, "plugins")
    roots, whole = _below(plugins, ".codex-plugin", disk)
    return _joined([*(_of_plugin(root, site) for root in roots), *([] if whole else [_too_many(plugins)])])


def _of_plugin(root: str, site: _Site) -> Plugins:
    manifest = os.path.join(root, site.manifest)
    values = _read(site.disk.read_file(manifest))
    name = values.get("name")
    prefix = site.prefix.format(_OTHER.sub("_", name if isinstance(name, str) else os.path.basename(root)))
    said = values.get(_SERVERS)
    paths = [os.path.join(root, _DEFAULT), manifest]
    found = []
    for one in said if isinstance(said, list) else [said]:
        if not isinstance(one, str):
            continue
        path = os.path.normpath(os.path.join(root, one))
        if path.startswith(f"{root}/") and path.endswith(".json"):
            paths.append(path)
        else:
            found.append(_told(one if "://" in one else path, "it is no file of the plugin that lists servers"))
    return _joined([*(_of_file(path, prefix, site) for path in dict.fromkeys(paths)), *found])


def _of_file(path: str, prefix: str, site: _Site) -> Plugins:
    """A file with its servers behind the stand-in, to lie over the one that is there; or what is left unseen."""
    content = site.disk.read_file(path)
    if content is None:
        return _told(path, "it cannot be read") if site.disk.exists(path) else Plugins()
    values = _read(content)
    tables = [values.get(_SERVERS, values if path.endswith(_DEFAULT) else None)]
    listed = tables[0]
    tables = [*listed] if isinstance(listed, list) else tables
    names = [name for table in tables for name in started_unseen(table, site.request.interpreter, prefix)]
    if not names:
        return Plugins()
    if why := _uncovered(path, site):
        return _told(path, why, names)
    for table in tables:
        wrap_servers(table, site.request, prefix)
    left = [name for table in tables for name in started_unseen(table, site.request.interpreter, prefix)]
    flat = UnseenServers(
        where=path, why="this sandbox has no mounts", names=tuple(_without(names, left)), behind_mounts=True
    )
    ours = PlacedFile(path=path, content=json.dumps(values, indent=2).encode(), mode=0o444)
    unseen = _told(path, "it is not known how they are started", left).unseen if left else ()
    return Plugins(overlays=(ours,), unseen=(flat, *unseen))


def _of_list(path: str, said: object, site: _Site) -> Plugins:
    """The servers that a market's list says of a plugin."""
    names = started_unseen(said, site.request.interpreter)
    told = names or not isinstance(said, Mapping)
    return _told(path, "the list of a market says them", names) if told else Plugins()


def _uncovered(path: str, site: _Site) -> str:
    """Why nothing of ours can lie over a file; empty where it can."""
    if site.why:
        return site.why
    if not path.startswith(f"{site.folder}/"):
        return "it lies outside of the agent's own folder"
    # SECURITY: a link may lead to a file that is not to be seen inside, or out of what is shown of the folder.
    return "it lies behind a link" if any(map(site.disk.is_link, _beneath(site.folder, path))) else ""


def _without(names: Iterable[str], left: Iterable[str]) -> Iterator[str]:
    others = set(left)
    return (name for name in names if name not in others)


def _skills(folder: str, site: _Site) -> list[Plugins]:
    """Folders of skills that are plugins too, because they have a manifest."""
    names = site.disk.list_folder(folder)
    roots = [os.path.join(folder, name) for name in names[:_MOST] if not name.startswith(".")]
    found = [_of_plugin(root, site) for root in roots if site.disk.exists(os.path.join(root, site.manifest))]
    return [*found, *([_too_many(folder)] if len(names) > _MOST else [])]


def _directory(named: str, site: _Site) -> list[Plugins]:
    """A plugin that the command line names, or a folder of such."""
    path = os.path.normpath(os.path.join(site.request.cwd or site.request.workspace, named))
    names = site.disk.list_folder(path)
    if not names:
        return [_told(named, "it is no folder that can be looked into")] if named else []
    if os.path.dirname(site.manifest) in names or _DEFAULT in names:
        return [_of_plugin(path, site)]
    found = [_of_plugin(os.path.join(path, name), site) for name in names[:_MOST] if not name.startswith(".")]
    return [*found, *([_too_many(path)] if len(names) > _MOST else [])]


def _agents(folder: str, disk: Disk) -> Plugins:
    return Plugins(unseen=tuple(texts_with_servers(folder, disk)))


def _below(folder: str, marker: str, disk: Disk) -> tuple[list[str], bool]:
    """The folders that have one of that name, as far down as plugins lie, and whether all were looked at."""
    waiting, seen, found = [(folder, 0)], 0, []
    while waiting and seen < _MOST:
        here, depth = waiting.pop()
        seen += 1
        names = disk.list_folder(here)
        if marker in names:
            found.append(here)
        elif depth < _DEEPEST:
            waiting += [(os.path.join(here, name), depth + 1) for name in names if not name.startswith(".")]
    return found, not waiting


def _on_command_line(argv: tuple[str, ...], option: str) -> Iterator[str]:
    words = iter(argv)
    for word in words:
        if word == "--":
            return
        if word == option:
            yield next(words, "")
        elif word.startswith(f"{option}="):
            yield word.removeprefix(f"{option}=")


def _beneath(folder: str, path: str) -> Iterator[str]:
    while path != folder and path != "/":
        yield path
        path = os.path.dirname(path)


def _told(where: str, why: str, names: Iterable[str] = ()) -> Plugins:
    return Plugins(unseen=(UnseenServers(where=where, why=why, names=tuple(names)),))


def _too_many(folder: str) -> Plugins:
    return _told(folder, f"there are more than the {_MOST} folders that are looked at")


def _joined(found: Iterable[Plugins]) -> Plugins:
    every = tuple(found)
    overlays = {file.path: file for one in every for file in one.overlays}
    unseen = dict.fromkeys(each for one in every for each in one.unseen)
    return Plugins(overlays=tuple(overlays.values()), unseen=tuple(unseen))


def _read(content: bytes | None) -> JsonObject:
    try:
        return plain_object(content)
    except ValueError:
        return {}  # the agent cannot read it either
