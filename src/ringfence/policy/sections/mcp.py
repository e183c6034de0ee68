"""`[mcp]`: the verdict for tools of MCP servers that no rule names, and the rules."""

from __future__ import annotations

import msgspec

from ringfence.model.decision import Verdict
from ringfence.policy.effective import McpRule, Origin
from ringfence.policy.layers import Layer
from ringfence.policy.schema import Table, escaped
from ringfence.policy.sections.names import take_enforcement, take_id

MAX_RULES = 10_000


class McpSection(msgspec.Struct, frozen=True, kw_only=True):
    """What one document says about MCP servers."""

    default: tuple[Verdict, Origin] | None = None
    rules: tuple[McpRule, ...] = ()


def section(table: Table, layer: Layer) -> McpSection:
    """Read `[mcp]`."""
    default = table.take_choice("default", Verdict, about="The verdict for tools of MCP servers that no rule names.")
    ids: dict[str, str] = {}
    about = "One rule about tools of MCP servers."
    rules = [_rule(entry, ids, layer) for entry in table.take_tables("rule", most=MAX_RULES, about=about)]
    table.finish()
    return McpSection(
        default=None if default is None else (default, table.faults.origin(table.at("default"))),
        rules=tuple(rule for rule in rules if rule is not None),
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
