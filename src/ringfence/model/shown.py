"""What a sandbox shows beside its workspace: things of the host, and files that exist nowhere else."""

from __future__ import annotations

import msgspec


class Bind(msgspec.Struct, frozen=True, kw_only=True):
    """Something of the host that is visible in the sandbox."""

    source: str
    target: str
    writable: bool = False
    required: bool = False
    """A sandbox without it is refused; else it is simply not there when the host has none."""


class PlacedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that exists inside the sandbox only, and is gone with it."""

    path: str
    content: bytes
    mode: int = 0o444
    """With the owner's write bit it belongs to the agent, which may change, replace or remove this copy; without, it
    cannot be changed."""
    made: bool = False
    """Whether its content was made for the sandbox, so that it may stand where the person's own file is denied. A copy
    of a file is as secret as that file."""
