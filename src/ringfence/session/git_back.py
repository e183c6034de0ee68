"""At a session's end: what Git wrote in private copies comes back into the real repository, as far as it may."""

from __future__ import annotations

import os

from ringfence.model.display import shortened, visible
from ringfence.model.situations import UsageInvalid
from ringfence.sandbox.git_private import PrivateGit
from ringfence.session.snapshots import Snapshots, SnapshotsBroken
from ringfence.workspace.branches import branches
from ringfence.workspace.git_back import KeptOut, bring_repositories, bring_settings
from ringfence.workspace.git_state import Role, below_git, role

_TOLD = 5


def bring_back(private: PrivateGit, snapshots: Snapshots, session: str) -> tuple[str, ...]:
    """Bring everything back; what has to be told about what did not."""
    kept_out = list[KeptOut]()
    for each in private.folders:
        top, path = _place(each.path, snapshots.workspace)
        kept_out += bring_repositories(top, path, each.copy, each.kept)
    for one in private.settings:
        top, path = _place(one.path, snapshots.workspace)
        known = _branches(snapshots, session, path.rpartition(b"/")[0], inside=top == snapshots.workspace)
        kept_out += bring_settings(top, path, one.copy, one.start, branches=known)
    told = [
        f"`{_shown(one.what)}` in `{_shown(one.where)}` did not reach the real repository: {one.why}"
        for one in kept_out
    ]
    more = (f"{len(told) - _TOLD} more did not",) if len(told) > _TOLD else ()
    return (*told[:_TOLD], *more)


def is_brought_back(path: bytes) -> bool:
    """Whether a path is among those that a session changes in a private copy only."""
    rest = below_git(path)
    if rest is None or not path.startswith(b".git/"):
        return False
    return role(rest) is Role.SETTINGS or rest.startswith((b"modules/", b"worktrees/"))


def _place(path: str, workspace: str) -> tuple[str, bytes]:
    """A folder to start from, and the rest of a path: a repository that lies elsewhere starts at its own folder."""
    if path.startswith(workspace + "/"):
        return workspace, os.fsencode(os.path.relpath(path, workspace))
    return os.path.dirname(path), os.fsencode(os.path.basename(path))


def _branches(snapshots: Snapshots, session: str, repository: bytes, *, inside: bool) -> frozenset[str] | None:
    if not inside:
        return None
    try:
        with snapshots.store() as store:
            return branches(store.entries(snapshots.start_of(store, session)), store, repository)
    except (SnapshotsBroken, UsageInvalid):
        # Somebody removed it while the session ran.
        return None


def _shown(text: str) -> str:
    return shortened(visible(text), 80)
