"""The servers of tools that plugins and extensions of an agent start: each behind our stand-in.

The files of a plugin are the person's own and stay as they are. Where the sandbox has mounts, one with its servers
behind the stand-in lies over each of them; where a file is not one that can be covered, a notice says so.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from ringfence.agents.agent import AgentRequest, Disk
from ringfence.agents.mcp_wrapping import wrap_servers
from ringfence.model.shown import PlacedFile

_SERVERS = "mcpServers"
_DEFAULT = ".mcp.json"
_OTHER = re.compile(r"[^A-Za-z0-9_-]")
"""What is a line in the names of tools."""
_DEEPEST = 4
"""Folders between the one of all plugins and a plugin: its market, its name, its version."""
_MOST = 500


class Plugins(msgspec.Struct, frozen=True, kw_only=True):
    """What a session does about the servers of plugins."""

    overlays: tuple[PlacedFile, ...] = ()
    notices: tuple[str, ...] = ()


def claude_plugins(folder: str, request: AgentRequest, disk: Disk) -> Plugins:
    """Those of Claude Code's plugins. It calls a server `plugin_PLUGIN_SERVER`, and so do its hooks."""
    roots = dict.fromkeys(_installed(os.path.join(folder, "plugins"), disk))
    found = [_of_plugin(root, ".claude-plugin/plugin.json", "plugin_{}_", folder, request, disk) for root in roots]
    here = tuple(_on_command_line(request.argv, "--plugin-dir"))
    told = (
        f"servers of tools that the plugin in `{shown}` starts are not seen by Ringfence; its sandbox holds them"
        for shown in here
    )
    return _joined([*found, Plugins(notices=tuple(told))])


def codex_plugins(folder: str, request: AgentRequest, disk: Disk) -> Plugins:
    """Those of Codex's plugins, whose servers have their own names."""
    roots = _below(os.path.join(folder, "plugins"), ".codex-plugin", disk)
    return _joined([_of_plugin(root, ".codex-plugin/plugin.json", "", folder, request, disk) for root in roots])


def gemini_servers(folder: str, request: AgentRequest, disk: Disk) -> Plugins:
    """Those of Gemini's settings and extensions."""
    extensions = os.path.join(folder, "extensions")
    paths = [os.path.join(folder, "settings.json")]
    paths += [os.path.join(extensions, name, "gemini-extension.json") for name in disk.list_folder(extensions)[:_MOST]]
    return _joined([_covered(path, "", folder, request, disk) for path in paths])


def _of_plugin(root: str, manifest: str, prefix: str, folder: str, request: AgentRequest, disk: Disk) -> Plugins:
    values = _read(disk.read_file(os.path.join(root, manifest)))
    name = values.get("name")
    prefix = prefix.format(_OTHER.sub("_", name if isinstance(name, str) else os.path.basename(root)))
    said = values.get(_SERVERS)
    listed = said if isinstance(said, list) else [said]
    paths = [os.path.join(root, _DEFAULT), *([os.path.join(root, manifest)] if isinstance(said, dict) else [])]
    unseen = []
    for one in listed:
        if not isinstance(one, str):
            continue
        path = os.path.normpath(os.path.join(root, one))
        if path.startswith(f"{root}/") and path.endswith(".json"):
            paths.append(path)
        else:
            unseen.append(_unseen(one))
    return _joined(
        [
            *(_covered(path, prefix, folder, request, disk) for path in dict.fromkeys(paths)),
            Plugins(notices=tuple(unseen)),
        ]
    )


def _covered(path: str, prefix: str, folder: str, request: AgentRequest, disk: Disk) -> Plugins:
    """A file with its servers behind the stand-in, to lie over the one that is there."""
    content = disk.read_file(path)
    values = _read(content)
    if not values and content is not None and _SERVERS.encode() in content:
        return Plugins(notices=(_unseen(path),))  # with comments, as Gemini's settings may have: it can read them
    servers = values.get(_SERVERS, values if path.endswith(_DEFAULT) else None)
    if not wrap_servers(servers, request, prefix):
        return Plugins()
    # SECURITY: a link may lead to a file that is not to be seen inside, or out of what is shown of the folder.
    if not path.startswith(f"{folder}/") or any(map(disk.is_link, _beneath(folder, path))):
        return Plugins(notices=(_unseen(path),))
    ours = json.dumps(values, indent=2).encode()
    return Plugins(overlays=(PlacedFile(path=path, content=ours, mode=0o444),))


def _installed(folder: str, disk: Disk) -> Iterator[str]:
    """Where plugins are, by Claude Code's list of them."""
    listed = _read(disk.read_file(os.path.join(folder, "installed_plugins.json"))).get("plugins")
    for entries in listed.values() if isinstance(listed, Mapping) else ():
        for entry in entries if isinstance(entries, list) else [entries]:
            path = entry.get("installPath") if isinstance(entry, Mapping) else None
            if isinstance(path, str):
                yield os.path.normpath(path)


def _below(folder: str, marker: str, disk: Disk) -> Iterator[str]:
    """The folders that have one of that name, as far down as plugins lie."""
    waiting, seen = [(folder, 0)], 0
    while waiting and seen < _MOST:
        here, depth = waiting.pop()
        seen += 1
        names = disk.list_folder(here)
        if marker in names:
            yield here
        elif depth < _DEEPEST:
            waiting += [(os.path.join(here, name), depth + 1) for name in names if not name.startswith(".")]


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


def _joined(found: Iterable[Plugins]) -> Plugins:
    every = tuple(found)
    overlays = {file.path: file for one in every for file in one.overlays}
    notices = dict.fromkeys(notice for one in every for notice in one.notices)
    return Plugins(overlays=tuple(overlays.values()), notices=tuple(notices))


def _unseen(where: str) -> str:
    return f"servers of tools that `{where}` starts are not seen by Ringfence; its sandbox holds them"


def _read(content: bytes | None) -> dict[str, object]:
    try:
        value = json.loads(content or b"{}")
    except ValueError:
        return {}
    return dict(value) if isinstance(value, dict) else {}
