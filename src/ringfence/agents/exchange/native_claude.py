"""For Claude Code: `managed-settings.json`, with its own sandbox switched on and no way around it.

Its sandbox holds paths and hosts for commands; its permission rules hold them for its own tools, and ask for commands.
"""

from __future__ import annotations

import json

from ringfence.agents.claude_settings import SETTINGS
from ringfence.agents.exchange.native import (
    Losses,
    Native,
    NativeAgent,
    NativeFile,
    expressible_commands,
    expressible_hosts,
    host_item,
    lose_environment,
    lose_rest,
    lose_unseen,
    mcp_item,
    path_item,
)
from ringfence.agents.exchange.spellings import is_option, spelled
from ringfence.model.decision import Verdict
from ringfence.model.host_pattern import HostPattern, PatternKind
from ringfence.policy.effective import Access, HostRule, PathRule, Policy
from ringfence.policy.globs import is_glob
from ringfence.policy.paths import covers

LIMITS = (
    "rules match the words of a command: a variable, a script, or bundled options get around them",
    "denials by glob hold for the agent's own tools; for commands the sandbox looks them up at the start",
    "with its sandbox, reading outside the workspace is open except for what is denied",
)

_LISTS = {Verdict.ALLOW: "allow", Verdict.ASK: "ask", Verdict.DENY: "deny"}
_HOME, _WORKSPACE = "/home/someone", "/home/someone/project"


def native_claude(policy: Policy) -> Native:
    """The file for Claude Code."""
    losses = Losses()
    permissions = _permissions(policy, losses)
    settings: dict[str, object] = {"permissions": permissions, "sandbox": _sandbox(policy, permissions, losses)}
    if policy.environment.set:
        settings["env"] = dict(policy.environment.set)
    lose_environment(policy, losses, settable=True)
    lose_rest(policy, losses)
    content = json.dumps(settings, indent=2, ensure_ascii=True) + "\n"
    return Native(
        agent=NativeAgent.CLAUDE,
        files=(NativeFile(name="managed-settings.json", place=SETTINGS, content=content),),
        unmapped=losses.unmapped,
        stricter=losses.stricter,
        limits=LIMITS,
    )


def _permissions(policy: Policy, losses: Losses) -> dict[str, object]:
    lists: dict[str, list[str]] = {"allow": [], "ask": [], "deny": []}
    for item, rule in expressible_commands(policy, losses):
        origin = rule.origin.source
        every = spelled(rule, escaped=_word)
        texts = [text for text in every if not set(text) & set("()")]
        options = any(is_option(word) for position in rule.prefix for word in position)
        restricts = rule.verdict is not Verdict.ALLOW
        if not every:
            losses.lose(origin, item, "it has more spellings than anybody reads", restricts=restricts)
        elif len(texts) < len(every):
            losses.lose(origin, item, "words with parentheses cannot be written there", restricts=restricts)
        lists[_LISTS[rule.verdict]].extend(f"Bash({text})" for text in texts)
        if options and texts and restricts:
            losses.lose(origin, item, "options in a bundle, such as `-xfd`, are not seen", restricts=True)
    _paths(policy, lists["deny"], losses)
    _hosts(policy, lists, losses)
    _tools(policy, lists, losses)
    kept = {name: entries for name, entries in lists.items() if entries}
    return {**kept, "disableBypassPermissionsMode": "disable"}


def _word(word: str) -> str:
    """A word with its own stars as stars."""
    return word.replace("\\", "\\\\").replace("*", "\\*")


def _paths(policy: Policy, deny: list[str], losses: Losses) -> None:
    for rule in policy.filesystem:
        if rule.access is Access.DENY:
            deny.extend(f"{tool}({text})" for tool in ("Read", "Edit") for text in _gitignore(rule.pattern))
    if not _writes_workspace(policy):
        deny.append("Edit(/**)")
    for rule in policy.filesystem:
        if rule.access is Access.DENY:
            continue
        over = [one for one in policy.filesystem if one.access is Access.DENY and _covers(one, rule)]
        if over:
            text = f"stays closed: there, {path_item(over[0])} wins over what is more specific"
            losses.tighten(rule.origin.source, path_item(rule), text)
        elif rule.access is Access.READ and _is_below_write(rule, policy):
            deny.extend(f"Edit({text})" for text in _gitignore(rule.pattern))


def _is_below_write(rule: PathRule, policy: Policy) -> bool:
    """Whether a rule that gives reading keeps writing out of what another one opens."""
    if not rule.pattern.startswith(("/", "~", ":")) and _writes_workspace(policy):
        return True
    return any(one.access is Access.WRITE and _covers(one, rule) for one in policy.filesystem)


def _covers(outer: PathRule, inner: PathRule) -> bool:
    pattern = inner.pattern if not inner.pattern.startswith("**/") else f":workspace/{inner.pattern[3:]}"
    return outer.pattern != inner.pattern and covers(outer.pattern, pattern, home=_HOME, workspace=_WORKSPACE)


