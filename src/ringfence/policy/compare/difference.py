"""One difference between two policies: an action, and what each of them decides about it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

from ringfence.model.action import (
    Action,
    CommandAction,
    ConnectAction,
    FileAction,
    McpAction,
    OpaqueAction,
    RequestFacts,
)
from ringfence.model.decision import Decision, Placement, Verdict
from ringfence.policy.evaluate import Evaluator


class Area(StrEnum):
    """What a difference is about."""

    NETWORK = "network"
    FILES = "files"
    COMMANDS = "commands"
    MCP = "mcp"


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What one policy decides, and by which rule."""

    verdict: Verdict
    rule: str
    source: str
    placement: Placement = Placement.INSIDE
    undoable: bool = False
    """Whether it asks only where no snapshot can be taken."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of action about which two policies decide differently."""

    area: Area
    what: str
    """All actions of the kind, for people."""
    action: Action
    """One of them."""
    before: Side
    after: Side

    @property
    def loosens(self) -> bool:
        """Whether the second policy lets something happen, or ask, that the first held back."""
        return looser(self.before, self.after)


class ValueDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A value that two policies set differently, and that no single action shows."""

    key: str
    before: str
    after: str
    loosens: bool


def looser(before: Side, after: Side) -> bool:
    """Whether one side is less strict than the other, or runs something outside that ran inside."""
    if after.verdict.strictness < before.verdict.strictness:
        return True
    if after.verdict is before.verdict and after.undoable and not before.undoable:
        return True
    return after.placement is Placement.OUTSIDE and before.placement is Placement.INSIDE


def compared(
    area: Area, cases: Iterable[tuple[str, Action]], before: Evaluator, after: Evaluator
) -> Iterator[Difference]:
    """Those of some actions, each with what it stands for, about which the two decide differently."""
    for what, action in cases:
        first, second = side(before.evaluate(action)), side(after.evaluate(action))
        if (first.verdict, first.placement, first.undoable) != (second.verdict, second.placement, second.undoable):
            yield Difference(area=area, what=what, action=action, before=first, after=second)


def side(decision: Decision) -> Side:
    """A decision without what only explains it."""
    first = decision.reasons[0]
    return Side(
        verdict=decision.verdict,
        rule=first.rule,
        source=first.source,
        placement=decision.placement,
        undoable=decision.undoable,
    )


def question(action: Action) -> dict[str, object]:
    """The action as a line for `policy explain --stdin`."""
    match action:
        case CommandAction(shell=str(script)):
            return {"shell": script, "cwd": action.cwd}
        case CommandAction():
            return {"argv": list(action.argv), "cwd": action.cwd}
        case FileAction():
            return {action.operation.value: action.path}
        case ConnectAction():
            host = f"[{action.host}]" if ":" in action.host else action.host
            request: dict[str, object] = {"method": action.method, "path": action.path}
            if isinstance(action.facts, RequestFacts):
                request["operations"] = list(action.facts.operations)
                request |= {"query": dict(action.facts.query), "headers": dict(action.facts.headers)}
            return {"connect": f"{host}:{action.port}", **{key: value for key, value in request.items() if value}}
        case McpAction():
            return {"mcp": action.server, "tool": action.tool, "arguments": msgspec.json.decode(action.arguments)}
        case OpaqueAction():
            return {}
