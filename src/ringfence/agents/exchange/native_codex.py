"""For Codex: `requirements.toml`, which binds its users, a rules file to check commands with, and defaults.

A permission profile holds the paths, because its meaning is ours: the most specific path decides. `allow` is never
written for commands: Codex would run them outside the sandbox.
"""

from __future__ import annotations

from collections.abc import Iterable

import tomlkit
from tomlkit.items import InlineTable

from ringfence.agents.codex_requirements import REQUIREMENTS
from ringfence.agents.exchange.native import (
    Losses,
    Native,
    NativeAgent,
    NativeFile,
    expressible_commands,
    expressible_hosts,
    host_item,
    lose_mcp,
    lose_rest,
    path_item,
)
from ringfence.agents.exchange.spellings import is_option
from ringfence.model.decision import Verdict
from ringfence.model.host_pattern import HostPattern, PatternKind
from ringfence.policy.effective import Access, CommandRule, HostRule, PathRule, Policy
from ringfence.policy.globs import is_glob
from ringfence.policy.paths import SYSTEM_RULES, covers

PROFILE = "ringfence"
GLOB_DEPTH = 16
"""How deep Codex looks for files that a glob denies."""
ALWAYS_KEPT = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR")
"""What a command needs, which sessions of Ringfence set by themselves."""
LIMITS = (
    "rules match argument vectors word by word: a redirection, a variable, `sh -c` or `$(...)` gets around them",
    "files that a glob denies are looked up before a start; those made later are readable",
    "the program of Codex has to lie below a readable folder; open it with `filesystem.read` where it is elsewhere",
    "no command starts while a denied path is missing below a writable folder: make it, or deny less",
    "defaults in `config.toml` can be changed by users; `requirements.toml` cannot",
)

_HOME, _WORKSPACE = "/home/someone", "/home/someone/project"
"""Stand-ins: patterns are compared by their texts alone."""
_DECISIONS = {Verdict.ASK: "prompt", Verdict.DENY: "forbidden"}


def native_codex(policy: Policy) -> Native:
    """The files for Codex."""
    losses = Losses()
    rules = _rules(policy, losses)
    files = (
        NativeFile(name="requirements.toml", place=REQUIREMENTS, content=_requirements(policy, rules, losses)),
        NativeFile(name="ringfence.rules", place="/etc/codex/rules/ringfence.rules", content=_rules_file(rules)),
        NativeFile(name="config.toml", place="/etc/codex/config.toml", content=_config(policy)),
    )
    lose_mcp(policy, losses)
    lose_rest(policy, losses)
    unmapped, stricter = losses.unmapped, losses.stricter
    return Native(agent=NativeAgent.CODEX, files=files, unmapped=unmapped, stricter=stricter, limits=LIMITS)


def _rules(policy: Policy, losses: Losses) -> list[CommandRule]:
    kept = []
    for item, rule in expressible_commands(policy, losses):
        origin = rule.origin.source
        if rule.verdict is Verdict.ALLOW:
            losses.lose(origin, item, "Codex runs what a rule allows outside its sandbox", restricts=False)
            continue
        kept.append(rule)
        if any(is_option(word) for position in rule.prefix for word in position):
            reason = "Codex sees an option only where the rule has it: elsewhere, bundled or with a value it passes"
            losses.lose(origin, item, reason, restricts=True)
    return kept


