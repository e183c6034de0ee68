"""`settings.json` and `managed-settings.json` of Claude Code as one policy."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ringfence.agents.exchange.claude_commands import import_command
from ringfence.agents.exchange.claude_paths import Wish, add_wishes, open_folder, path_wish, sandbox_pattern
from ringfence.agents.exchange.draft import Draft
from ringfence.agents.exchange.json_places import JsonInvalid, placed
from ringfence.agents.exchange.policy_text import Imported, imported
from ringfence.agents.exchange.source import Source
from ringfence.agents.exchange.text_file import TextFile, decoded, fault
from ringfence.agents.exchange.variables import set_variable
from ringfence.model.decision import Verdict
from ringfence.model.situations import PolicyInvalid
from ringfence.policy.effective import Access
from ringfence.policy.schema import escaped

NAME = "Claude Code"
READING = frozenset({"Read", "Glob", "Grep", "LS", "NotebookRead"})
WRITING = frozenset({"Edit", "Write", "MultiEdit", "NotebookEdit"})

_RULE = re.compile(r"(?s)([A-Za-z][A-Za-z0-9_.*-]*)(?:\((.*)\))?")
_VERDICTS = {"deny": Verdict.DENY, "ask": Verdict.ASK, "allow": Verdict.ALLOW}
_UNKNOWN = "not known to this version of Ringfence"
_OF_CLAUDE = "about Claude Code itself, not about what it may do; Ringfence leaves it to Claude Code"
_OTHERS: dict[str, tuple[str, bool]] = {
    "hooks": ("hooks are programs; keep them in Claude Code, which still runs them inside the sandbox", True),
    "disableAllHooks": ("hooks stay with Claude Code", False),
    "allowManagedHooksOnly": ("hooks stay with Claude Code", True),
    "allowedMcpServers": ("which servers Claude Code starts stays with it; they run inside the sandbox", True),
    "deniedMcpServers": ("which servers Claude Code starts stays with it; they run inside the sandbox", True),
    "enabledMcpjsonServers": ("which servers Claude Code starts stays with it", False),
    "disabledMcpjsonServers": ("which servers Claude Code starts stays with it", True),
    "enableAllProjectMcpServers": ("which servers Claude Code starts stays with it", False),
    "allowManagedPermissionRulesOnly": ("a user's policy never loosens an administrator's", False),
    "strictKnownMarketplaces": ("where plugins come from stays with Claude Code", True),
    "policyHelper": ("a program that makes settings; import what it prints", True),
}
_CLAUDE_WORDS = """
    $schema model availableModels apiKeyHelper awsAuthRefresh awsCredentialExport cleanupPeriodDays
    companyAnnouncements includeCoAuthoredBy attribution outputStyle statusLine language theme verbose
    forceLoginMethod forceLoginOrgUUID otelHeadersHelper enabledPlugins extraKnownMarketplaces
    spinnerTipsEnabled alwaysThinkingEnabled autoUpdatesChannel fileSuggestion respectGitignore plansDirectory
    skipWebFetchPreflight effortLevel editorMode
