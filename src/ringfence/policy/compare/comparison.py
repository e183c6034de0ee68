"""Everything that two policies decide differently, for one person in one workspace."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from ringfence.policy.compare.commands import command_differences
from ringfence.policy.compare.credentials import Handling
from ringfence.policy.compare.difference import Area, Difference, ValueDifference
from ringfence.policy.compare.files import file_differences
from ringfence.policy.compare.holding import unheld
from ringfence.policy.compare.limits import TooLarge
from ringfence.policy.compare.mcp import mcp_differences
from ringfence.policy.compare.network import Judged, judged, network_differences
from ringfence.policy.compare.values import value_differences
from ringfence.policy.effective import CommandRule
from ringfence.policy.evaluate import Evaluator

_Found = TypeVar("_Found")


class Undecided(msgspec.Struct, frozen=True, kw_only=True):
    """An area that is too large to be compared completely."""

    area: Area
    why: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The differences of two policies."""

    differences: tuple[Difference, ...]
    values: tuple[ValueDifference, ...]
    connections: tuple[Judged, ...]
    """Every kind of connection, with both verdicts."""
    unheld: tuple[CommandRule, ...]
    """Command rules of the first policy that no rule of the second holds as strictly."""
    undecided: tuple[Undecided, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs, as far as everything could be compared."""
        return not (self.differences or self.values or self.undecided)


def compare(before: Evaluator, after: Evaluator, *, handling: Iterable[Handling] = ()) -> Comparison:
    """Compare two policies. `handling` names requests that the questions about credentials have to tell apart."""
    undecided: list[Undecided] = []
    more = [named for one in handling for named in one.named()]
    connections = _within(Area.NETWORK, lambda: judged(before, after, more=more), undecided)
    files = _within(Area.FILES, lambda: file_differences(before, after), undecided)
    tools = _within(Area.MCP, lambda: mcp_differences(before, after), undecided)
    return Comparison(
        differences=(*network_differences(connections), *files, *command_differences(before, after), *tools),
        values=tuple(value_differences(before.policy, after.policy)),
        connections=tuple(connections),
        unheld=unheld(before.policy, after.policy),
        undecided=tuple(undecided),
    )


def _within(area: Area, found: Callable[[], list[_Found]], undecided: list[Undecided]) -> list[_Found]:
    try:
        return found()
    except TooLarge as reason:
        undecided.append(Undecided(area=area, why=str(reason)))
        return []