def _requirements(policy: Policy, rules: Iterable[CommandRule], losses: Losses) -> str:
    document = tomlkit.document()
    document.add(tomlkit.comment(f"Made from policy {policy.digest}, preset `{policy.preset}`."))
    document.add("allowed_approval_policies", tomlkit.item(["on-request", "never"]))
    document.add(tomlkit.comment("For versions that know no permission profiles."))
    document.add("allowed_sandbox_modes", tomlkit.item(_modes(policy)))
    document.add("default_permissions", tomlkit.item(PROFILE))
    document.add("allowed_permission_profiles", tomlkit.item({PROFILE: True}))
    permissions = tomlkit.table(is_super_table=True)
    denied = _denied_for_all(policy)
    if denied:
        permissions.add("filesystem", tomlkit.item({"deny_read": denied}))
    permissions.add(PROFILE, tomlkit.item(_profile(policy, losses)))
    document.add("permissions", permissions)
    document.add("experimental_network", tomlkit.item(_network(policy, losses)))
    array = tomlkit.array()
    for rule in rules:
        array.add_line(_prefix_rule(rule))
    array.add_line(indent="")
    table = tomlkit.table()
    table.add("prefix_rules", array)
    document.add("rules", table)
    return tomlkit.dumps(document)


def _modes(policy: Policy) -> list[str]:
    writes = any(rule.access is Access.WRITE and rule.pattern == ":workspace" for rule in policy.filesystem)
    return ["read-only", "workspace-write"] if writes else ["read-only"]


def _prefix_rule(rule: CommandRule) -> InlineTable:
    pattern = tomlkit.array()
    for words in rule.prefix:
        position = tomlkit.inline_table()
        position.update({"token": words[0]} if len(words) == 1 else {"any_of": list(words)})
        pattern.append(position)
    table = tomlkit.inline_table()
    table.add("pattern", pattern)
    table.add("decision", _DECISIONS[rule.verdict])
    table.add("justification", rule.reason or f"rule {rule.id} of the policy")
    return table


def _denied_for_all(policy: Policy) -> list[str]:
    """Denials that nothing in the policy reopens: in this list, no profile of a user opens them again either."""
    opening = [rule.pattern for rule in policy.filesystem if rule.access is not Access.DENY]
    return [
        rule.pattern
        for rule in policy.filesystem
        if rule.access is Access.DENY
        and rule.pattern.startswith(("/", "~/"))
        and not any(covers(rule.pattern, pattern, home=_HOME, workspace=_WORKSPACE) for pattern in opening)
    ]


def _profile(policy: Policy, losses: Losses) -> dict[str, object]:
    outside: dict[str, object] = {"glob_scan_max_depth": GLOB_DEPTH, ":minimal": "read"}
    for rule in SYSTEM_RULES:
        if rule.access is Access.READ:
            outside[rule.pattern] = "read"
    inside: dict[str, object] = {}
    for rule in sorted(policy.filesystem, key=lambda rule: _STRENGTH[rule.access]):
        if rule.access is not Access.DENY and is_glob(rule.pattern):
            reason = "Codex has globs for denials only"
            losses.lose(rule.origin.source, path_item(rule), reason, restricts=_keeps_out(rule, policy))
            continue
        for table, key in _places(rule.pattern):
            (inside if table else outside)[key] = rule.access.value
    return {
        "description": "the policy of Ringfence",
        "filesystem": {**outside, ":workspace_roots": inside},
        "network": {"enabled": True},
    }


_STRENGTH = {Access.READ: 0, Access.WRITE: 1, Access.DENY: 2}


def _keeps_out(rule: PathRule, policy: Policy) -> bool:
    """Whether a rule that gives reading keeps writing out, and no denial does so in its place."""
    denied = (one.pattern for one in policy.filesystem if one.access is Access.DENY)
    closed = any(covers(pattern, _sample(rule.pattern), home=_HOME, workspace=_WORKSPACE) for pattern in denied)
    return rule.access is Access.READ and not closed


def _sample(pattern: str) -> str:
    """A path that a glob fits: denied where the glob is, as far as one path can tell."""
    return f":workspace/{pattern.removeprefix('**/')}" if pattern.startswith("**/") else pattern


