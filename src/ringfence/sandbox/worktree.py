"""Finds the repository of a linked Git working tree, whose `.git` is a file that leads elsewhere. Reads three small
files and believes none of them alone."""

from __future__ import annotations

import os

import msgspec

_LIMIT = 4096
GIT_FOLDER = ".git"


class Linked(msgspec.Struct, frozen=True, kw_only=True):
    """Where the repository of a linked working tree lies."""

    repository: str
    """The folder that all its working trees share."""
    own: str
    """The folder below it that is this working tree's."""


def linked(workspace: str) -> Linked | None:
    """The repository of a working tree, or None where it is not a linked one, or where the links do not agree."""
    # SECURITY: whoever can write `.git` could name any folder, and have it opened to the sandbox. The repository has
    # to name this working tree in return, from a folder at a fixed place below itself: who can write that, has the
    # repository already.
    text = first_line(os.path.join(workspace, ".git"))
    if not text.startswith("gitdir: "):
        return None
    own = os.path.realpath(os.path.join(workspace, text[len("gitdir: ") :]))
    worktrees, repository = os.path.dirname(own), os.path.dirname(os.path.dirname(own))
    named_back = first_line(os.path.join(own, "gitdir"))
    shared = first_line(os.path.join(own, "commondir"))
    agree = (
        os.path.basename(worktrees) == "worktrees"
        and named_back != ""
        and os.path.realpath(os.path.join(own, named_back)) == os.path.join(workspace, ".git")
        and shared != ""
        and os.path.realpath(os.path.join(own, shared)) == repository
        and all(os.path.exists(os.path.join(repository, name)) for name in ("HEAD", "objects", "refs"))
        and os.stat(repository).st_uid == os.getuid()
    )
    return Linked(repository=repository, own=own) if agree else None


def shared_by(workspace: str) -> Linked | None:
    """The repository of a linked working tree that lies in the usual place, the `.git` of another folder, and not in
    the workspace itself."""
    found = linked(workspace)
    if (
        found is None
        or os.path.basename(found.repository) != GIT_FOLDER
        or found.repository.startswith(f"{workspace}/")
    ):
        return None
    return found


def enclosing(workspace: str) -> str | None:
    """The working tree that a workspace is a part of, which is not visible inside."""
    folder = os.path.dirname(workspace)
    while folder != "/":
        if os.path.lexists(os.path.join(folder, ".git")):
            return folder
        folder = os.path.dirname(folder)
    return None


def first_line(path: str) -> str:
    """The first line of a small file, or nothing; a link at its place is not followed."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.fsdecode(os.read(file, _LIMIT)).partition("\n")[0]
    except OSError:
        return ""
    finally:
        os.close(file)
