"""The servers of tools that plugins of Copilot CLI start: behind our stand-in in private copies, or told of.

A plugin of a market on this machine is loaded from the market's own folder; any other lies in Copilot's store.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from ringfence.agents.agent import AgentRequest, Disk, UnseenServers
from ringfence.agents.jsonc import JsonObject, as_object, read_object
from ringfence.agents.server_copies import MOST, SERVERS, Wrapped, joined, left_unseen, wrapped_copy

_FILES = (
    *(".mcp.json", ".github/mcp.json", "plugin.json", ".claude-plugin/plugin.json", ".plugin/plugin.json"),
    ".github/plugin/plugin.json",
)
_LISTS = (
    *(".claude-plugin/marketplace.json", ".github/plugin/marketplace.json", ".plugin/marketplace.json"),
    "marketplace.json",
)
_OF_PROJECT = (".github/copilot/settings.json", ".github/copilot/settings.local.json", ".claude/settings.json")


def copilot_plugins(folder: str, request: AgentRequest, disk: Disk) -> Wrapped:
    """Those of all plugins that are in use. `folder`: the person's own, in which a copy can take a file's place."""
    store = os.path.join(folder, "installed-plugins")
    stored = [
        os.path.join(store, market, name)
        for market in disk.list_folder(store)
        for name in disk.list_folder(os.path.join(store, market))
    ]
    found = [plugin_servers(root, folder, request, disk) for root in stored[:MOST]]
    if len(stored) > MOST:
        found.append(Wrapped(unseen=(UnseenServers(where=store, why=f"only {MOST} plugins are looked at"),)))
    live = dict.fromkeys(_live(folder, request, disk))
    found += [plugin_servers(root, folder if root.startswith(f"{folder}/") else "", request, disk) for root in live]
    return joined(found)


def plugin_servers(root: str, folder: str, request: AgentRequest, disk: Disk) -> Wrapped:
    """The servers of one plugin. `folder`: the person's own, in which it lies; empty where it lies elsewhere."""
    paths = [os.path.join(root, name) for name in _FILES]
    for path in list(paths):
        said = _read(path, disk).get(SERVERS)
        listed = said if isinstance(said, list) else [said]
        paths += [os.path.normpath(os.path.join(root, one)) for one in listed if isinstance(one, str)]
    found = []
    for path in dict.fromkeys(paths):
        if folder and path.startswith(f"{root}/"):
            found.append(wrapped_copy(path, folder, request, disk))
        else:
            found.append(left_unseen(path, "it is a plugin that lies elsewhere", request, disk))
    return joined(found)


def _live(folder: str, request: AgentRequest, disk: Disk) -> Iterator[str]:
    """The folders of plugins that are loaded from where their market lies."""
    places = [os.path.join(folder, name) for name in ("settings.json", "config.json")]
    for here in dict.fromkeys((request.workspace, request.cwd or request.workspace)):
        places += [os.path.join(here, name) for name in _OF_PROJECT]
    settings = [_read(place, disk) for place in places]
    used = {name for one in settings for name in as_object(one.get("enabledPlugins"))}
    for one in settings:
        for market, known in as_object(one.get("extraKnownMarketplaces")).items():
            path = as_object(as_object(known).get("source")).get("path")
            if isinstance(path, str):
                top = os.path.normpath(os.path.join(request.cwd or request.workspace, os.path.expanduser(path)))
                yield from _listed(market, top, used, disk)


def _listed(market: str, top: str, used: set[str], disk: Disk) -> Iterator[str]:
    for name in _LISTS:
        entries = _read(os.path.join(top, name), disk).get("plugins")
        for entry in map(as_object, entries if isinstance(entries, list) else ()):
            source = entry.get("source")
            if isinstance(source, str) and f"{entry.get('name')}@{market}" in used:
                yield os.path.normpath(os.path.join(top, source))


def _read(path: str, disk: Disk) -> JsonObject:
    try:
        return read_object(disk.read_file(path))
    except ValueError:
        return {}  # a file with servers that cannot be read is told of where it is looked at
