"""Differences in what no single action shows: variables, time limits, the tier, and every other value of a policy.

What the other modules compare exactly is left out here. All else is compared as it is written, so that a part of a
policy that is new does not go unseen.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum

import msgspec

from ringfence.model.decision import Risk
from ringfence.policy.compare import approvals
from ringfence.policy.compare.difference import ValueDifference
from ringfence.policy.compare.environment import variable_kinds
from ringfence.policy.compare.models import model_differences
from ringfence.policy.effective import (
    Attach,
    ContentBudget,
    CredentialRule,
    Limits,
    McpServer,
    OnSecret,
    Policy,
    Remember,
    Unseen,
)

_ELSEWHERE = frozenset(
    {
        *("preset", "filesystem", "layers", "tests", "notices", "inactive", "origins", "digest"),
        *("network.default", "network.rules", "network.floor", "commands.rules", "environment.keep"),
        *("control_files", "environment.remove", "mcp.default", "mcp.rules", "mcp.servers", "soft", "observed"),
        *("content.record_only", "content.budgets"),
        *("credentials.rules", "credentials.forbidden", "model"),
        *(f"approvals.{name}" for name in approvals.COMPARED),
    }
)
"""Compared by what they decide, or about the documents rather than about what is in force."""

_NOT_SET = "not set"


def _limit(text: str) -> int:
    """How strict a limit is; one that nobody set is the loosest."""
    return -(1 << 40) if text == _NOT_SET else -int(text)


def _order(kind: type[StrEnum]) -> Callable[[str], int]:
    return [one.value for one in kind].index


def _risk(text: str) -> int:
    """How high a risk is; none at all is the lowest."""
    return -1 if text == _NOT_SET else _order(Risk)(text)


_STRICTNESS: Mapping[str, Callable[[str], int]] = {
    "mcp.changed": ("allow", "ask", "deny").index,
    "mcp.unseen": _order(Unseen),
    "approvals.timeout_seconds": lambda text: -int(text),
    "approvals.remember": lambda text: -_order(Remember)(text),
    "approvals.remember_days": lambda text: -int(text),
    "approvals.self_approval": ("true", "false").index,
    "approvals.break_glass_minutes": lambda text: -int(text),
    "approvals.denials_in_a_row": lambda text: -int(text),
    "approvals.denials_of_50": lambda text: -int(text),
    "approvals.delegate": lambda text: -_risk(text),
    "approvals.reviewer_ceiling": lambda text: -_risk(text),
    "approvals.reviewer_audit_percent": int,
    "min_tier": "CBA".index,
    "workspace_mode": ("direct", "staged").index,
    "content.on_secret": tuple(OnSecret).index,
    "content.canaries": ("false", "true").index,
    "content.unreadable": ("allow", "ask", "deny").index,
    "boundary": lambda text: 0 if text == _NOT_SET else -1,
    **{f"limits.{name}": _limit for name in Limits.__struct_fields__},
}


def value_differences(before: Policy, after: Policy) -> Iterator[ValueDifference]:
    """Variables first, then the other values in the order of their names."""
    for kind in variable_kinds(before.environment, after.environment):
        if kind.before != kind.after:
            reach = {False: "removed", True: "reaches the sandbox"}
            text = kind.text if kind.text == kind.example else f"{kind.text}, such as {kind.example}"
            yield ValueDifference(
                key=f"environment.keep: {text}", before=reach[kind.before], after=reach[kind.after], loosens=kind.after
            )
    yield from _protocols(before, after)
    yield from _credentials(before, after)
    yield from _tool_servers(before, after)
    yield from _content(before, after)
    yield from approvals.approval_differences(before.approvals, after.approvals)
    yield from model_differences(before.model, after.model)
    first, second = dict(_flat(before)), dict(_flat(after))
    for key in sorted({*first, *second}):
        one, other = first.get(key, _NOT_SET), second.get(key, _NOT_SET)
        if one != other:
            strictness = _STRICTNESS.get(key)
            loosens = strictness is not None and strictness(other) < strictness(one)
            yield ValueDifference(key=key, before=one, after=other, loosens=loosens)


def _protocols(before: Policy, after: Policy) -> Iterator[ValueDifference]:
    """What may be spoken beside HTTP and TLS, and the keys that are taken there: the verdict may well be the same."""
    was, is_now = _spoken(before), _spoken(after)
    for host in sorted({*was, *is_now}):
        one, other = was.get(host, frozenset()), is_now.get(host, frozenset())
        if one != other:
            texts = [", ".join(sorted(each)) or _NOT_SET for each in (one, other)]
            loosens = bool(other - one)
            yield ValueDifference(key=f"spoken to {host}", before=texts[0], after=texts[1], loosens=loosens)


def _spoken(policy: Policy) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for rule in policy.network.rules:
        if rule.protocol and rule.opens:
            keys = rule.host_keys or ("",)
            for host in rule.hosts:
                found.setdefault(host, set()).update(f"{rule.protocol} {key}".strip() for key in keys)
    return {host: frozenset(words) for host, words in found.items()}


def _tool_servers(before: Policy, after: Policy) -> Iterator[ValueDifference]:
    """What servers of tools have to be. Whatever takes the place of a description lets another server in."""
    first, second = (Counter(map(_server_text, of.mcp.servers)) for of in (before, after))
    for text in sorted((first - second) + (second - first)):
        name, _, said = text.partition(" is ")
        was, now = ("anything", said) if text in second - first else (said, "anything")
        yield ValueDifference(key=f"mcp.server: {name}", before=was, after=now, loosens=text in first - second)


def _server_text(server: McpServer) -> str:
    tools = f" with the tools {' '.join(server.tools)}" if server.tools else ""
    return f"{server.name} is {server.url or shlex.join(server.command)}{tools}"


def _credentials(before: Policy, after: Policy) -> Iterator[ValueDifference]:
    """Each credential that is bound otherwise, and each host that newly gets none or gets some again."""
    first, second = ({rule.id: rule for rule in of.credentials.rules} for of in (before, after))
    for name in sorted({*first, *second}):
        one, other = first.get(name), second.get(name)
        if one is None or other is None:
            texts = ["not bound" if rule is None else bound_text(rule) for rule in (one, other)]
            yield ValueDifference(key=f"credentials: {name}", before=texts[0], after=texts[1], loosens=True)
            continue
        for (key, was_bound), (_, now_bound) in zip(_bound_parts(one), _bound_parts(other), strict=True):
            if was_bound != now_bound:
                # A host that it is no longer bound to is left to credentials of the agent's own.
                yield ValueDifference(
                    key=f"credentials: {name}: {key}",
                    before=was_bound or "any",
                    after=now_bound or "any",
                    loosens=True,
                )
    was, now = ({host for one in of.credentials.forbidden for host in one.hosts} for of in (before, after))
    for host in sorted(was ^ now):
        said = ("none goes there", "may go there")
        shown = said if host in was else said[::-1]
        yield ValueDifference(key=f"credentials to {host}", before=shown[0], after=shown[1], loosens=host in was)


def _content(before: Policy, after: Policy) -> Iterator[ValueDifference]:
    """Each destination where findings are newly only recorded, or are not any more, and each budget that changed."""
    first, second = set(before.content.record_only), set(after.content.record_only)
    for host in sorted(first ^ second):
        said = ("findings are only recorded", "findings count")
        shown = said if host in first else said[::-1]
        yield ValueDifference(key=f"content to {host}", before=shown[0], after=shown[1], loosens=host in second)
    was, now = (dict.fromkeys(map(budget_text, of.content.budgets)) for of in (before, after))
    for text in sorted(was.keys() ^ now.keys()):
        shown = ("holds", _NOT_SET) if text in was else (_NOT_SET, "holds")
        yield ValueDifference(key=f"content.budget: {text}", before=shown[0], after=shown[1], loosens=text in was)


def budget_text(budget: ContentBudget) -> str:
    """A budget in one line."""
    left_out = f" except {' '.join(budget.left_out)}" if budget.left_out else ""
    each = " each" if budget.each else ""
    return f"{' '.join(budget.hosts)}{left_out}: {budget.megabytes} MB{each}, then {budget.over.value}"


def bound_text(rule: CredentialRule) -> str:
    """What a credential is bound to, in one line."""
    parts = dict(_bound_parts(rule))
    request = " ".join(filter(None, (parts["hosts"], parts["methods"], parts["paths"])))
    variables = f"in {parts['variables']}" if rule.variables else ""
    attach = rule.attach.value if rule.attach is not Attach.PLACEHOLDER else ""
    return "; ".join(filter(None, (request, parts["form"], f"from {rule.source}", variables, attach)))


def _bound_parts(rule: CredentialRule) -> tuple[tuple[str, str], ...]:
    return (
        ("hosts", " ".join(rule.hosts)),
        ("methods", ",".join(rule.methods)),
        ("paths", " ".join(rule.paths)),
        ("form", f"{rule.form.value} {rule.field or rule.user}".strip()),
        ("source", str(rule.source)),
        ("variables", " ".join(rule.variables)),
        ("attach", rule.attach.value),
    )


def _flat(policy: Policy) -> Iterator[tuple[str, str]]:
    values: dict[str, object] = msgspec.to_builtins(policy)
    yield from _entries("", values)


def _entries(place: str, values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        key = f"{place}.{name}" if place else name
        if key in _ELSEWHERE or name == "origin" or name.endswith("_origin"):
            continue
        if key == "environment.set" and isinstance(value, list | tuple):
            yield from ((f"environment.set: {name}", str(text)) for name, text in value)
        elif isinstance(value, dict):
            yield from _entries(key, value)
        elif value not in ((), [], None, ""):
            yield key, value if isinstance(value, str) else msgspec.json.encode(value).decode()
