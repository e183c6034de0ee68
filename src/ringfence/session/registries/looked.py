"""What a package manager's settings say about where it fetches from."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from ringfence.model.host import parse_host

_PORTS = {"https": 443, "http": 80}


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """One address that a package manager fetches from, and who says so."""

    url: str
    """Without a user and password, which never go further than this."""
    host: str
    """`host:port`."""
    where: str
    """`file`, `$VARIABLE`, or the program whose own default it is."""
    trusted: bool = True
    """False for what stands in the workspace: whoever wrote the repository wrote it."""
    role: str = "index"
    """`index`: it takes the place of the default. `extra`: beside it. `files`: an index links to it."""
    scope: str = ""
    """For an npm registry of some packages only: `@scope:registry`."""
    private: bool = True
    """Whether it may lie in one's own network; files only where the index that links to them does."""


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What was found for one package manager."""

    name: str
    places: tuple[Place, ...] = ()
    installed: bool = True
    problem: str = ""
    """What could not be found out, and what to do."""


def place(
    url: str, where: str, *, role: str = "index", trusted: bool = True, scope: str = "", private: bool = True
) -> Place | None:
    """The place that a setting names; nothing for a folder, an unset variable or what is no address."""
    text = url.strip().strip("\"'").removeprefix("sparse+").removeprefix("registry+")
    try:
        parts = urlsplit(text)
        port = parts.port
        if parts.scheme not in _PORTS or not parts.hostname:
            return None
        host = parse_host(parts.hostname)
    except ValueError:
        return None
    name = f"[{host.name}]" if ":" in host.name else host.name
    number = port if port is not None else _PORTS[parts.scheme]
    shown = f"{parts.scheme}://{name}{'' if port is None else f':{port}'}{parts.path}"
    return Place(
        url=shown, host=f"{name}:{number}", where=where, role=role, trusted=trusted, scope=scope, private=private
    )
