"""`[[when]]`: where a section applies."""

from __future__ import annotations

from fnmatch import fnmatchcase

from ringfence.policy.conditions import Condition
from ringfence.policy.schema import Table, escaped
from ringfence.policy.sections.settings import AGENTS

ABOUT = "What holds on some hosts, for some users, groups or agents, or in some repositories only."

_ABOUT = {
    "hosts": "Globs over the name of this machine.",
    "users": "Globs over the name of the user.",
    "groups": "Globs over the names of the user's groups.",
    "for_agents": "Globs over the name of the agent: `codex`, `claude`, `generic` and the others.",
    "repositories": "Folders (`~/src/shop`, and what lies below), or remotes such as `git.example.com/shop/*`.",
}


def condition(table: Table) -> Condition:
    """Where the section in a table applies."""
    globs = {key: _globs(table, key, about) for key, about in _ABOUT.items()}
    if not any(table.has(key) for key in _ABOUT):
        listed = ", ".join(f"`{key}`" for key in _ABOUT)
        table.faults.add(table.path, f"a section says where it applies: write at least one of {listed}")
    agents = globs.pop("for_agents")
    for glob in agents:
        if not any(fnmatchcase(name, glob) for name in AGENTS):
            listed = ", ".join(f"`{name}`" for name in AGENTS)
            table.fault("for_agents", f"`{escaped(glob)}` matches no agent; the agents are {listed}")
    return Condition(**globs, agents=agents)


def _globs(table: Table, key: str, about: str) -> tuple[str, ...]:
    found = []
    for path, text in table.take_texts(key, about=about):
        if not text or not text.isprintable():
            table.faults.add(path, f"`{escaped(text)}` is empty or has a character that cannot be seen")
        else:
            found.append(text)
    # SECURITY: an empty list would be no condition, and so hold everywhere.
    if table.is_empty(key):
        table.fault(key, f"`{key}` is empty: the section would apply nowhere; leave it out or name something")
    return tuple(found)
