"""`[mcp]`: what holds for tools that no rule names, for lists of tools that changed and for servers that start unseen;
rules, and servers."""

from __future__ import annotations

import re

import msgspec

from ringfence.model.decision import Verdict
from ringfence.policy.effective import McpRule, McpServer, Origin, Unseen
from ringfence.policy.layers import Layer
from ringfence.policy.mcp_identity import address
from ringfence.policy.schema import Table, escaped
from ringfence.policy.sections.names import take_enforcement, take_id

MAX_RULES = 10_000

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class McpSection(msgspec.Struct, frozen=True, kw_only=True):
    """What one document says about MCP servers."""

    default: tuple[Verdict, Origin] | None = None
    rules: tuple[McpRule, ...] = ()
    changed: tuple[Verdict, Origin] | None = None
    unseen: tuple[Unseen, Origin] | None = None
    servers: tuple[McpServer, ...] = ()


def section(table: Table, layer: Layer) -> McpSection:
    """Read `[mcp]`."""
    default = table.take_choice("default", Verdict, about="The verdict for tools of MCP servers that no rule names.")
    ids: dict[str, str] = {}
    about = "One rule about tools of MCP servers."
    rules = [_rule(entry, ids, layer) for entry in table.take_tables("rule", most=MAX_RULES, about=about)]
    about = "The verdict for a server whose list of tools is another than the one that was taken before."
    changed = table.take_choice("changed", Verdict, about=about)
    about = "What happens with a session of an agent of which a server cannot be put behind Ringfence."
    unseen = table.take_choice("unseen", Unseen, about=about)
    names: dict[str, str] = {}
    about = "What the server of one name has to be: anything else that is called so is denied."
    servers = [_server(entry, names) for entry in table.take_tables("server", most=MAX_RULES, about=about)]
    table.finish()
    return McpSection(
        default=None if default is None else (default, table.faults.origin(table.at("default"))),
        rules=tuple(rule for rule in rules if rule is not None),
        changed=None if changed is None else (changed, table.faults.origin(table.at("changed"))),
        unseen=None if unseen is None else (unseen, table.faults.origin(table.at("unseen"))),
        servers=tuple(server for server in servers if server is not None),
    )


def _rule(table: Table, ids: dict[str, str], layer: Layer) -> McpRule | None:
    verdict = table.take_choice("verdict", Verdict, about="What may happen with such a call.")
    servers = _globs(table, "servers", "Globs over the name that the agent's settings give the server.")
    tools = _globs(table, "tools", "Globs over the name of the tool; every tool where it is missing.") or ("*",)
    about = "Dotted keys of the arguments, each with a glob; all of them have to match."
    pairs = table.take_table("arguments", about=about)
    arguments = pairs.take_pairs()
    reason = table.take_text("reason", "", about="Why, for the person who is asked or denied.")
    rule_id = take_id(table, ids, default=f"mcp:{servers[0] if servers else ''}/{tools[0]}")
    enforcement = take_enforcement(table)
    complete = table.require("servers", "verdict")
    table.finish()
    if verdict is Verdict.ALLOW and layer is Layer.REQUIREMENTS:
        table.fault("verdict", "requirements only tighten; a rule that allows belongs in `policy.toml`")
    if not complete or verdict is None:
        return None
    return McpRule(
        id=rule_id,
        servers=servers,
        tools=tools,
        arguments=arguments,
        verdict=verdict,
        reason=reason or "",
        origin=table.faults.origin(table.path),
        enforcement=enforcement,
    )


def _server(table: Table, names: dict[str, str]) -> McpServer | None:
    name = table.take_text("name", about="The server's name, as the agent's settings have it.")
    command = tuple(
        text for _, text in table.take_texts("command", about="The program that it is, with all its arguments.")
    )
    url = table.take_text("url", "", about="Its address, where it is reached over HTTP.") or ""
    tools = _digests(table)
    reason = table.take_text("reason", "", about="Why, for the person who is asked or denied.") or ""
    complete = table.require("name")
    table.finish()
    if name is not None:
        folded = name.casefold()
        if not name or not name.isprintable():
            table.fault("name", "a server has a name of characters that can be seen")
        elif folded in names:
            table.fault("name", f"server `{escaped(name)}` is already described at `{names[folded]}`")
        names[folded] = table.faults.origin(table.at("name")).source
    if bool(command) == bool(url):
        table.faults.add(table.path, "a server has a `command` or a `url`, and not both")
        return None
    if url and address(url) is None:
        table.fault("url", f"`{escaped(url)}` is no `https://HOST/PATH` without user and query")
        return None
    if not complete or name is None:
        return None
    return McpServer(
        id=f"mcp.server:{name}",
        name=name,
        command=command,
        url=url,
        tools=tools,
        reason=reason,
        origin=table.faults.origin(table.path),
    )


def _digests(table: Table) -> tuple[str, ...]:
    found = []
    about = "Digests of the lists of tools that it may have, as `mcp.tools` in the record has them."
    for path, text in table.take_texts("tools", about=about):
        if _DIGEST.fullmatch(text):
            found.append(text)
        else:
            table.faults.add(path, f"`{escaped(text)}` is no digest: `sha256:` and 64 hexadecimal digits")
    if table.is_empty("tools"):
        table.fault("tools", "`tools` is empty; leave it out where any list will do")
    return tuple(found)


def _globs(table: Table, key: str, about: str) -> tuple[str, ...]:
    found = []
    for path, text in table.take_texts(key, about=about):
        if text and text.isprintable():
            found.append(text)
        else:
            table.faults.add(path, f"`{escaped(text)}` is empty or has a character that cannot be seen")
    if table.is_empty(key):
        table.fault(key, f"`{key}` is empty; name at least one, or `*`")
    return tuple(found)
