"""The managed settings that Claude Code reads from /etc inside the sandbox: the administrator's, with our hooks added.

Everything that stands in the administrator's file is kept, except that Claude Code's own sandbox is off: it cannot be
nested in ours, and ours stands around the whole agent.
"""

from __future__ import annotations

import json

import msgspec

from ringfence.agents import claude_hooks
from ringfence.agents.agent import AgentRequest, Disk, HookMoment
from ringfence.agents.hook_command import hook_command, hook_timeout
from ringfence.agents.mcp_wrapping import wrap_text
from ringfence.model.shown import PlacedFile
from ringfence.model.situations import RingfenceError

FOLDER = "/etc/claude-code"
SETTINGS = f"{FOLDER}/managed-settings.json"
FRAGMENTS = f"{FOLDER}/managed-settings.d"
SERVERS = f"{FOLDER}/managed-mcp.json"

Settings = dict[str, object]


class ManagedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The files to place and what to say about them."""

    files: tuple[PlacedFile, ...]
    notices: tuple[str, ...] = ()


def managed_settings(request: AgentRequest, disk: Disk) -> ManagedSettings:
    """Our hooks over the administrator's settings."""
    content = _managed(disk, SETTINGS)
    settings = read_settings(content, SETTINGS)
    names = [f"{FRAGMENTS}/{name}" for name in disk.list_folder(FRAGMENTS) if name.endswith(".json")]
    others = [(path, _managed(disk, path)) for path in [*names, SERVERS]]
    kept = [PlacedFile(path=path, content=wrap_text(found, request)) for path, found in others if found is not None]
    # A fragment is laid over the settings file, so ours comes last and in a fragment of its own as well.
    ours = wrap_text(json.dumps(_with_ours(settings, request), indent=2).encode(), request)
    above: Settings = {} if request.nested else {"sandbox": {"enabled": False}}
    # SECURITY: a repository's own hook could answer Claude Code's prompt in the person's place.
    above |= {"allowManagedHooksOnly": True} if request.delegated else {}
    files = [PlacedFile(path=SETTINGS, content=ours), *kept]
    if names and above:
        files.append(PlacedFile(path=f"{FRAGMENTS}/zz-ringfence.json", content=json.dumps(above).encode()))
    standing = content is not None or kept
    notice = f"the managed settings of Claude Code in `{FOLDER}` stay in force, with our hooks added"
    return ManagedSettings(files=tuple(files), notices=(notice,) if standing else ())


def read_settings(content: bytes | None, path: str) -> Settings:
    """A settings file; `RingfenceError` where it is not an object in JSON."""
    if content is None or not content.strip():
        return {}
    try:
        value = json.loads(content)
    except ValueError as error:
        raise RingfenceError(f"`{path}` is not valid JSON: {error}", remedy="correct the file") from error
    if not isinstance(value, dict):
        raise RingfenceError(f"`{path}` does not hold a JSON object", remedy="correct the file")
    return value


def _managed(disk: Disk, path: str) -> bytes | None:
    content = disk.read_file(path)
    if content is None and disk.exists(path):
        # SECURITY: to go on without a file that binds the user would be to loosen it.
        raise RingfenceError(
            f"the managed file `{path}` exists and cannot be read",
            remedy="ask the administrator to make the file readable",
        )
    return content


def _with_ours(settings: Settings, request: AgentRequest) -> Settings:
    standing = settings.get("hooks")
    hooks = dict(standing) if isinstance(standing, dict) else {}
    events = claude_hooks.EVENTS | (claude_hooks.REPORTS if request.delegated else {})
    for event, moment in events.items():
        group: Settings = {"hooks": [_handler(request, event)]}
        if moment in {HookMoment.BEFORE_TOOL, HookMoment.AFTER_TOOL, HookMoment.PROMPTED}:
            group["matcher"] = "*"
        groups = hooks.get(event)
        hooks[event] = [*(groups if isinstance(groups, list) else []), group]
    sandbox = settings.get("sandbox")
    switched_off = {**(sandbox if isinstance(sandbox, dict) else {}), "enabled": False, "failIfUnavailable": False}
    return {
        # A fetch is judged by the gateway, so the agent need not ask its vendor first whether a domain is known.
        "skipWebFetchPreflight": True,
        **settings,
        "hooks": hooks,
        **({"allowManagedHooksOnly": True} if request.delegated else {}),
        **({} if request.nested else {"sandbox": switched_off}),
    }


def _handler(request: AgentRequest, event: str) -> Settings:
    return {"type": "command", "command": hook_command(request, event), "timeout": hook_timeout(request)}
