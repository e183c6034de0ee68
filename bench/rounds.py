"""Times programs in interleaved rounds, so that whatever disturbs the machine disturbs every contender alike."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

Act = Callable[[], Awaitable["Cost"]]


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn took, in milliseconds."""

    wall: float
    processor: float | None = None
    """User and system time of the program and all that it waited for."""


class Contender(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who does the work."""

    name: str
    act: Act


class Timed(msgspec.Struct, frozen=True, kw_only=True):
    """The medians of a contender."""

    name: str
    wall: float
    processor: float | None
    best: float


async def interleave(contenders: Sequence[Contender], rounds: int, *, seed: int = 1) -> list[Timed]:
    """Each contender once per round, in an order that changes from round to round. The first round only warms up."""
    order, dice = list(contenders), random.Random(seed)
    costs: dict[str, list[Cost]] = {contender.name: [] for contender in contenders}
    for number in range(rounds + 1):
        dice.shuffle(order)
        for contender in order:
            cost = await contender.act()
            if number:
                costs[contender.name].append(cost)
    return [_median(contender.name, costs[contender.name]) for contender in contenders]


def program(argv: Sequence[str], *, environment: Mapping[str, str], cwd: str) -> Act:
    """Starts a program and waits for it, blocking. Raises when it does not succeed: a refusal is not a fast success."""

    async def act() -> Cost:
        null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
        before = os.getcwd()
        os.chdir(cwd)
        try:
            started = time.perf_counter()
            process = os.posix_spawnp(argv[0], list(argv), dict(environment), file_actions=null)
            _, status, used = os.wait4(process, 0)
            wall = time.perf_counter() - started
        finally:
            os.chdir(before)
        if status:
            raise ChildProcessError(f"`{argv[0]}` ended with {os.waitstatus_to_exitcode(status)}")
        return Cost(wall=wall * 1000, processor=(used.ru_utime + used.ru_stime) * 1000)

    return act


def table(title: str, results: Sequence[Timed], yardstick: str) -> str:
    """The results as text; the last column says how many times the yardstick's time each one took."""
    ours = next(result.wall for result in results if result.name == yardstick)
    lines = [title, f"{'':44} {'median ms':>10} {'best ms':>9} {'cpu ms':>8} {'ratio':>7}"]
    for result in results:
        processor = f"{result.processor:8.1f}" if result.processor is not None else f"{'':8}"
        ratio = f"{result.wall / ours:6.2f}x"
        lines.append(f"{result.name:44} {result.wall:10.2f} {result.best:9.2f} {processor} {ratio:>7}")
    return "\n".join(lines)


def _median(name: str, costs: Sequence[Cost]) -> Timed:
    used = [cost.processor for cost in costs if cost.processor is not None]
    return Timed(
        name=name,
        wall=statistics.median(cost.wall for cost in costs),
        processor=statistics.median(used) if used else None,
        best=min(cost.wall for cost in costs),
    )
