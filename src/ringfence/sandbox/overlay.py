"""Lays a staged workspace out on the host: where its changes go, and what lies under it for the time of a session.

Refuses what an overlay of this user cannot be put over, with the reason. The mount itself is made inside.
"""

from __future__ import annotations

import errno
import os
import re

import msgspec

from ringfence.model.display import visible
from ringfence.model.situations import SandboxUnavailable
from ringfence.sandbox.plan import covers
from ringfence.sandbox.stubs import Stub
from ringfence.sandbox.syscalls import open_beneath, open_plain

_REMEDY = "run with `--direct`, where changes go straight to the workspace and control files are protected"
_MARK = "user.overlay.opaque"
"""The attribute by which an overlay of a user's says that a folder replaces the one below it."""
_ESCAPED = re.compile(rb"\\([0-3][0-7]{2})")
"""How the kernel writes blanks, tabs, newlines and backslashes in the names of mounts."""


class Overlay(msgspec.Struct, frozen=True, kw_only=True):
    """The folders of one overlay; all absolute."""

    covered: str
    """The workspace, or the repository that it shares."""
    upper: str
    """Where everything goes that the session writes."""
    work: str
    holders: str
    """The lowest layer: place holders of control files that are missing."""


def prepare(folder: str, workspace: str, *, below: str = "") -> Overlay:
    """Make the folders of an overlay over a workspace, or over what it shares; `SandboxUnavailable` where there cannot
    be one. `below`: the name of the folder in the upper layer that stands for it."""
    inner = _mount_below(workspace)
    if inner is not None:
        raise SandboxUnavailable(
            f"the workspace cannot be staged: `{visible(inner)}` is mounted in it, and an overlay would not show it",
            remedy=_REMEDY,
        )
    made = Overlay(
        covered=workspace,
        upper=f"{folder}/upper/{below}".rstrip("/"),
        work=f"{folder}/work",
        holders=f"{folder}/place-holders",
    )
    try:
        for each in (made.upper, made.work, made.holders):
            os.makedirs(each, mode=0o700, exist_ok=True)
        status = os.stat(workspace)
        # What the overlay's top looks like is taken from its upper layer.
        os.chmod(made.upper, status.st_mode & 0o777)
        os.setxattr(made.work, _MARK, b"y")
        os.removexattr(made.work, _MARK)
    except OSError as error:
        why = "its file system keeps no attributes" if error.errno == errno.ENOTSUP else (error.strerror or str(error))
        raise SandboxUnavailable(
            f"the workspace cannot be staged: changes cannot be kept in `{folder}`: {why.lower()}", remedy=_REMEDY
        ) from error
    return made


def place_holders(overlays: tuple[Overlay, ...], wanted: tuple[Stub, ...]) -> tuple[Stub, ...]:
    """Make place holders in the lowest layers, so that nothing of them is ever on the host's own trees."""
    return tuple(stub for each in overlays for stub in _held(each, wanted))


def _held(overlay: Overlay, wanted: tuple[Stub, ...]) -> tuple[Stub, ...]:
    made = []
    root = open_plain(overlay.holders, os.O_PATH | os.O_DIRECTORY)
    try:
        for stub in wanted:
            # One that lies in a folder which the workspace shares with other trees is none of this overlay's.
            if stub.workspace != overlay.covered and not covers(overlay.covered, stub.workspace):
                continue
            name = os.path.relpath(f"{stub.workspace}/{stub.name}", overlay.covered)
            _make(root, name, stub.content)
            made.append(stub)
    finally:
        os.close(root)
    return tuple(made)


def _make(root: int, name: str, content: str | None) -> None:
    above = ""
    for part in name.split("/")[:-1]:
        above = f"{above}/{part}" if above else part
        _mkdir(root, above)
    if content is None:
        _mkdir(root, name)
        return
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=root)
    with os.fdopen(file, "w") as writer:
        writer.write(content)


def _mkdir(root: int, name: str) -> None:
    try:
        os.mkdir(name, 0o755, dir_fd=root)
    except FileExistsError:
        os.close(open_beneath(root, name, os.O_PATH | os.O_DIRECTORY))


def _mount_below(workspace: str) -> str | None:
    """The first mount that lies in a folder."""
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            fields = line.split(b" ")
            point = os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), fields[4]))
            if point != workspace and covers(workspace, point):
                return point
    return None
