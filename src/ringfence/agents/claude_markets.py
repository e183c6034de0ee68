"""Where the plugins of Claude Code lie: in its store, and in the folders of the markets that they came from.

Of a market on this machine Claude Code loads a plugin from the market's own folder, whatever lies in its store.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec

from ringfence.agents.agent import AgentRequest, Disk
from ringfence.agents.jsonc import JsonObject, as_object, plain_object


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the plugins that are in use."""

    roots: tuple[str, ...] = ()
    """The folders that they may be loaded from."""
    inline: tuple[tuple[str, object], ...] = ()
    """Servers that a market's list says itself, with the list's path."""


def plugin_places(folder: str, request: AgentRequest, disk: Disk) -> Places:
    """Those of installed plugins, and of those that settings turn on. `folder`: `~/.claude`."""
    plugins = os.path.join(folder, "plugins")
    installed = as_object(_read(os.path.join(plugins, "installed_plugins.json"), disk).get("plugins"))
    roots = [*_installed(installed)]
    named = {*installed, *_turned_on(folder, request, disk)}
    inline: list[tuple[str, object]] = []
    for market, known in _read(os.path.join(plugins, "known_marketplaces.json"), disk).items():
        place = as_object(known).get("installLocation")
        if isinstance(place, str):
            found = _of_market(market, place, named, disk)
            roots += found.roots
            inline += found.inline
    return Places(roots=tuple(dict.fromkeys(roots)), inline=tuple(inline))


def _installed(plugins: JsonObject) -> Iterator[str]:
    for entries in plugins.values():
        for entry in entries if isinstance(entries, list) else [entries]:
            path = as_object(entry).get("installPath")
            if isinstance(path, str):
                yield os.path.normpath(path)


def _turned_on(folder: str, request: AgentRequest, disk: Disk) -> Iterator[str]:
    places = [
        folder,
        *(os.path.join(here, ".claude") for here in {request.workspace, request.cwd or request.workspace}),
    ]
    for place in places:
        for name in ("settings.json", "settings.local.json"):
            yield from as_object(_read(os.path.join(place, name), disk).get("enabledPlugins"))


def _of_market(market: str, place: str, named: set[str], disk: Disk) -> Places:
    # A market is a folder, or the file of its list alone.
    alone = place.endswith(".json")
    path = place if alone else os.path.join(place, ".claude-plugin", "marketplace.json")
    values = _read(path, disk)
    base = as_object(values.get("metadata")).get("pluginRoot")
    top = os.path.dirname(os.path.dirname(place)) if alone else place
    listed = values.get("plugins")
    entries = [as_object(one) for one in listed] if isinstance(listed, list) else []
    used = [one for one in entries if f"{one.get('name')}@{market}" in named]
    sources = [source for one in used if isinstance(source := one.get("source"), str)]
    roots = [os.path.normpath(os.path.join(top, source)) for source in sources]
    if isinstance(base, str):
        roots += [os.path.normpath(os.path.join(top, base, source)) for source in sources]
    inline = [(path, one.get("mcpServers")) for one in used]
    return Places(roots=tuple(roots), inline=tuple(each for each in inline if each[1] is not None))


def _read(path: str, disk: Disk) -> JsonObject:
    try:
        return plain_object(disk.read_file(path))
    except ValueError:
        return {}  # Claude Code cannot read it either
