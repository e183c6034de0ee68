"""The person's variables for what Ringfence itself starts outside the sandbox: none of them leads into the workspace.

SECURITY: people work with `.venv/bin` on PATH and `PYTHONPATH` at their sources. What an agent writes there would run
outside, as `tar`, as the interpreter of a credential helper, or as a module that one imports.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from ringfence.sandbox.plan import covers


def outside_environment(environ: Mapping[str, str], workspace: str) -> dict[str, str]:
    """PATH without relative folders and those of the workspace; and no other variable that names anything there."""
    found = {
        name: value
        for name, value in environ.items()
        if name == "HOME" or (name != "PATH" and not _names(value, workspace))
    }
    if "PATH" in environ:
        folders = environ["PATH"].split(os.pathsep)
        found["PATH"] = os.pathsep.join(one for one in folders if one[:1] == "/" and not is_below(one, workspace))
    return found


def is_below(path: str, workspace: str) -> bool:
    """Whether a path, as written or where its links lead, is the workspace or lies in it."""
    tops = {workspace, os.path.realpath(workspace)}
    return any(covers(top, place) for top in tops for place in (os.path.normpath(path), os.path.realpath(path)))


def _names(value: str, workspace: str) -> bool:
    if any(re.search(rf"{re.escape(top)}(?![\w.-])", value) for top in (workspace, os.path.realpath(workspace))):
        return True
    return any(one[:1] == "/" and is_below(one, workspace) for one in value.split(os.pathsep))