def _gitignore(pattern: str) -> list[str]:
    """A pattern of ours as Claude Code writes it: the path, and everything below it."""
    head, _, rest = pattern.partition("/")
    match head:
        case ":workspace":
            base = f"/{rest}" if rest else "/"
        case ":home" | "~":
            base = f"~/{rest}"
        case ":tmp":
            return [f"//{folder}/{rest}".rstrip("/") + "/**" for folder in ("tmp", "var/tmp")]
        case "":
            base = f"/{pattern}"
        case _:
            base = pattern
    plain = base.rstrip("/")
    return [f"{plain}/**"] if base.endswith("/") else [plain, f"{plain}/**"]


def _writes_workspace(policy: Policy) -> bool:
    return any(rule.access is Access.WRITE and rule.pattern == ":workspace" for rule in policy.filesystem)


def _hosts(policy: Policy, lists: dict[str, list[str]], losses: Losses) -> None:
    for rule in expressible_hosts(policy, losses):
        for text in rule.hosts:
            domain = _domain(rule, text, losses)
            if domain is not None:
                lists[_LISTS[rule.verdict]].append(f"WebFetch(domain:{domain})")


def _domain(rule: HostRule, text: str, losses: Losses) -> str | None:
    """A host as Claude Code writes it, or nothing where it is listed instead."""
    origin, item = rule.origin.source, host_item(rule)
    pattern = HostPattern.parse(text)
    restricts = rule.verdict is not Verdict.ALLOW
    if pattern.kind in {PatternKind.NETWORK, PatternKind.ANY, PatternKind.DOMAIN}:
        losses.lose(origin, item, "Claude Code names hosts, and `*.x` for what is below one", restricts=restricts)
        return None
    if pattern.port is not None and not restricts:
        losses.lose(origin, item, "Claude Code opens all ports of a host or none", restricts=False)
        return None
    if rule.verdict is Verdict.ASK:
        losses.tighten(origin, item, "commands cannot reach it at all; the tool that fetches asks")
    return text if pattern.port is None else text.rpartition(":")[0]


def _tools(policy: Policy, lists: dict[str, list[str]], losses: Losses) -> None:
    """Tools of MCP servers, which it names `mcp__SERVER__TOOL`; `*` is understood for the tool alone."""
    lose_unseen(policy, losses)
    if policy.mcp.default is not Verdict.ALLOW:
        reason = "Claude Code has no verdict for all servers; name them in `allowedMcpServers`"
        losses.lose(policy.mcp.default_origin.source, f"mcp.default {policy.mcp.default.value}", reason, restricts=True)
    for rule in policy.mcp.rules:
        origin, item, restricts = rule.origin.source, mcp_item(rule), rule.verdict is not Verdict.ALLOW
        names = [(server, tool) for server in rule.servers for tool in rule.tools]
        plain = all(_is_plain(server) and (tool == "*" or _is_plain(tool)) for server, tool in names)
        if not plain or (rule.arguments and not restricts):
            reason = "Claude Code names a server and one tool, or all of them, without arguments"
            losses.lose(origin, item, reason, restricts=restricts)
            continue
        if rule.arguments:
            losses.tighten(origin, item, "holds for every call, whatever its arguments")
        texts = (f"mcp__{server}" if tool == "*" else f"mcp__{server}__{tool}" for server, tool in names)
        lists[_LISTS[rule.verdict]].extend(texts)


def _is_plain(name: str) -> bool:
    return name.replace("-", "").replace("_", "").isalnum() and "__" not in name


def _sandbox(policy: Policy, permissions: dict[str, object], losses: Losses) -> dict[str, object]:
    filesystem: dict[str, list[str]] = {"allowWrite": [], "denyWrite": [], "denyRead": []}
    if not _writes_workspace(policy):
        filesystem["denyWrite"].append(".")
    for rule in policy.filesystem:
        pattern = rule.pattern.replace(":home", "~").replace(":workspace/", "./").replace(":workspace", ".")
        if rule.access is Access.DENY:
            filesystem["denyRead"].append(pattern)
            filesystem["denyWrite"].append(pattern)
        elif rule.access is Access.WRITE and not pattern.startswith((":tmp", ".")):
            if is_glob(pattern):
                losses.lose(
                    rule.origin.source, path_item(rule), "its sandbox opens folders, not globs", restricts=False
                )
            else:
                filesystem["allowWrite"].append(pattern)
        elif rule.access is Access.READ and _is_below_write(rule, policy):
            filesystem["denyWrite"].append(pattern)
    return {
        "enabled": True,
        "failIfUnavailable": True,
        "autoAllowBashIfSandboxed": True,
        "allowUnsandboxedCommands": False,
        "network": _network(policy, permissions),
        "filesystem": {name: entries for name, entries in filesystem.items() if entries},
    }


def _network(policy: Policy, permissions: dict[str, object]) -> dict[str, object]:
    """The same hosts for commands; where unknown hosts are denied, no user adds any."""

    def domains(name: str) -> list[str]:
        entries = permissions.get(name, [])
        assert isinstance(entries, list)
        mark = "WebFetch(domain:"
        return [entry[len(mark) : -1] for entry in entries if entry.startswith(mark)]

    strict = Verdict.DENY in {policy.network.default, policy.network.floor}
    return {
        "allowedDomains": domains("allow"),
        "deniedDomains": [*domains("deny"), *domains("ask")],
        "allowManagedDomainsOnly": strict,
    }
