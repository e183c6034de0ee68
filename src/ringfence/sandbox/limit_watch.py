"""Watches what a sandbox uses up, from outside, and ends what uses too much: what the kernel does not hold by itself,
and what it holds without saying so.

Looks more often the closer a limit is, so that a program that takes memory as fast as the machine gives it is met near
the limit. A level costs the largest program, as with the kernel's own killing; a budget ends the session.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress

import msgspec

from ringfence.policy.effective import Limits, Origin
from ringfence.sandbox.limit_groups import Group
from ringfence.sandbox.limits import MIB, Keeper, Outcome, Reached, origin_of, words
from ringfence.sandbox.processes import Process, Table, error_stream, say

_RATE = 4096 * MIB
"""Bytes a second that a program may take at most, as we reckon."""
_SHORTEST, _LONGEST = 0.01, 0.25
_AT_ONCE = 8
"""Programs that are ended for memory before memory is counted again."""
_WAVES = 50
_ASKED = 8
"""Processes that are asked for their error stream, until one has it."""
_PATIENCE = 1.0
"""Seconds for which a process may hide what it writes."""
_OURS = 2
"""The launcher and process 1, which the kernel counts too."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What process 1 says of itself and of the places that only it sees."""

    written: int
    """Bytes written to disks by every process that it has waited for, and by itself."""
    places: int
    """Bytes in the private folders, which are memory."""
    shared: int
    """Bytes in shared memory segments."""


class Inside(msgspec.Struct, frozen=True, kw_only=True):
    """What the watch has from the sandbox."""

    usage: Callable[[], Awaitable[Usage]]
    handle: Callable[[int], Awaitable[int]]
    """A process descriptor, by the number of a process inside."""
    tell: Callable[[Reached], None]
    """Told about every limit that is reached; ends the session where the outcome says so."""


