"""The requirements that Codex reads from /etc inside the sandbox: the administrator's, with our hooks added.

Everything that stands in the administrator's file is kept. Two of its lists are widened in this private copy, because
Codex cannot nest its sandbox in ours; both widenings are said, and the outer sandbox holds in their place.
"""

from __future__ import annotations

from collections.abc import MutableMapping

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError

from ringfence.agents import codex_hooks
from ringfence.agents.agent import HOOK_FOLDER, AgentRequest, HookMoment
from ringfence.agents.hook_command import hook_command, hook_timeout
from ringfence.model.situations import RingfenceError

REQUIREMENTS = "/etc/codex/requirements.toml"
FULL_ACCESS = "danger-full-access"


class Requirements(msgspec.Struct, frozen=True, kw_only=True):
    """The file to place, and what follows from the administrator's part of it."""

    content: bytes
    never_ask: bool
    """Whether `approval_policy = "never"` is permitted."""
    names_servers: bool = False
    """Whether the administrator says by their commands which servers of tools may be started."""
    notices: tuple[str, ...] = ()


def merged_requirements(content: bytes | None, exists: bool, request: AgentRequest) -> Requirements:
    """Our hooks over the administrator's requirements."""
    if content is None and exists:
        # SECURITY: to go on without a file that binds the user would be to loosen it.
        raise RingfenceError(
            f"the managed requirements `{REQUIREMENTS}` exist and cannot be read",
            remedy="ask the administrator to make the file readable",
        )
    document = _parse(content or b"")
    notices = [f"codex's managed requirements `{REQUIREMENTS}` stay in force, with our hooks added"] if content else []
    notices += [] if request.nested else _permit_full_access(document)
    names_servers = "mcp_servers" in document
    if names_servers:
        notices.append(
            f"the servers of tools in `{REQUIREMENTS}` are named by their commands, so they start as they are; their "
            "calls are judged by codex's hook only, and lists of tools that change are not noticed"
        )
    policies = document.get("allowed_approval_policies")
    document.setdefault("allow_login_shell", False)
    _table(document, "features")["hooks"] = True
    _add_hooks(_table(document, "hooks"), request)
    never_ask = not isinstance(policies, list) or "never" in policies
    return Requirements(
        content=tomlkit.dumps(document).encode(),
        never_ask=never_ask,
        names_servers=names_servers,
        notices=tuple(notices),
    )


def _parse(content: bytes) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(content.decode("utf-8"))
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise RingfenceError(
            f"the managed requirements `{REQUIREMENTS}` are not valid TOML: {error}",
            remedy="ask the administrator to correct the file",
        ) from error


def _permit_full_access(document: tomlkit.TOMLDocument) -> list[str]:
    modes = document.get("allowed_sandbox_modes")
    if not isinstance(modes, list) or FULL_ACCESS in modes:
        return []
    modes.append(FULL_ACCESS)
    return [
        f"codex's managed `allowed_sandbox_modes` does not name `{FULL_ACCESS}`; inside Ringfence it is allowed, "
        "because codex's own sandbox cannot be nested and the sandbox around it holds in its place"
    ]


def _add_hooks(hooks: MutableMapping[str, object], request: AgentRequest) -> None:
    hooks.setdefault("managed_dir", HOOK_FOLDER)
    for event, moment in codex_hooks.EVENTS.items():
        group: dict[str, object] = {"hooks": [_handler(request, event)]}
        if moment in {HookMoment.BEFORE_TOOL, HookMoment.AFTER_TOOL}:
            group["matcher"] = ".*"
        standing = hooks.get(event)
        hooks[event] = [*(standing if isinstance(standing, list) else []), group]


def _handler(request: AgentRequest, event: str) -> dict[str, object]:
    return {"type": "command", "command": hook_command(request, event), "timeout": hook_timeout(request)}


def _table(parent: MutableMapping[str, object], name: str) -> MutableMapping[str, object]:
    table = parent.setdefault(name, tomlkit.table())
    if not isinstance(table, MutableMapping):
        raise RingfenceError(
            f"`{name}` in `{REQUIREMENTS}` is not a table", remedy="ask the administrator to correct the file"
        )
    return table
