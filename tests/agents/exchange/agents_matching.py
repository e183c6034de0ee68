"""How Claude Code, opencode and Gemini CLI match a command, as their programs do; `tests/e2e` asks the real ones."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

ORDER = ("allow", "ask", "deny")


def claude(settings: str, command: str) -> str | None:
    """The strictest list with a `Bash` rule that hits."""
    lists = json.loads(settings)["permissions"]
    found = [name for name in ORDER if any(_claude_hits(rule, command) for rule in lists.get(name, []))]
    return found[-1] if found else None


def _claude_hits(rule: str, command: str) -> bool:
    if not rule.startswith("Bash("):
        return False
    text = rule[5:-1].replace("\\\\", "\x01").replace("\\*", "\x00")
    pattern = re.escape(text).replace(r"\*", ".*").replace("\x01", r"\\").replace("\x00", r"\*")
    if text.endswith(" *") and text.count("*") == 1:
        pattern = pattern[: -len(r"\ .*")] + r"(\ .*)?"
    return re.fullmatch(pattern, command, re.DOTALL) is not None


def opencode(settings: str, permission: str, subject: str) -> str:
    """The last pattern that fits."""
    patterns: dict[str, str] = json.loads(settings)["permission"][permission]
    return [action for pattern, action in patterns.items() if _wildcard(pattern, subject)][-1]


def _wildcard(pattern: str, subject: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    if expression.endswith(r"\ .*"):
        expression = expression[: -len(r"\ .*")] + r"(\ .*)?"
    return re.fullmatch(expression, subject, re.DOTALL) is not None


def gemini(policy: str, tool: str, arguments: dict[str, Any]) -> str | None:
    """The rule of the highest priority that fits; `None` where the agent decides by itself."""
    text = json.dumps(arguments, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    for rule in sorted(tomllib.loads(policy)["rule"], key=lambda rule: -rule["priority"]):
        if tool not in rule["toolName"]:
            continue
        expression = rule.get("argsPattern", "")
        if "commandRegex" in rule:
            expression = '"command":"' + rule["commandRegex"]
        if re.search(expression, text):
            return str(rule["decision"])
    return None
