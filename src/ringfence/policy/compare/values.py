"""Differences in what no single action shows: variables, time limits, the tier, and every other value of a policy.

What the other modules compare exactly is left out here. All else is compared as it is written, so that a part of a
policy that is new does not go unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec

from ringfence.policy.compare.difference import ValueDifference
from ringfence.policy.compare.environment import variable_kinds
from ringfence.policy.effective import Limits, Policy

_ELSEWHERE = frozenset(
    {
        *("preset", "filesystem", "layers", "tests", "notices", "inactive", "origins", "digest"),
        *("network.default", "network.rules", "network.floor", "commands.rules", "environment.keep"),
        *("control_files", "environment.remove", "mcp.default", "mcp.rules", "soft", "observed"),
    }
)
"""Compared by what they decide, or about the documents rather than about what is in force."""

_NOT_SET = "not set"


def _limit(text: str) -> int:
    """How strict a limit is; one that nobody set is the loosest."""
    return -(1 << 40) if text == _NOT_SET else -int(text)


_STRICTNESS: Mapping[str, Callable[[str], int]] = {
    "approvals.timeout_seconds": lambda text: -int(text),
    "min_tier": "CBA".index,
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
    first, second = dict(_flat(before)), dict(_flat(after))
    for key in sorted({*first, *second}):
        one, other = first.get(key, _NOT_SET), second.get(key, _NOT_SET)
        if one != other:
            strictness = _STRICTNESS.get(key)
            loosens = strictness is not None and strictness(other) < strictness(one)
            yield ValueDifference(key=key, before=one, after=other, loosens=loosens)


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
