"""Tools of MCP servers: the rules that name the server, the tool and the arguments.

The name of a server is the one that the agent's settings give it, as the agent reports it: these rules are checked,
not guaranteed. What a server does is held by the sandbox, in which it runs as well. What a server of a name has to be,
and that its tools are those that it had before, is judged where it was seen: by its command, or over HTTP.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

import msgspec

from ringfence.model.action import McpAction, ServerFacts
from ringfence.model.decision import Reason, Verdict
from ringfence.policy.effective import McpRule, McpServer, Policy
from ringfence.policy.judges.finding import Finding, built_in, reason
from ringfence.policy.mcp_identity import address, command_identity
from ringfence.policy.schema import escaped

MAX_ARGUMENTS = 1_000_000
"""Characters of arguments that are read."""


_AS_BEFORE = "its tools are those that were taken before, or it is new"


class McpJudge:
    """The MCP rules of a policy."""

    def __init__(self, policy: Policy) -> None:
        self._mcp = policy.mcp

    def judge(self, action: McpAction) -> Finding:
        """The finding about a call."""
        reasons = [*self._identity(action), *self._changed(action)]
        if action.facts is not msgspec.UNSET and action.facts.listing:
            return Finding(reasons=tuple(reasons) or (built_in("mcp.tools", Verdict.ALLOW, _AS_BEFORE),))
        named = False
        arguments = _arguments(action.arguments) if any(rule.arguments for rule in self._mcp.rules) else None
        for rule in self._mcp.rules:
            match = _applies(rule, action, arguments)
            if match is False or (match is None and rule.verdict is Verdict.ALLOW):
                continue
            named = True
            why = rule.reason or f"a rule names {', '.join(rule.servers[:5])}"
            unsure = "" if match else "its arguments cannot be read, and may be those of this rule: "
            reasons.append(reason(rule.id, rule.origin, rule.verdict, unsure + why))
        if not named:
            shown = f"MCP tool `{escaped(action.server)}/{escaped(action.tool)}`"
            text = _unnamed(shown, self._mcp.default)
            reasons.append(reason("mcp.default", self._mcp.default_origin, self._mcp.default, text))
        return Finding(reasons=tuple(reasons))

    def _identity(self, action: McpAction) -> Iterator[Reason]:
        """What speaks against a server that is another than the policy says, or whose tools are."""
        facts = None if action.facts is msgspec.UNSET else action.facts
        for server in self._speaking(action, facts):
            shown = f"server `{escaped(server.name)}`"
            if facts is None:
                # What is said to a server over HTTP is judged by the gateway, which sees where it goes.
                if server.url:
                    continue
                text = f"{shown} is described by the policy, and it cannot be told what this one is"
            elif facts.identity != _identity_of(server):
                text = f"{shown} is {server.url or shlex.join(server.command)}, and this one is another"
            elif server.tools and facts.tools not in server.tools:
                text = f"{shown} has another list of tools than the policy names"
            else:
                continue
            yield reason(server.id, server.origin, Verdict.DENY, escaped(server.reason) or text)

    def _speaking(self, action: McpAction, facts: ServerFacts | None) -> list[McpServer]:
        """The servers of the policy that this one has to be: by its name; of those on its host, the one with its
        address, and all where it is none of them."""
        named = [one for one in self._mcp.servers if one.name.casefold() == action.server.casefold()]
        there = [one for one in self._mcp.servers if one.url and _host(one.url) == action.server]
        exact = [one for one in there if facts is not None and facts.identity == _identity_of(one)]
        return list(dict.fromkeys((*named, *(exact or there))))

    def _changed(self, action: McpAction) -> Iterator[Reason]:
        facts = action.facts
        if facts is msgspec.UNSET or not facts.changed or self._mcp.changed is Verdict.ALLOW:
            return
        # A list that the policy names is known, whatever was there before.
        if any(facts.tools in server.tools for server in self._mcp.servers):
            return
        text = f"the tools of `{escaped(action.server)}` are not those that they were: {escaped(facts.changed)}"
        yield reason("mcp.changed", self._mcp.changed_origin, self._mcp.changed, text)


def _identity_of(server: McpServer) -> str:
    return (address(server.url) or "") if server.url else command_identity(server.command)


def _host(url: str) -> str:
    return urlsplit(address(url) or "").hostname or ""


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
