"""Private copies of settings with the servers of tools behind our stand-in, in the place of the person's own files.

They work wherever an agent looks for its settings below HOME, with mounts or without. What no copy can take the place
of is named, with the reason.
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
"""How many extensions or plugins are looked at."""


class Wrapped(msgspec.Struct, frozen=True, kw_only=True):
    """What a session does about the servers of files of settings."""

    copies: tuple[PlacedFile, ...] = ()
    unseen: tuple[UnseenServers, ...] = ()


def settings_in(path: str, disk: Disk) -> JsonObject:
    """What a file of settings says; nothing where there is none. `ValueError` with the reason where it is not known."""
    content = disk.read_file(path)
    if content is None and disk.exists(path):
        raise ValueError("it is no file that can be read, or too large")
    return read_object(content)


def wrapped_copy(path: str, folder: str, request: AgentRequest, disk: Disk, prefix: str = "") -> Wrapped:
    """A private copy of one of the person's files, with its servers behind the stand-in. `folder`: what is shown."""
    try:
        values = settings_in(path, disk)
    except ValueError as error:
        return Wrapped(unseen=(UnseenServers(where=path, why=f"it cannot be read: {error}"),))
    servers = _table(path, values)
    names = started_unseen(servers, request.interpreter, prefix)
    if not names:
        return Wrapped()
    # SECURITY: a link may lead to a file that is not to be seen inside, or out of what is shown of the folder.
    if any(map(disk.is_link, _beneath(folder, path))):
        return Wrapped(unseen=(UnseenServers(where=path, why="it lies behind a link", names=names),))
    wrap_servers(servers, request, prefix, by=wrapped_anywhere)
    left = started_unseen(servers, request.interpreter, prefix)
    unseen = (UnseenServers(where=path, why="it is not known how they are started", names=left),) if left else ()
    copy = PlacedFile(path=path, content=json.dumps(values, indent=2).encode(), mode=0o600)
    return Wrapped(copies=(copy,), unseen=unseen)


def _table(path: str, values: JsonObject) -> object:
    """The servers of a file; one of this name may hold nothing else."""
    return values.get(SERVERS, values if os.path.basename(path) == ".mcp.json" else None)


def _beneath(folder: str, path: str) -> Iterator[str]:
    """A path and the folders above it, down to one of them."""
    while path not in (folder, "/"):
        yield path
        path = os.path.dirname(path)


def joined(found: list[Wrapped]) -> Wrapped:
    """All of them as one."""
    copies = {copy.path: copy for one in found for copy in one.copies}
    unseen = dict.fromkeys(each for one in found for each in one.unseen)
    return Wrapped(copies=tuple(copies.values()), unseen=tuple(unseen))


def left_unseen(path: str, why: str, request: AgentRequest, disk: Disk) -> Wrapped:
    """The servers of a file that stays as it is."""
    try:
        names = started_unseen(_table(path, settings_in(path, disk)), request.interpreter)
    except ValueError as error:
        return Wrapped(unseen=(UnseenServers(where=path, why=f"it cannot be read: {error}"),))
    return Wrapped(unseen=(UnseenServers(where=path, why=why, names=names),)) if names else Wrapped()


def beside(path: str, placed: frozenset[str], disk: Disk) -> Iterator[str]:
    """What is visible of a folder in which private files stand: all that lies beside them."""
    if path in placed:
        return
    if not any(copy.startswith(f"{path}/") for copy in placed):
        yield path
        return
    for name in disk.list_folder(path):
        yield from beside(os.path.join(path, name), placed, disk)