class Watch:
    """The watch over one sandbox."""

    def __init__(
        self,
        table: Table,
        limits: Limits,
        keepers: Mapping[str, Keeper],
        *,
        inside: Inside,
        group: Group | None = None,
        origins: tuple[tuple[str, Origin], ...] = (),
    ) -> None:
        self._table = table
        self._limits = limits
        self._keepers = keepers
        self._inside = inside
        self._group = group
        self._origins = origins
        self._written: dict[int, int] = {}
        self._parents: dict[int, int] = {}
        self._gone = 0
        self._hidden: dict[tuple[int, int], float] = {}
        self._shared_before = _shared_memory()
        self._told: set[tuple[str, str]] = set()
        self._counts = (group.killed(), group.refused()) if group is not None else (0, 0)

    async def run(self) -> None:
        """Watch until it is cancelled."""
        wait = 0.0
        while wait >= 0:
            await asyncio.sleep(wait)
            wait = await self.look()

    async def look(self) -> float:
        """Look once; the answer is when to look again, in seconds."""
        usage = await self._inside.usage()
        found = await asyncio.to_thread(self._table.all)
        self._from_kernel()
        await self._files(found)
        await self._processes(found)
        room = [await self._memory(found, usage), await self._disk(found, usage)]
        return min(max(min(room) / _RATE, _SHORTEST), _LONGEST)

    async def _memory(self, found: Mapping[int, Process], usage: Usage) -> int:
        """End the largest programs until what is left is within the limit. The answer is the room there is."""
        if self._limits.memory_mb is None:
            return _RATE
        most = self._limits.memory_mb * MIB
        if self._group is not None and "memory_mb" in self._group.held:
            most -= most // 16
        used = await asyncio.to_thread(self._used, found, usage, most)
        if used <= most:
            return most - used
        largest = sorted(found.values(), key=lambda each: each.resident, reverse=True)
        left = used
        for process in largest[:_AT_ONCE]:
            if left <= most:
                break
            left -= process.resident
            seen = -(-used // MIB)
            await self._kill(process, "memory_mb", max(seen, self._limits.memory_mb))
        return 0

    def _used(self, found: Mapping[int, Process], usage: Usage, most: int) -> int:
        if self._group is not None and (known := self._group.memory()) is not None:
            return known
        places, grown = usage.places + usage.shared, _shared_memory() - self._shared_before
        # SECURITY: memory that no process has mapped, in files without a name, is in nobody's share (T24).
        files = self._table.memory_files(found.values()) if grown - places > most // 4 else 0
        bound = sum(each.resident for each in found.values()) + places + files
        if bound <= most:
            return bound
        # What processes share was counted with each of them; now each has its share of it.
        shares = [self._table.proportional(each) for each in found.values()]
        return sum(own for own, _ in shares) + shared_memory(
            mapped=sum(shared for _, shared in shares), named=places + files, grown=grown
        )

    async def _disk(self, found: Mapping[int, Process], usage: Usage) -> int:
        if self._limits.disk_mb is None:
            return _RATE
        now, hidden = await asyncio.to_thread(self._writers, found)
        for process in hidden:
            # SECURITY: what cannot be counted cannot be limited.
            await self._kill(process, "disk_mb", self._limits.disk_mb)
        used = self._total({**now, 0: usage.written}, {pid: each.parent for pid, each in found.items()})
        most = self._limits.disk_mb * MIB
        if used > most:
            writer = max(now, key=lambda pid: now[pid], default=None)
            program = self._table.shown(writer) if writer is not None else ""
            reached = self._reached("disk_mb", -(-used // MIB), Outcome.ENDED, program)
            if writer is not None:
                reached = await self._last_words([found[writer]], reached, lambda: True) or reached
            self._inside.tell(reached)
        return most - used

    def _writers(self, found: Mapping[int, Process]) -> tuple[dict[int, int], list[Process]]:
        """What each process has written, and those that hide it."""
        now, hidden = dict[int, int](), list[Process]()
        for pid, process in found.items():
            try:
                value = self._table.written(pid)
            except PermissionError:
                if self._stays_hidden(process):
                    hidden.append(process)
                continue
            if value is not None:
                now[pid] = value
        return now, hidden

    def _stays_hidden(self, process: Process) -> bool:
        """Whether a process has not shown what it writes for a while. One that is about to start its program has ours
        still, and one that ends has none any more."""
        if process.resident == 0:
            return False
        since = self._hidden.setdefault((process.pid, process.started), time.monotonic())
        return time.monotonic() - since > _PATIENCE

    def _total(self, now: Mapping[int, int], parents: Mapping[int, int]) -> int:
        """Bytes written in all. A process that was waited for is counted by who waited; one that nobody waited for is
        counted as it was last seen."""
        grown = {pid: value - self._written.get(pid, 0) for pid, value in now.items()}
        for pid in self._written.keys() - now.keys():
            parent = self._parents.get(pid, 0)
            heir = parent if parent in now else 0
            if grown.get(heir, 0) >= self._written[pid]:
                grown[heir] -= self._written[pid]
            else:
                self._gone += self._written[pid]
        self._written, self._parents = dict(now), dict(parents)
        return sum(now.values()) + self._gone

    async def _processes(self, found: Mapping[int, Process]) -> None:
        most = self._limits.processes
        if most is None:
            return
        count = sum(each.threads for each in found.values())
        keeper = self._keepers.get("processes")
        if keeper is not Keeper.WATCH:
            if keeper is not Keeper.CGROUP and count + _OURS >= most:
                self._tell_once(self._reached("processes", count, Outcome.REFUSED))
            return
        if count <= most:
            return
        # A program that starts others faster than one can look: all of the largest family, until no more come.
        victims = family(found, self._table.shown)
        program = next(filter(None, map(self._table.shown, victims)), "")
        reached = self._reached("processes", count, Outcome.KILLED, program)
        reached = await self._last_words(victims.values(), reached, lambda: True) or reached
        for _ in range(_WAVES):
            await asyncio.to_thread(self._end_all, victims, signal.SIGSTOP)
            await asyncio.to_thread(self._end_all, victims, signal.SIGKILL)
            again = await asyncio.to_thread(self._table.all)
            if sum(each.threads for each in again.values()) <= most:
                break
            new = {pid: each for pid, each in again.items() if pid not in found}
            victims = new | family(again, self._table.shown)
        self._inside.tell(reached)

    def _end_all(self, victims: Mapping[int, Process], number: signal.Signals) -> None:
        for each in victims.values():
            self._table.signal(each, number)

    async def _files(self, found: Mapping[int, Process]) -> None:
        most = self._limits.open_files
        if most is None:
            return
        for process in found.values():
            count = self._table.open_files(process)
            if count >= most:
                self._tell_once(self._reached("open_files", count, Outcome.REFUSED, self._table.shown(process.pid)))

    def _from_kernel(self) -> None:
        """What the kernel did by itself since the last look."""
        if self._group is None:
            return
        killed, refused = self._group.killed(), self._group.refused()
        if killed > self._counts[0] and self._limits.memory_mb is not None:
            self._inside.tell(self._reached("memory_mb", self._limits.memory_mb, Outcome.KILLED))
        if refused > self._counts[1] and self._limits.processes is not None:
            self._tell_once(self._reached("processes", self._limits.processes, Outcome.REFUSED))
        self._counts = killed, refused

    async def _kill(self, process: Process, limit: str, seen: int) -> None:
        reached = self._reached(limit, seen, Outcome.KILLED, self._table.shown(process.pid))
        told = await self._last_words([process], reached, lambda: self._table.signal(process, signal.SIGKILL))
        if told is not None:
            self._inside.tell(told)

    async def _last_words(
        self, processes: Iterable[Process], reached: Reached, act: Callable[[], bool]
    ) -> Reached | None:
        """Do something to processes, and say in the error stream of the first that has one what and why: that is where
        an agent reads why its tool ended. None when there was nothing to do it to any more."""
        stream = None
        for process in itertools.islice(processes, _ASKED):
            stream = await self._error_stream(process)
            if stream is not None:
                break
        try:
            if not act():
                return None
            if stream is None:
                return reached
            text = words(reached, origin_of(self._origins, reached.limit))
            return msgspec.structs.replace(reached, said=await asyncio.to_thread(say, stream, text))
        finally:
            if stream is not None:
                os.close(stream)

    async def _error_stream(self, process: Process) -> int | None:
        try:
            handle = await self._inside.handle(process.pid)
        except OSError:
            return None
        try:
            stream = error_stream(handle)
        finally:
            os.close(handle)
        # Containers forbid to take a descriptor, and not to open the pipe that it stands for.
        return self._table.error_pipe(process) if stream is None else stream

    def _reached(self, limit: str, seen: int, outcome: Outcome, program: str = "") -> Reached:
        return Reached(
            limit=limit,
            allowed=getattr(self._limits, limit),
            seen=seen,
            outcome=outcome,
            keeper=self._keepers.get(limit, Keeper.WATCH),
            program=program,
        )

    def _tell_once(self, reached: Reached) -> None:
        """What is only refused is refused again and again."""
        if (reached.limit, reached.program) not in self._told:
            self._told.add((reached.limit, reached.program))
            self._inside.tell(reached)


def shared_memory(*, mapped: int, named: int, grown: int) -> int:
    """Bytes of shared memory: some is mapped, some lies in files, and nobody says how much is both. What the whole
    machine has more of than before tells, within what is possible."""
    return min(mapped + named, max(mapped, named, grown))


def family(found: Mapping[int, Process], shown: Callable[[int], str]) -> dict[int, Process]:
    """Whoever multiplies, the first of them first: the process furthest down with at least half of what the largest
    command has started, and all that it started, so that a shell or an agent does not go with its tool.

    What is left of a program that has ended already has nobody above it: those that show the same command line are one
    family.
    """
    tops = [pid for pid, each in found.items() if each.parent not in found]
    families = {pid: _members(found, pid) for pid in tops}
    chosen = max(tops, key=lambda pid: len(families[pid]))
    alone: dict[str, list[int]] = {}
    for pid in tops:
        if len(families[pid]) == 1:
            alone.setdefault(shown(pid), []).append(pid)
    orphans = max(alone.values(), key=len, default=[])
    if len(orphans) > len(families[chosen]):
        return {pid: found[pid] for pid in orphans}
    enough = len(families[chosen]) / 2
    while True:
        below = [pid for pid, each in found.items() if each.parent == chosen and pid != chosen]
        heir = max(below, key=lambda pid: len(_members(found, pid)), default=None)
        if heir is None or len(_members(found, heir)) < enough:
            return _members(found, chosen)
        chosen = heir


def _members(found: Mapping[int, Process], top: int) -> dict[int, Process]:
    children: dict[int, list[int]] = {}
    for each in found.values():
        children.setdefault(each.parent, []).append(each.pid)
    members, waiting = dict[int, Process](), [top]
    while waiting:
        pid = waiting.pop()
        if pid not in members:
            members[pid] = found[pid]
            waiting += children.get(pid, ())
    return members


def _shared_memory() -> int:
    """Bytes in shared memory on the whole machine."""
    with suppress(OSError), open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("Shmem:"):
                return int(line.split()[1]) * 1024
    return 0
