"""For Gemini CLI: an administrator's policy, in which the highest priority wins, and system settings.

Its rules are regular expressions over the arguments of a tool, so that they see options wherever they stand, options
before a sub-command, and paths to a program. It has no sandbox of its own that could be relied on: nothing is allowed.
"""

from __future__ import annotations

import json
import re

import msgspec
import tomlkit

from ringfence.agents.exchange.native import (
    POLICY,
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
)
from ringfence.agents.exchange.spellings import Variant, variants
from ringfence.model.decision import Verdict
from ringfence.policy.effective import Access, CommandRule, PathRule, Policy

FOLDER = "/etc/gemini-cli"
MAX_EXPRESSION = 2_000
"""Gemini CLI drops a rule whose expression is longer than 2,048 characters."""
DENY_PRIORITY, PATH_PRIORITY, ASK_PRIORITY, DEFAULT_PRIORITY = 900, 800, 500, 100
SHELL = "run_shell_command"
READING = ("read_file", "read_many_files", "list_directory", "grep_search")
WRITING = ("write_file", "replace")
LIMITS = (
    "there is no sandbox that this file could switch on everywhere: set `tools.sandbox` where one is installed",
    "rules match the text of a command: a variable, a script or another program that does the same gets around them",
    "paths hold for the agent's own tools; a command such as `cat`, or a search above a path, reads what it likes",
    "the variable GEMINI_CLI_SYSTEM_SETTINGS_PATH replaces the settings, but not the policy; start it with a clean one",
    "hosts are not told apart: fetching asks or is denied as a whole",
)

_DECISIONS = {Verdict.ASK: "ask_user", Verdict.DENY: "deny"}
_PRIORITIES = {Verdict.ASK: ASK_PRIORITY, Verdict.DENY: DENY_PRIORITY}
_PROGRAM = r"(?:|[^ ]*\/)"
_NEXT = r"(?: | -.* )"
"""Between two words: nothing, or options."""
_BEFORE_OPTION, _BEHIND_OPTION = r"(?: | .* )", r"(?:[^ ]* |[^ ]* .* )"
"""Beside an option: anything; behind one, the rest of its bundle or its value first."""
_KEYS = "file_path|dir_path|absolute_path|path|include|include_pattern"
"""The arguments of its tools that name files."""
_END = r'(?=[\s"=;&|)]|\\)'


class _Rule(msgspec.Struct, frozen=True, kw_only=True):
    tool: tuple[str, ...]
    server: str = ""
    decision: str
    priority: int
    command: str = ""
    arguments: str = ""
    message: str = ""


def native_gemini(policy: Policy) -> Native:
    """The files for Gemini CLI."""
    losses = Losses()
    rules = [*_commands(policy, losses), *_paths(policy), *_fetching(policy, losses), *_tools(policy, losses)]
    settings = {"security": {"disableYoloMode": True, "disableAlwaysAllow": True}}
    lose_environment(policy, losses, settable=False)
    lose_rest(policy, losses)
    return Native(
        agent=NativeAgent.GEMINI,
        files=(
            NativeFile(
                name="settings.json", place=f"{FOLDER}/settings.json", content=json.dumps(settings, indent=2) + "\n"
            ),
            NativeFile(name="ringfence.toml", place=f"{FOLDER}/policies/ringfence.toml", content=_text(rules, policy)),
        ),
        unmapped=losses.unmapped,
        stricter=losses.stricter,
        limits=LIMITS,
    )


def _commands(policy: Policy, losses: Losses) -> list[_Rule]:
    losses.tighten(
        POLICY, "commands that no rule names", "ask, except for those that Gemini CLI itself takes for harmless"
    )
    found = [_Rule(tool=(SHELL,), decision="ask_user", priority=DEFAULT_PRIORITY)]
    for item, rule in expressible_commands(policy, losses):
        origin = rule.origin.source
        if rule.verdict is Verdict.ALLOW:
            losses.lose(origin, item, "allowed inside a sandbox only", restricts=False)
            continue
        expressions = [_expression(variant) for variant in variants(rule)]
        if not expressions or max(map(len, expressions)) > MAX_EXPRESSION:
            losses.lose(origin, item, "its expression would be longer than Gemini CLI reads", restricts=True)
        else:
            found.extend(_command_rule(rule, expression) for expression in expressions)
    return found


def _command_rule(rule: CommandRule, expression: str) -> _Rule:
    return _Rule(
        tool=(SHELL,),
        decision=_DECISIONS[rule.verdict],
        priority=_PRIORITIES[rule.verdict],
        command=expression,
        message=rule.reason if rule.verdict is Verdict.DENY else "",
    )


def _expression(variant: Variant) -> str:
    """A rule as a regular expression over a command. SECURITY: no group repeats, else Gemini CLI drops the rule."""
    parts = [_PROGRAM + _any_of(variant.positions[0])]
    for at in range(1, len(variant.positions)):
        gap = _BEHIND_OPTION if variant.options[at - 1] else _BEFORE_OPTION if variant.options[at] else _NEXT
        words = _option(variant.positions[at]) if variant.options[at] else _any_of(variant.positions[at])
        parts.append(gap + words)
    return "".join(parts) + ("" if variant.options[-1] else _END)


