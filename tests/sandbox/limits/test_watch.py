from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from ringfence.policy.effective import Limits, Origin
from ringfence.sandbox.limit_keepers import keepers, layout, needs_watch
from ringfence.sandbox.limit_watch import Inside, Usage, Watch, family, shared_memory
from ringfence.sandbox.limits import MIB, Keeper, Outcome, Reached, told, words
from ringfence.sandbox.processes import Process, Table

ORIGIN = Origin(layer="managed", source="/etc/ringfence/policy.toml:9")


@dataclass
class Processes(Table):
    """A table of processes that a test writes."""

    found: dict[int, Process] = field(default_factory=dict)
    writes: dict[int, int] = field(default_factory=dict)

    def all(self) -> dict[int, Process]:
        return dict(self.found)

    def written(self, pid: int) -> int | None:
        return self.writes.get(pid)

    def shown(self, pid: int) -> str:
        return f"program {pid}"


def process(pid: int, parent: int) -> Process:
    return Process(pid=pid, parent=parent, threads=1, started=1, resident=0, place=str(pid))


class Run:
    """A watch over disk writes, one look after the other."""

    def __init__(self) -> None:
        self.told: list[Reached] = []
        self.table = Processes(0)
        self.reaped = 0
        inside = Inside(usage=self._usage, handle=self._handle, tell=self.told.append)
        self.watch = Watch(self.table, Limits(disk_mb=10), {"disk_mb": Keeper.WATCH}, inside=inside)

    async def look(self, writes: dict[int, int], parents: dict[int, int], reaped: int = 0) -> list[int]:
        self.table.writes = {pid: value * MIB for pid, value in writes.items()}
        self.table.found = {pid: process(pid, parents[pid]) for pid in writes}
        self.reaped = reaped * MIB
        await self.watch.look()
        return [each.seen for each in self.told]

    async def _usage(self) -> Usage:
        return Usage(written=self.reaped, places=0, shared=0)

    async def _handle(self, pid: int) -> int:
        raise ProcessLookupError(pid)


async def test_what_a_parent_has_waited_for_is_counted_once() -> None:
    run = Run()

    assert await run.look({2: 0, 3: 9}, {2: 1, 3: 2}) == []
    assert await run.look({2: 9}, {2: 1}) == []
    assert await run.look({}, {}, reaped=9) == []
    assert await run.look({4: 2}, {4: 1}, reaped=9) == [11]


async def test_what_nobody_has_waited_for_is_counted_as_it_was_seen() -> None:
    run = Run()

    assert await run.look({2: 0, 3: 6}, {2: 1, 3: 2}) == []
    assert await run.look({2: 0, 4: 4}, {2: 1, 4: 2}) == []
    assert await run.look({2: 0, 5: 1}, {2: 1, 5: 2}) == [11]


async def test_a_chain_that_ended_between_two_looks_is_counted_once() -> None:
    run = Run()

    assert await run.look({2: 1, 3: 5}, {2: 1, 3: 2}) == []
    assert await run.look({}, {}, reaped=7) == []
    assert await run.look({4: 4}, {4: 1}, reaped=7) == [11]


@pytest.mark.parametrize(
    ("parents", "chosen"),
    [
        ({2: 1}, 2),
        ({2: 1, 3: 2, 4: 3, 5: 3, 6: 3}, 3),
        ({2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 8: 4}, 4),
        ({2: 1, 3: 1, 4: 3, 5: 3}, 3),
        ({2: 1, 3: 2, 4: 2}, 2),
    ],
)
def test_who_multiplies_is_the_one_furthest_down_with_half_of_it(parents: dict[int, int], chosen: int) -> None:
    found = family({pid: process(pid, parent) for pid, parent in parents.items()}, "program {}".format)

    assert next(iter(found)) == chosen


def test_what_a_program_left_behind_is_one_family_and_not_whoever_started_it() -> None:
    """A shell with the rest of a pipe, and orphans of the program before it."""
    parents = {2: 1, 3: 2, 4: 1, 5: 1, 6: 1, 7: 1}
    shown = {2: "bash", 3: "cat", 7: "gpg-agent"}

    found = family({pid: process(pid, parent) for pid, parent in parents.items()}, lambda pid: shown.get(pid, "bomb"))

    assert list(found) == [4, 5, 6]


@pytest.mark.parametrize(
    ("mapped", "named", "grown", "used"),
    [
        (120, 120, 120, 120),
        (120, 0, 120, 120),
        (0, 120, 0, 120),
        (60, 60, 120, 120),
        (60, 60, 900, 120),
        (50, 70, -9, 70),
    ],
)
def test_shared_memory_is_between_what_is_seen_once_and_twice(mapped: int, named: int, grown: int, used: int) -> None:
    assert shared_memory(mapped=mapped, named=named, grown=grown) == used


def test_who_holds_what_depends_on_the_machine() -> None:
    limits = Limits(memory_mb=500, processes=50, cpu_percent=250, disk_mb=5, open_files=300, file_mb=5, wall_seconds=9)
    group = frozenset({"memory_mb", "processes", "cpu_percent"})

    assert told(keepers(limits, held=group, tier="A", root=False)) == (
        "wall_seconds by clock, processes by cgroup, open_files by rlimit, file_mb by rlimit, memory_mb by cgroup, "
        "cpu_percent by cgroup, disk_mb by watch"
    )
    without = keepers(limits, held=frozenset(), tier="A", root=False)
    assert (without["processes"], without["memory_mb"]) == (Keeper.RLIMIT, Keeper.WATCH)
    assert layout(limits, without)["processors"] == 2
    assert layout(limits, keepers(limits, held=group, tier="A", root=False))["processors"] is None
    assert keepers(limits, held=frozenset(), tier="A", root=True)["processes"] is Keeper.WATCH
    assert keepers(limits, held=frozenset(), tier="B", root=False)["processes"] is Keeper.WATCH
    assert not needs_watch(Limits(file_mb=5, wall_seconds=9, cpu_percent=200))


def test_words_name_the_limit_its_value_and_who_set_it() -> None:
    killed = Reached(
        limit="memory_mb", allowed=512, seen=530, outcome=Outcome.KILLED, keeper=Keeper.WATCH, program="python3 hog.py"
    )
    ended = Reached(limit="wall_seconds", allowed=60, seen=60, outcome=Outcome.ENDED, keeper=Keeper.CLOCK)
    refused = Reached(limit="processes", allowed=64, seen=64, outcome=Outcome.REFUSED, keeper=Keeper.RLIMIT)
    by = "managed, /etc/ringfence/policy.toml:9)"

    assert words(killed, ORIGIN) == (
        f"killed `python3 hog.py`: memory limit 512 MiB reached, 530 MiB used (limits.memory_mb, {by}"
    )
    assert words(ended, ORIGIN) == f"the session ended: time limit 60 s reached (limits.wall_seconds, {by}"
    assert words(refused, ORIGIN) == f"refused more: processes limit 64 reached (limits.processes, {by}"
