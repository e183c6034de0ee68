"""What Codex says about tools of MCP servers, as rules about them. How a server is started stays with Codex."""

from __future__ import annotations

from ringfence.agents.exchange.source import Source
from ringfence.model.decision import Verdict

_MODES = {"prompt": Verdict.ASK, "approve": Verdict.ALLOW}
_STARTING = frozenset({"command", "args", "env", "env_vars", "cwd", "url", "enabled", "required"})


def import_servers(top: Source) -> None:
    """`mcp_servers`: an empty table switches all servers off."""
    servers = top.take_table("mcp_servers")
    if servers is None:
        return
    if not servers.values:
        top.draft.mcp_default = Verdict.DENY, top.origin("mcp_servers")
        return
    for name in servers.values:
        server = servers.take_table(name)
        if server is not None:
            _server(server, name)


def _server(server: Source, name: str) -> None:
    draft = server.draft
    if server.take_flag("enabled") is False:
        draft.add_mcp(name, "*", Verdict.DENY, server.origin("enabled"), server.name("enabled"))
    for tool, origin in server.take_texts("disabled_tools"):
        draft.add_mcp(name, tool, Verdict.DENY, origin, f"{server.name('disabled_tools')} `{tool}`")
    _mode(server, "default_tools_approval_mode", name, "*")
    tools = server.take_table("tools")
    for tool in () if tools is None else tools.values:
        table = None if tools is None else tools.take_table(tool)
        if table is not None:
            _mode(table, "approval_mode", name, tool)
            table.lose_rest("there is no such setting in a policy", restricts=True)
    for key in server.rest():
        reason = "how Codex starts a server stays with Codex; it runs inside the sandbox like its commands"
        draft.lose(server.origin(key), server.name(key), reason, restricts=key not in _STARTING)


def _mode(table: Source, key: str, server: str, tool: str) -> None:
    mode = table.take_text(key)
    if mode in _MODES:
        table.draft.add_mcp(server, tool, _MODES[mode], table.origin(key), table.name(key))
    elif mode == "writes":
        table.draft.add_mcp(server, tool, Verdict.ASK, table.origin(key), table.name(key))
        table.draft.tighten(table.origin(key), table.name(key), "asks for tools that only read as well")
    elif mode is not None:
        reason = "which tools ask is not left to what a server says of itself"
        table.draft.lose(table.origin(key), table.name(key), reason, restricts=True)
