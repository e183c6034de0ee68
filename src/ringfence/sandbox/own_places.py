"""Keeps Ringfence's own files out of reach where they lie in something that is visible inside: policy, record and keys
are hidden, the program is read-only, and no folder above them can be renamed to put another in their place."""

from __future__ import annotations

import os

import msgspec

from ringfence.model.shown import Bind
from ringfence.model.situations import SandboxUnavailable
from ringfence.sandbox.links import Links
from ringfence.sandbox.plan import covers


class OwnPlaces(msgspec.Struct, frozen=True, kw_only=True):
    """What the mounts have to do for our own files; all paths absolute."""

    pinned: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def own_places(own: tuple[str, ...], program: tuple[str, ...], binds: tuple[Bind, ...]) -> OwnPlaces:
    """`own`: the folders of policy and record. `program`: the files and folders that this program runs from."""
    writable = tuple(bind.target for bind in binds if bind.writable)
    visible = tuple(bind.target for bind in binds)
    pinned: dict[str, None] = {}
    masked: list[str] = []
    for path in own:
        real, bent = _resolve(path, writable)
        if bent:
            raise SandboxUnavailable(
                f"`{path}`, where Ringfence keeps its own files, is reached through a link that the agent can write",
                remedy=f"remove the link `{bent[0]}`, or choose another workspace",
            )
        if _holders(real, writable):
            # SECURITY: what is missing would be made inside: a policy for the next session, a list of trusted projects.
            os.makedirs(real, mode=0o700, exist_ok=True)
            pinned |= dict.fromkeys(_above(real, writable))
        if _holders(real, visible) and os.path.lexists(real):
            masked.append(real)
    read_only, notices = _program(program, writable, pinned)
    return OwnPlaces(
        pinned=tuple(sorted(pinned)), read_only=read_only, masked=tuple(masked), notices=notices
    )  # sorted, so that the outermost comes first


def _program(
    program: tuple[str, ...], writable: tuple[str, ...], pinned: dict[str, None]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    # SECURITY: this program is imported piece by piece, by the session and by the ledger's writer at its very end. What
    # the agent could change of it would run outside.
    read_only: dict[str, None] = {}
    for path in program:
        real, bent = _resolve(path, writable)
        for each in (*bent, *((real,) if _holders(real, writable) else ())):
            read_only[each] = None
            pinned |= dict.fromkeys(_above(each, writable))
        inner = next((folder for folder in writable if covers(real, folder)), None)
        if inner is not None:
            raise SandboxUnavailable(
                f"Ringfence itself is installed around `{inner}`, which the agent would be able to change",
                remedy="install Ringfence in an environment of its own, outside of the projects it guards",
            )
    outermost = tuple(each for each in sorted(read_only) if not any(o != each and covers(o, each) for o in read_only))
    named = ", ".join(f"`{each}`" for each in outermost[:3])
    text = f"Ringfence itself is installed where the agent can write, so this is read-only inside: {named}"
    return outermost, (f"{text}; an environment of its own would avoid that",) if outermost else ()


def _resolve(path: str, writable: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Where a path leads, and the links on the way that lie where the agent can write."""
    links = Links()
    real = links.real(path)
    return real, tuple(link for link in links.found if _holders(link, writable))


def _holders(path: str, folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(folder for folder in folders if covers(folder, path))


def _above(path: str, writable: tuple[str, ...]) -> list[str]:
    """The folders between a writable bind and a path in it."""
    found, folder = [], os.path.dirname(path)
    while _holders(folder, writable) and folder not in writable:
        found.append(folder)
        folder = os.path.dirname(folder)
    return found