"""
_CLAUDE_KEYS = frozenset(_CLAUDE_WORDS.split())


def import_claude(files: Sequence[TextFile]) -> Imported:
    """The policy that settings files come to; `PolicyInvalid` with all faults of all files."""
    draft = Draft()
    wishes: list[Wish] = []
    for file in files:
        try:
            wishes.extend(_import(draft, file))
        except PolicyInvalid as invalid:
            draft.faults.extend(invalid.diagnostics)
    add_wishes(draft, wishes)
    return imported(draft, agent=NAME)


def _import(draft: Draft, file: TextFile) -> list[Wish]:
    text = decoded(file)
    try:
        values, place = placed(text)
    except JsonInvalid as invalid:
        raise fault(file, invalid.line, invalid.column, f"not valid JSON: {escaped(invalid.message)}") from None
    if not isinstance(values, dict):
        raise fault(file, 1, 1, "the file does not hold a JSON object")
    top = Source(values, file=file.name, place=place, draft=draft)
    wishes = [*_permissions(top), *_sandbox(top)]
    for name, value, origin in top.take_pairs("env"):
        set_variable(draft, name, value, origin)
    for key in top.rest():
        reason, restricts = _OTHERS.get(key, (_OF_CLAUDE if key in _CLAUDE_KEYS else _UNKNOWN, key not in _CLAUDE_KEYS))
        draft.lose(top.origin(key), top.name(key), reason, restricts=restricts)
    return wishes


def _permissions(top: Source) -> list[Wish]:
    table = top.take_table("permissions")
    if table is None:
        return []
    wishes: list[Wish] = []
    for key, verdict in _VERDICTS.items():
        for text, origin in table.take_texts(key):
            wish = _rule(top.draft, text, verdict, origin)
            if wish is not None:
                wishes.append(wish)
    for path, origin in table.take_texts("additionalDirectories"):
        wish = open_folder(top.draft, path, origin, f"additional directory `{escaped(path)}`")
        wishes.extend([] if wish is None else [wish])
    _modes(table)
    table.lose_rest(_UNKNOWN, restricts=True)
    return wishes


def _modes(table: Source) -> None:
    draft = table.draft
    mode = table.take_text("defaultMode")
    origin, item = table.origin("defaultMode"), f'defaultMode = "{escaped(mode or "")}"'
    match mode:
        case None:
            pass
        case "plan":
            draft.choose_preset("read-only", origin)
        case "bypassPermissions":
            draft.tighten(origin, item, "rules still ask and deny, and everything stays inside the sandbox")
        case "dontAsk":
            reason = "who answers is an option of `ringfence run`: with `--ask deny` each question is a deny"
            draft.lose(origin, item, reason, restricts=True)
        case "default" | "acceptEdits" | "auto":
            text = "edits and commands inside the sandbox pass without a question, except where a rule asks"
            draft.cover(origin, item, text)
        case _:
            draft.lose(origin, item, _UNKNOWN, restricts=True)
    for key in ("disableBypassPermissionsMode", "disableAutoMode"):
        if table.take(key) is not None:
            draft.cover(table.origin(key), table.name(key), "no mode of Claude Code switches off a policy")


def _rule(draft: Draft, text: str, verdict: Verdict, origin: str) -> Wish | None:
    item = f"{verdict.value} `{escaped(text)}`"
    restricts = verdict is not Verdict.ALLOW
    match = _RULE.fullmatch(text.strip())
    if match is None:
        draft.lose(origin, item, "it is not `Tool` or `Tool(specifier)`", restricts=restricts)
        return None
    tool, specifier = match[1], match[2]
    if tool == "Bash":
        import_command(draft, specifier or "", verdict, origin, item)
    elif tool in READING | WRITING:
        return _path(draft, specifier, verdict, writes=tool in WRITING, origin=origin, item=item)
    elif tool == "WebFetch":
        _fetch(draft, specifier, verdict, origin, item)
    elif tool.startswith("mcp__") and not specifier:
        server, _, name = tool.removeprefix("mcp__").partition("__")
        draft.add_mcp(server, name or "*", verdict, origin, item)
    elif tool == "WebSearch":
        draft.lose(origin, item, "web search runs at the vendor; keep this in Claude Code", restricts=restricts)
    else:
        draft.lose(origin, item, f"tool `{escaped(tool)}` stays with Claude Code", restricts=restricts)
    return None


def _path(
    draft: Draft, specifier: str | None, verdict: Verdict, *, writes: bool, origin: str, item: str
) -> Wish | None:
    if not specifier:
        specifier = "**"
        if verdict is not Verdict.ALLOW and not writes:
            reason = "a sandbox in which the workspace cannot be read is of no use; deny the paths that are meant"
            draft.lose(origin, item, reason, restricts=True)
            return None
    if specifier.startswith("!"):
        draft.lose(origin, item, "a pattern that takes back another one", restricts=verdict is Verdict.ALLOW)
        return None
    if verdict is Verdict.ASK:
        draft.tighten(origin, item, "files do not ask: it is a deny")
    return path_wish(specifier, verdict, writes=writes, origin=origin, item=item)


def _fetch(draft: Draft, specifier: str | None, verdict: Verdict, origin: str, item: str) -> None:
    restricts = verdict is not Verdict.ALLOW
    if specifier is None or not specifier.startswith("domain:"):
        reason = "rules are about hosts, whoever connects; `network.default` decides about those that none names"
        draft.lose(origin, item, reason, restricts=restricts)
        return
    methods = ("GET", "HEAD") if verdict is Verdict.ALLOW else ()
    draft.add_host(specifier.removeprefix("domain:"), verdict, origin, item, methods=methods)
    if restricts:
        draft.tighten(origin, item, "holds for every program, not only for the tool that fetches")


def _sandbox(top: Source) -> list[Wish]:
    table = top.take_table("sandbox")
    if table is None:
        return []
    for key in ("enabled", "failIfUnavailable", "autoAllowBashIfSandboxed", "allowUnsandboxedCommands"):
        if table.take_flag(key) is not None:
            text = "everything runs inside the sandbox of Ringfence, and nothing runs where there is none"
            top.draft.cover(table.origin(key), table.name(key), text)
    for command, origin in table.take_texts("excludedCommands"):
        reason = "no command runs outside the sandbox"
        top.draft.lose(origin, f"excluded command `{escaped(command)}`", reason, restricts=False)
    network = table.take_table("network")
    if network is not None:
        _network(network)
    filesystem = table.take_table("filesystem")
    wishes = [] if filesystem is None else _filesystem(filesystem)
    table.lose_rest(_UNKNOWN, restricts=True)
    return wishes


def _network(table: Source) -> None:
    for key, verdict in (("allowedDomains", Verdict.ALLOW), ("deniedDomains", Verdict.DENY)):
        for host, origin in table.take_texts(key):
            table.draft.add_host(host, verdict, origin, f"{key} `{escaped(host)}`")
    if table.take_flag("allowManagedDomainsOnly"):
        table.draft.choose_default(Verdict.DENY, table.origin("allowManagedDomainsOnly"))
    for key in table.rest():
        reason = "a sandbox has a loopback, sockets and a gateway of its own"
        table.draft.lose(table.origin(key), table.name(key), reason, restricts=False)


def _filesystem(table: Source) -> list[Wish]:
    found: list[Wish] = []
    for key, access, keeps_read in (
        ("allowRead", Access.READ, False),
        ("allowWrite", Access.WRITE, False),
        ("denyRead", Access.DENY, False),
        ("denyWrite", Access.DENY, True),
    ):
        for path, origin in table.take_texts(key):
            item = f"{key} `{escaped(path)}`"
            pattern = sandbox_pattern(path)
            found.append(Wish(pattern=pattern, access=access, keeps_read=keeps_read, origin=origin, item=item))
    if table.take_flag("allowManagedReadPathsOnly"):
        text = "a user's policy never loosens an administrator's"
        table.draft.cover(table.origin("allowManagedReadPathsOnly"), table.name("allowManagedReadPathsOnly"), text)
    table.lose_rest(_UNKNOWN, restricts=True)
    return found