def _any_of(words: tuple[str, ...]) -> str:
    escaped = [_escaped(word) for word in words]
    return escaped[0] if len(escaped) == 1 else f"(?:{'|'.join(escaped)})"


def _option(words: tuple[str, ...]) -> str:
    """Options with a value, abbreviated no further than they are written, and short ones inside a bundle."""
    spelled = []
    for word in words:
        short = len(word) == 2 and not word.startswith("--")
        spelled.append(f"-[A-Za-z]*{_escaped(word[1])}[A-Za-z]*" if short else _escaped(word) + _END)
    return spelled[0] if len(spelled) == 1 else f"(?:{'|'.join(spelled)})"


def _escaped(word: str) -> str:
    """A word as it stands in the JSON of the arguments, escaped for a regular expression."""
    return re.sub(r'([-\[\]{}()*+?.,\\^$|#\s"/])', r"\\\1", json.dumps(word, ensure_ascii=False)[1:-1])


def _paths(policy: Policy) -> list[_Rule]:
    found = []
    for rule in policy.filesystem:
        if rule.access is Access.DENY:
            expression = _path_expression(rule)
            found.append(
                _Rule(
                    tool=(*READING, *WRITING),
                    decision="deny",
                    priority=PATH_PRIORITY,
                    arguments=expression,
                    message=rule.reason or f"the policy denies {rule.pattern}",
                )
            )
    if not any(rule.access is Access.WRITE and rule.pattern == ":workspace" for rule in policy.filesystem):
        message = "the policy opens nothing in the workspace for writing"
        found.append(_Rule(tool=WRITING, decision="deny", priority=PATH_PRIORITY, message=message))
    return found


def _path_expression(rule: PathRule) -> str:
    """A path in an argument: at its end, or a folder of it, however the beginning is written."""
    head, _, rest = rule.pattern.partition("/")
    tail = rest if head in {"~", ":home", ":workspace", "**"} else rule.pattern.lstrip("/")
    names = [_name(name) for name in tail.split("/") if name != "**"]
    return rf'"(?:{_KEYS})":(?:|\[)"(?:|[^"]*\/)' + r"\/".join(names) + r'(?:\/|")'


def _name(pattern: str) -> str:
    found, at = "", 0
    while at < len(pattern):
        character = pattern[at]
        end = pattern.find("]", at + 2) if character == "[" else -1
        if end > 0:
            inside = pattern[at + 1 : end]
            negated = inside.startswith("!")
            found += f"[^{inside[1:]}]" if negated else f"[{inside}]"
            at = end
        elif character == "*":
            found += r'[^"\/]*'
        elif character == "?":
            found += r'[^"\/]'
        else:
            found += _escaped(character)
        at += 1
    return found


def _fetching(policy: Policy, losses: Losses) -> list[_Rule]:
    for rule in expressible_hosts(policy, losses):
        reason = "Gemini CLI does not tell hosts apart"
        losses.lose(rule.origin.source, host_item(rule), reason, restricts=rule.verdict is not Verdict.ALLOW)
    strict = Verdict.DENY in {policy.network.default, policy.network.floor}
    decision = "deny" if strict else "ask_user"
    return [_Rule(tool=("web_fetch",), decision=decision, priority=ASK_PRIORITY)]


def _tools(policy: Policy, losses: Losses) -> list[_Rule]:
    """Tools of MCP servers. Gemini CLI asks for those that no rule names."""
    found = []
    lose_unseen(policy, losses)
    if policy.mcp.default is Verdict.DENY:
        found.append(_Rule(tool=("*",), server="*", decision="deny", priority=ASK_PRIORITY))
    for rule in policy.mcp.rules:
        origin, item = rule.origin.source, mcp_item(rule)
        if rule.verdict is Verdict.ALLOW:
            losses.lose(origin, item, "allowed inside a sandbox only", restricts=False)
            continue
        if not all(map(_is_plain, (*rule.servers, *rule.tools))) or any("_" in name for name in rule.servers):
            losses.lose(origin, item, "Gemini CLI names tools without globs, and servers without `_`", restricts=True)
            continue
        if rule.arguments:
            losses.tighten(origin, item, "holds for every call, whatever its arguments")
        decision, priority = _DECISIONS[rule.verdict], _PRIORITIES[rule.verdict]
        found.extend(
            _Rule(tool=rule.tools, server=server, decision=decision, priority=priority) for server in rule.servers
        )
    return found


def _is_plain(name: str) -> bool:
    return name == "*" or (name.isprintable() and not set(name) & set("*?[]"))


def _text(rules: list[_Rule], policy: Policy) -> str:
    document = tomlkit.document()
    document.add(tomlkit.comment(f"Made from policy {policy.digest}, preset `{policy.preset}`."))
    array = tomlkit.aot()
    for rule in rules:
        table = tomlkit.table()
        table.add("toolName", rule.tool[0] if len(rule.tool) == 1 else list(rule.tool))
        if rule.server:
            table.add("mcpName", rule.server)
        if rule.command:
            table.add("commandRegex", tomlkit.string(rule.command, escape=True))
        if rule.arguments:
            table.add("argsPattern", tomlkit.string(rule.arguments, escape=True))
        table.add("decision", rule.decision)
        table.add("priority", rule.priority)
        if rule.message:
            table.add("denyMessage", rule.message)
        array.append(table)
    document.add("rule", array)
    return tomlkit.dumps(document)
