"""Which folder a session works in.

The one that was named, else the Git top level of the working directory, else the working directory itself.
"""

from __future__ import annotations

import os

from ringfence.model.display import visible
from ringfence.model.situations import SandboxUnavailable


def find_workspace(named: str | None, cwd: str, home: str) -> str:
    """The absolute, resolved workspace; `SandboxUnavailable` for one that would open more than a project."""
    workspace = os.path.realpath(os.path.join(cwd, named)) if named else _git_top_level(cwd, home)
    try:
        workspace.encode()
    except UnicodeEncodeError:
        raise SandboxUnavailable(
            f"the name of the workspace `{visible(workspace)}` is not UTF-8", remedy="rename the folder"
        ) from None
    try:
        os.stat(workspace)
    except FileNotFoundError:
        raise SandboxUnavailable(
            f"the workspace `{visible(workspace)}` does not exist", remedy="name an existing folder"
        ) from None
    except OSError as failure:
        raise SandboxUnavailable(
            f"the workspace `{visible(workspace)}` cannot be looked at: {(failure.strerror or str(failure)).lower()}",
            remedy="mount it again if it is on a mount, and see that you can list it",
        ) from failure
    if not os.path.isdir(workspace):
        raise SandboxUnavailable(f"the workspace `{named}` is not a folder", remedy="name a folder with `--workspace`")
    real_home = os.path.realpath(home)
    if workspace == "/" or real_home == workspace or real_home.startswith(workspace.rstrip("/") + "/"):
        what = "your home folder" if workspace == real_home else f"`{workspace}`, which holds your home folder"
        what = "the root folder" if workspace == "/" else what
        raise SandboxUnavailable(
            f"the workspace would be {what}: everything below it would be writable for the agent",
            remedy="change into a project folder, or name one with `--workspace`",
        )
    return workspace


def _git_top_level(cwd: str, home: str) -> str:
    """The nearest folder that holds a repository, not looking at HOME and above: dotfiles are often kept there."""
    here = os.path.realpath(cwd)
    folder = here
    while folder not in {"/", os.path.realpath(home)}:
        if os.path.lexists(os.path.join(folder, ".git")):
            return folder
        folder = os.path.dirname(folder)
    return here
