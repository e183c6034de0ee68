"""What a session does about servers of tools that its agent starts without our stand-in: it says so, or does not begin.

The agent's profile knows which those are; some can only be put behind the stand-in where the sandbox has mounts, so the
last word is said when its tier is known, before anything of the user's runs.
"""

from __future__ import annotations

from collections.abc import Iterable

from ringfence.agents.agent import AgentSetup, UnseenServers
from ringfence.model.display import shortened, visible
from ringfence.model.situations import RunDenied
from ringfence.policy.effective import McpPolicy, Unseen

_SHOWN = 8
"""How many places a notice or a denial lists."""
_NAMES = 6
_WIDTH = 160
MOUNTS = "A"
"""The tier that has mounts."""


def unseen_servers(setup: AgentSetup, mcp: McpPolicy, *, tier: str | None) -> tuple[str, ...]:
    """The notice about servers that start unseen, if there are any; `RunDenied` where the policy denies such a session.
    `tier`: of the sandbox; None where it is not known yet."""
    held = tier in (None, MOUNTS)
    found = [one for one in setup.unseen if not (held and one.behind_mounts)]
    if not found:
        return ()
    listed = "; ".join(_listed(found))
    if mcp.unseen is Unseen.DENY:
        origin = mcp.unseen_origin
        mounts = "; where the machine gives a sandbox of tier A, some of them can be seen"
        raise RunDenied(
            f"denied: servers of tools that {setup.name} starts cannot be seen by Ringfence: {listed} "
            f"(mcp.unseen, {origin.layer}, {origin.source})",
            remedy="take these servers out of those settings, or name them there as "
            f"`ringfence mcp --name NAME -- COMMAND`{mounts if any(one.behind_mounts for one in found) else ''}",
        )
    return (f"these servers of tools start unseen by Ringfence, and only its sandbox holds them: {listed}",)


def _listed(found: Iterable[UnseenServers]) -> list[str]:
    merged: dict[tuple[str, str], dict[str, None]] = {}
    for one in found:
        merged.setdefault((one.where, one.why), {}).update(dict.fromkeys(one.names))
    said = [f"{_names([*names])} `{_visible(where)}` ({why})" for (where, why), names in merged.items()]
    more = len(said) - _SHOWN
    return said if more <= 0 else [*said[:_SHOWN], f"and those of {more} more places"]


def _names(names: list[str]) -> str:
    if not names:
        return "those of"
    shown = ", ".join(f"`{_visible(name)}`" for name in names[:_NAMES])
    return f"{shown} and {len(names) - _NAMES} more of" if len(names) > _NAMES else f"{shown} of"


def _visible(text: str) -> str:
    # SECURITY: a repository chooses these texts, and they are shown on a terminal.
    return shortened(visible(text), _WIDTH)
