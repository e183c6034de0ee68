"""Tools of MCP servers: the rules that name the server, the tool and the arguments.

The name of a server is the one that the agent's settings give it, as the agent reports it: these rules are checked,
not guaranteed. What a server does is held by the sandbox, in which it runs as well.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase

from ringfence.model.action import McpAction
from ringfence.model.decision import Verdict
from ringfence.policy.effective import McpRule, Policy
from ringfence.policy.judges.finding import Finding, reason
from ringfence.policy.schema import escaped

MAX_ARGUMENTS = 1_000_000
"""Characters of arguments that are read."""


class McpJudge:
    """The MCP rules of a policy."""

    def __init__(self, policy: Policy) -> None:
        self._mcp = policy.mcp

    def judge(self, action: McpAction) -> Finding:
        """The finding about a call."""
        reasons = []
        arguments = _arguments(action.arguments) if any(rule.arguments for rule in self._mcp.rules) else None
        for rule in self._mcp.rules:
            match = _applies(rule, action, arguments)
            if match is False or (match is None and rule.verdict is Verdict.ALLOW):
                continue
            why = rule.reason or f"a rule names {', '.join(rule.servers[:5])}"
            unsure = "" if match else "its arguments cannot be read, and may be those of this rule: "
            reasons.append(reason(rule.id, rule.origin, rule.verdict, unsure + why))
        if not reasons:
            shown = f"MCP tool `{escaped(action.server)}/{escaped(action.tool)}`"
            text = _unnamed(shown, self._mcp.default)
            reasons.append(reason("mcp.default", self._mcp.default_origin, self._mcp.default, text))
        return Finding(reasons=tuple(reasons))


def _applies(rule: McpRule, action: McpAction, arguments: dict[str, object] | None) -> bool | None:
    """Whether a rule speaks about this call; nothing where the arguments cannot tell."""
    # SECURITY: servers are compared without regard to case where a rule restricts, because an agent may spell them so.
    loose = rule.verdict is not Verdict.ALLOW
    if not _any(rule.servers, action.server, loose=loose) or not _any(rule.tools, action.tool, loose=loose):
        return False
    if not rule.arguments:
        return True
    if arguments is None:
        return None
    return all(_argument(key, glob, arguments) for key, glob in rule.arguments)


def _any(globs: tuple[str, ...], name: str, *, loose: bool) -> bool:
    if any(fnmatchcase(name, glob) for glob in globs):
        return True
    return loose and any(fnmatchcase(name.casefold(), glob.casefold()) for glob in globs)


def _arguments(text: str) -> dict[str, object] | None:
    if len(text) > MAX_ARGUMENTS:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _argument(key: str, glob: str, arguments: dict[str, object]) -> bool:
    if key in arguments:
        return _is(glob, arguments[key])
    value: object = arguments
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return _is(glob, value)


def _is(glob: str, value: object) -> bool:
    """Whether a value matches; of a list, any of its elements."""
    if isinstance(value, list):
        return any(_is(glob, each) for each in value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return fnmatchcase(text, glob)


def _unnamed(shown: str, verdict: Verdict) -> str:
    if verdict is Verdict.ALLOW:
        return f"{shown} runs inside the sandbox, which holds it"
    return f"no rule names {shown}"
