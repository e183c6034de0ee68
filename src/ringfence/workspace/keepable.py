"""Whether a snapshot holds all that a Git command loses: only of the repository at the top of the workspace.

A linked working tree has its branches and stashes elsewhere; a repository in a folder that Git ignores is not kept.
"""

from __future__ import annotations

import os
import stat


def not_kept(workspace: str, folders: tuple[str, ...], left_out: frozenset[bytes]) -> str:
    """Why what Git loses in these folders is not in a snapshot of the workspace; empty where it is.

    `left_out`: relative paths that a snapshot leaves out.
    """
    git = os.path.join(workspace, ".git")
    try:
        if not stat.S_ISDIR(os.lstat(git).st_mode):
            return "the workspace's repository lies elsewhere"
        if _is_linked(git):
            return "the workspace's repository lies elsewhere"
        if any(name.startswith("sharedindex.") for name in os.listdir(git)):
            return "Git's index is split"
    except OSError as error:
        return f"the workspace's repository cannot be read: {(error.strerror or str(error)).lower()}"
    return next(filter(None, (_of_folder(workspace, folder, left_out) for folder in folders)), "")


def _is_linked(git: str) -> bool:
    """Whether Git finds the branches elsewhere. The place holder of a session says that they are here."""
    try:
        descriptor = os.open(os.path.join(git, "commondir"), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    with open(descriptor, "rb") as stream:
        return stream.read(16).strip() not in {b"", b"."}


def _of_folder(workspace: str, folder: str, left_out: frozenset[bytes]) -> str:
    path = os.path.normpath(folder)
    if path != workspace and not path.startswith(f"{workspace}/"):
        return "it runs beyond the workspace"
    if os.path.realpath(path) != path:
        return "a link leads to the folder in which it runs"
    while path != workspace:
        if os.fsencode(os.path.relpath(path, workspace)) in left_out:
            return "the folder in which it runs is ignored by Git, and not kept"
        if os.path.lexists(os.path.join(path, ".git")):
            return "it works on a repository within the workspace"
        path = os.path.dirname(path)
    return ""