def _places(pattern: str) -> list[tuple[bool, str]]:
    """The tables and keys of a pattern: True for the one below `:workspace_roots`."""
    head, _, rest = pattern.partition("/")
    match head:
        case ":workspace":
            return [(True, rest or ".")]
        case ":tmp":
            return [(False, f"{token}/{rest}".rstrip("/")) for token in (":tmpdir", ":slash_tmp")]
        case ":home" | "~":
            return [(False, f"~/{rest}".rstrip("/") if rest else "~/")]
        case "":
            return [(False, pattern)]
        case _:
            return [(True, pattern)]


def _network(policy: Policy, losses: Losses) -> dict[str, object]:
    """Hosts: what is denied counts first, what is allowed passes, and everything else asks or is denied."""
    domains: dict[str, str] = {}
    hosts = expressible_hosts(policy, losses)
    for rule in sorted(hosts, key=lambda rule: rule.verdict.strictness):
        for text in rule.hosts:
            key = _domain(rule, text, losses)
            if key is not None:
                domains[key] = "allow" if rule.verdict is Verdict.ALLOW else "deny"
    strict = Verdict.DENY in {policy.network.default, policy.network.floor}
    return {"enabled": True, "managed_allowed_domains_only": strict, "domains": domains}


def _domain(rule: HostRule, text: str, losses: Losses) -> str | None:
    """A host of a rule as Codex writes it, or nothing where it is listed instead."""
    origin, item = rule.origin.source, host_item(rule)
    pattern = HostPattern.parse(text)
    restricts = rule.verdict is not Verdict.ALLOW
    if rule.verdict is Verdict.ASK:
        reason = "hosts ask where nothing allows them; Codex has no way to ask for one inside what is allowed"
        losses.lose(origin, item, reason, restricts=True)
        return None
    if pattern.kind is PatternKind.NETWORK and (pattern.network is None or pattern.network.num_addresses > 1):
        losses.lose(origin, item, "Codex names hosts and single addresses, not ranges", restricts=restricts)
        return None
    if pattern.kind is PatternKind.ANY and restricts:
        losses.lose(origin, item, "Codex denies no host by `*`; it allows none that is not named", restricts=restricts)
        return None
    if pattern.port is not None and not restricts:
        losses.lose(origin, item, "Codex opens all ports of a host or none", restricts=False)
        return None
    if pattern.port is not None:
        losses.tighten(origin, item, "denies every port of the host")
    host = text if pattern.port is None else text.rpartition(":")[0]
    return host.strip("[]")


def _rules_file(rules: Iterable[CommandRule]) -> str:
    parts = ["# The command rules of the policy; `codex execpolicy check --rules FILE -- COMMAND` tries them."]
    parts.extend(_starlark(rule) for rule in rules)
    return "\n\n".join(parts) + "\n"


def _starlark(rule: CommandRule) -> str:
    pattern = [words[0] if len(words) == 1 else list(words) for words in rule.prefix]
    lines = [
        f"# {rule.id} ({rule.origin.source})".encode("ascii", "backslashreplace").decode().replace("\n", " "),
        "prefix_rule(",
        f"    pattern = {_literal(pattern)},",
        f"    decision = {_literal(_DECISIONS[rule.verdict])},",
    ]
    if rule.reason.strip():
        lines.append(f"    justification = {_literal(rule.reason)},")
    return "\n".join([*lines, ")"])


def _literal(value: object) -> str:
    """A text or list as Starlark writes it: with the escapes that it shares with JSON, inside ASCII."""
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    return '"' + "".join(map(_character, str(value))) + '"'


def _character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if " " <= character <= "~":
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _config(policy: Policy) -> str:
    document = tomlkit.document()
    document.add(tomlkit.comment("Defaults: unlike requirements, users can change them."))
    environment = {"inherit": "all", "include_only": [*ALWAYS_KEPT, *policy.environment.keep]}
    if policy.environment.remove:
        environment["exclude"] = list(policy.environment.remove)
    if policy.environment.set:
        environment["set"] = dict(policy.environment.set)  # type: ignore[assignment]
    document.add("shell_environment_policy", tomlkit.item(environment))
    return tomlkit.dumps(document)
