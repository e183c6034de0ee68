"""Where a section of a policy applies: on which hosts, for which users, groups and agents, in which repositories.

Pure: what is true of this machine and this session comes in as a `Situation`.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

from ringfence.policy.paths import anchored, normalise


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What sections may ask about."""

    host: str = ""
    user: str = ""
    groups: tuple[str, ...] = ()
    agent: str = ""
    """The name of the agent's profile; empty where no agent runs yet."""
    remotes: tuple[str, ...] = ()
    """The workspace's repository as its own settings name it: `host/owner/name`."""


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """Globs for each question; every question that is asked has to be answered by one of its globs."""

    hosts: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    """Folders (`~/src/shop`, `/srv/**`) or remotes (`git.example.com/shop/*`)."""


class Applies(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a section applies, and on whose word."""

    why_not: str = ""
    """Empty where it applies."""
    claimed: bool = False
    """Whether it applies only because of what the repository says about itself."""


def applies(condition: Condition, situation: Situation, *, home: str, workspace: str) -> Applies:
    """Whether a section applies here."""
    asked: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
        ("host", condition.hosts, (situation.host, situation.host.partition(".")[0])),
        ("user", condition.users, (situation.user,)),
        ("group", condition.groups, situation.groups),
        ("agent", condition.agents, (situation.agent,)),
    )
    for what, globs, values in asked:
        if globs and not any(fnmatchcase(value, glob) for glob in globs for value in values):
            return Applies(why_not=f"it is for {what} {_listed(globs)}")
    if not condition.repositories:
        return Applies()
    if any(_is_folder(glob, home=home, workspace=workspace) for glob in condition.repositories):
        return Applies()
    if any(fnmatchcase(remote, glob.lower()) for glob in condition.repositories for remote in situation.remotes):
        return Applies(claimed=True)
    return Applies(why_not=f"it is for repository {_listed(condition.repositories)}")


def is_folder(pattern: str) -> bool:
    """Whether a pattern of `repositories` means a folder, and not a remote."""
    return pattern.startswith(("/", "~/"))


def _is_folder(pattern: str, *, home: str, workspace: str) -> bool:
    if not is_folder(pattern):
        return False
    here = normalise(workspace)
    return any(
        fnmatchcase(here, base) or fnmatchcase(here, f"{base.rstrip('/')}/*")
        for base in anchored(pattern, home=home, workspace=workspace)
    )


def _listed(globs: tuple[str, ...]) -> str:
    shown = ", ".join(f"`{glob}`" for glob in globs[:3])
    return f"{shown} and {len(globs) - 3} more" if len(globs) > 3 else shown
