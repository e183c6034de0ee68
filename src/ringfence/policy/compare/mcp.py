"""Differences between two policies about tools of MCP servers.

Rules name servers, tools and arguments by patterns. One call of each kind that the patterns tell apart is judged by
both policies. Where case does not matter, names are folded letter by letter; letters that fold to several are not
tried.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import product
from math import prod

from ringfence.model.action import McpAction
from ringfence.model.decision import Verdict
from ringfence.policy.compare.alike import tools_alike
from ringfence.policy.compare.difference import Area, Difference, compared
from ringfence.policy.compare.limits import MAX_ACTIONS, TooLarge
from ringfence.policy.compare.name_classes import Alphabet, NameClasses
from ringfence.policy.effective import McpRule
from ringfence.policy.evaluate import Evaluator

_ANY_TEXT = Alphabet(without="\0")
_UNREADABLE = "[]"
"""Arguments that are no table: a rule about arguments cannot tell what they are."""
_MOST_KINDS = 64
"""Kinds of values of one argument."""


def mcp_differences(before: Evaluator, after: Evaluator) -> list[Difference]:
    """One difference for each kind of server and pair of deciding rules, shown by one call."""
    if tools_alike(before, after):
        return []
    found: dict[tuple[object, ...], Difference] = {}
    calls = _calls((*before.policy.mcp.rules, *after.policy.mcp.rules))
    for one in compared(Area.MCP, ((_described(call), call) for call in calls), before, after):
        assert isinstance(one.action, McpAction)
        found.setdefault((one.action.server, one.before, one.after), one)
    return list(found.values())


def _described(call: McpAction) -> str:
    server = f"server {call.server}" if call.server else "a server without a name"
    return f"tool {call.tool} of {server}" if call.tool else f"a tool without a name of {server}"


def _calls(rules: tuple[McpRule, ...]) -> Iterator[McpAction]:
    servers = _names(rules, [glob for rule in rules for glob in rule.servers])
    tools = _names(rules, [glob for rule in rules for glob in rule.tools])
    arguments = tuple(_arguments(rules))
    _check(len(servers) * len(tools) * len(arguments))
    for server, tool, text in product(servers, tools, arguments):
        yield McpAction(server=server, tool=tool, arguments=text)


def _names(rules: Iterable[McpRule], globs: list[str]) -> tuple[str, ...]:
    """A name of every kind. Rules that restrict mean a name in any case, rules that allow as it is written."""
    loose = globs if any(rule.verdict is not Verdict.ALLOW for rule in rules) else []
    return (*NameClasses(globs, literals=(), alphabet=_ANY_TEXT, folded=loose).kinds.values(), "")


def _arguments(rules: Iterable[McpRule]) -> Iterator[str]:
    globs: dict[str, list[str]] = {}
    for rule in rules:
        for key, glob in rule.arguments:
            globs.setdefault(key, []).append(glob)
    values = [tuple(_values(some)) for some in globs.values()]
    _check(prod(map(len, values)))
    for chosen in product(*values):
        pairs = zip(globs, chosen, strict=True)
        yield json.dumps({key: list(value) for key, value in pairs if value is not None}, sort_keys=True)
    if globs:
        yield _UNREADABLE


def _values(globs: list[str]) -> Iterator[tuple[str, ...] | None]:
    """A value for every set of globs that one can match: none at all, or a list, of which any element may match."""
    names = NameClasses(globs, literals=(), alphabet=_ANY_TEXT)
    texts = {names.matched(kind): text for kind, text in names.kinds.items()}
    texts.setdefault(names.matched(names.kind("")), "")
    found: dict[frozenset[str], tuple[str, ...]] = {}
    for matched, text in texts.items():
        for known, more in list(found.items()):
            found.setdefault(known | matched, (*more, text))
        found.setdefault(matched, (text,))
        _check(len(found), most=_MOST_KINDS)
    yield None
    yield from found.values()


def _check(kinds: int, *, most: int = MAX_ACTIONS) -> None:
    if kinds > most:
        raise TooLarge(f"the MCP rules make {kinds:,} kinds of calls or values; the limit is {most:,}")
