"""Which agent a command line starts, by the name of its program, also behind a symbolic link or `node`.

An agent's module is imported when it is the one, so that a plain command does not pay for any of them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence

from ringfence.agents.agent import Agent
from ringfence.agents.generic import Generic

_LAUNCHERS = frozenset({"node", "bun"})
_ENDINGS = (".js", ".mjs", ".cjs", ".exe")


def detect(argv: Sequence[str], environ: Mapping[str, str], home: str, workspace: str) -> Agent:
    """The profile for a command line; the generic one for a program that is not known."""
    position = 1 if argv[1:] and os.path.basename(argv[0]) in _LAUNCHERS else 0
    if not argv:
        return Generic(home)
    program = argv[position]
    found = shutil.which(program, path=environ.get("PATH", os.defpath)) or program
    for name in _names(program, found):
        agent = _by_name(name, home, position)
        if agent is None:
            continue
        if _inside(found, workspace):
            # SECURITY: a profile shows an agent its login. A program that the workspace brings is called what its
            # author likes.
            text = f"`{program}` lies in the workspace, so it does not get the profile and the login of {agent.name}"
            return Generic(home, notices=(f"{text}; start the one that you installed",))
        return agent
    return Generic(home)


def _inside(program: str, workspace: str) -> bool:
    """Whether a program, or what its link leads to, lies in a folder that agents write to."""
    paths = (os.path.abspath(program), os.path.realpath(program))
    return any(path.startswith(f"{workspace}/") for path in paths)


def _names(program: str, found: str) -> tuple[str, ...]:
    """What the program is called, and what it is called where its links lead."""
    return tuple(_stem(os.path.basename(path)) for path in (program, os.path.realpath(found)))


def _stem(name: str) -> str:
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return name


def _by_name(name: str, home: str, position: int) -> Agent | None:
    if name == "codex":
        from ringfence.agents.codex import Codex

        return Codex(home=home, position=position)
    if name == "claude":
        from ringfence.agents.claude import Claude

        return Claude(home=home)
    from ringfence.agents.known_by_name import ROWS, KnownByName

    return next((KnownByName(row, home) for row in ROWS if row.name == name), None)
