"""Programs that use up a machine. Each is first shown to get its way where nobody set a limit, within caps of its own;
then a limit is set."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest
from tests.sandbox.boxes import Box, Place

from ringfence.model.situations import SandboxLost, SandboxUnavailable
from ringfence.policy.effective import Limits, Origin
from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.limits import Keeper, Outcome, Reached
from ringfence.sandbox.probe import require

TIERS = pytest.mark.parametrize("tier", ["A", "B"])
ORIGIN = Origin(layer="user", source="policy.toml:7")


class Limited:
    """A sandbox with limits, and what was told of them."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.told: list[Reached] = []

    async def watch(self) -> None:
        sandbox = self.box.sandbox

        def reached(what: Reached) -> None:
            self.told.append(what)
            if what.outcome is Outcome.ENDED:
                sandbox.end()

        with suppress(SandboxLost):
            await sandbox.watch(reached)

    async def until_told(self) -> Reached:
        async with asyncio.timeout(10):
            while not self.told:
                await asyncio.sleep(0.01)
        return self.told[0]


@asynccontextmanager
async def limited(place: Place, tier: str, *, watched: bool = True, **limits: int) -> AsyncIterator[Limited]:
    if tier not in require("C"):
        pytest.skip(f"this machine gives no tier {tier}")
    origins = tuple((key, ORIGIN) for key in limits)
    plan = msgspec.structs.replace(place.plan(), limits=Limits(**limits), limit_origins=origins)
    sandbox = await Sandbox.start(plan, tier=tier)
    bound = Limited(Box(sandbox, place))
    try:
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(bound.watch()) if watched else None
            yield bound
            if watch is not None:
                watch.cancel()
    finally:
        await sandbox.close()


HOG = """
import time
kept = []
for _ in range(40):
    kept.append(bytearray(b'x') * (10 << 20))
print('has it all', flush=True)
"""
FILES_IN_MEMORY = """
import os
for number in range(40):
    file = os.memfd_create('m'); os.write(file, b'x' * (10 << 20))
import time; time.sleep(0.3)
print('has it all', flush=True)
"""
TEMPORARY_FILES = """
import os
for number in range(40):
    with open(f'/tmp/{number}', 'wb') as file: file.write(b'x' * (10 << 20))
print('has it all', flush=True)
"""
SPLIT_HOG = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        kept = bytearray(b'x') * (50 << 20); time.sleep(1); os._exit(0)
if all(os.wait()[1] == 0 for _ in range(8)):
    print('has it all', flush=True)
"""
WITHOUT_FIRST_THREAD = """
import ctypes, os, threading, time
def run():
    time.sleep(0.1)
    kept = []
    for _ in range(40):
        kept.append(bytearray(b'x') * (10 << 20))
    time.sleep(0.5)
    os.write(1, b'has it all\\n')
    os._exit(0)
threading.Thread(target=run).start()
ctypes.CDLL(None).syscall(60 if os.uname().machine == 'x86_64' else 93, 0)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tier", "program"),
    [("A", SPLIT_HOG), ("A", FILES_IN_MEMORY), ("A", WITHOUT_FIRST_THREAD), ("A", HOG), ("B", HOG)],
)
async def test_a_program_that_takes_memory_is_killed_and_told_why(place: Place, tier: str, program: str) -> None:
    async with limited(place, tier) as free:
        assert "has it all" in (await free.box.python(program)).out
        assert free.told == []

    async with limited(place, tier, memory_mb=200) as bound:
        result = await bound.box.shell(f'/usr/bin/python3 -I -S -c "{program}" | cat')

        reached = await bound.until_told()
        assert (reached.limit, reached.allowed, reached.outcome) == ("memory_mb", 200, Outcome.KILLED)
        assert reached.seen >= 200
        assert "has it all" not in result.out
        if program != WITHOUT_FIRST_THREAD:
            assert "ringfence: killed `/usr/bin/python3 -I -S -c" in result.err
            assert "memory limit 200 MiB reached" in result.err
            assert "(limits.memory_mb, user, policy.toml:7)" in result.err
        assert (await bound.box.shell("echo goes on")).out == "goes on\n"


@pytest.mark.slow
async def test_files_in_the_private_folders_count_as_memory(place: Place) -> None:
    async with limited(place, "A", memory_mb=200) as bound:
        holding = f"{TEMPORARY_FILES}\nimport time; time.sleep(1)"

        result = await bound.box.python(holding)

        assert (await bound.until_told()).limit == "memory_mb"
        assert result.code == 128 + 9


MAPPED_FILE = """
import mmap, time
file = open('/dev/shm/buffer', 'w+b')
file.truncate(120 << 20)
area = mmap.mmap(file.fileno(), 120 << 20)
for at in range(0, 120 << 20, 4096): area[at] = 1
time.sleep(0.6)
print('went on', flush=True)
"""


@pytest.mark.slow
async def test_a_file_in_memory_that_is_mapped_too_counts_once(place: Place) -> None:
    async with limited(place, "A", memory_mb=200) as bound:
        assert (await bound.box.python(MAPPED_FILE)).out == "went on\n"

        assert bound.told == []


FORK_BOMB = """
import os, time
made = 0
while made < 400:
    try:
        if os.fork() == 0:
            time.sleep(1); os._exit(0)
    except OSError as error:
        print(error.strerror, flush=True); break
    made += 1
else:
    print('four hundred', flush=True)
"""
DOUBLE_FORKS = """
import os, time
for _ in range(400):
    try:
        if os.fork() == 0:
            if os.fork() == 0:
                time.sleep(1)
            os._exit(0)
        os.wait()
    except OSError as error:
        print(error.strerror, flush=True); break
else:
    print('four hundred', flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("tier", "program"), [("A", DOUBLE_FORKS), ("B", FORK_BOMB)])
async def test_a_fork_bomb_is_held(place: Place, tier: str, program: str) -> None:
    async with limited(place, tier) as free:
        assert (await free.box.python(program)).out == "four hundred\n"

    async with limited(place, tier, processes=64) as bound:
        result = await bound.box.python(program)

        reached = await bound.until_told()
        assert (reached.limit, reached.allowed) == ("processes", 64)
        assert "four hundred" not in result.out or reached.outcome is Outcome.KILLED
        assert (await bound.box.shell("echo goes on")).out == "goes on\n"


@pytest.mark.slow
async def test_a_fork_bomb_does_not_take_along_who_started_it(place: Place) -> None:
    async with limited(place, "B", processes=64) as bound:
        result = await bound.box.shell(f'/usr/bin/python3 -I -S -c "{FORK_BOMB}" | cat; echo goes on')

        reached = await bound.until_told()
        assert (reached.outcome, reached.keeper) == (Outcome.KILLED, Keeper.WATCH)
        # Where the bomb has ended before anybody looked, its orphans are nobody's, and the rest of the pipe is named;
        # where that has ended as well, nobody is.
        assert reached.program.split("/")[-1].startswith(("python3", "cat")) or not reached.program
        assert result.out.endswith("goes on\n")
        assert "processes limit 64 reached" in result.err


@pytest.mark.slow
async def test_what_a_fork_bomb_left_behind_is_ended_and_not_its_neighbours(place: Place) -> None:
    """The bomb itself has ended before anybody looks."""
    bomb = FORK_BOMB.replace("sleep(1)", "sleep(20)")
    async with limited(place, "B", processes=64, watched=False) as bound, asyncio.TaskGroup() as group:
        script = f'{{ /usr/bin/python3 -I -S -c "{bomb}"; touch orphaned; }} | cat; echo goes on'
        running = group.create_task(bound.box.shell(script))
        async with asyncio.timeout(20):
            while not (place.workspace / "orphaned").exists():
                await asyncio.sleep(0.01)
        watch = group.create_task(bound.watch())
        result = await running
        reached = await bound.until_told()
        watch.cancel()

    assert result.out == "four hundred\ngoes on\n"
    assert "processes limit 64 reached" in result.err
    assert "Killed" not in result.err
    assert reached.program.split("/")[-1].startswith("python3")


DISK_FILLER = """
import os
for number in range(40):
    with open(f'f{number}', 'wb') as file: file.write(b'x' * (2 << 20))
    os.unlink(f'f{number}')
print('eighty', flush=True)
"""
"""Never more than two megabytes at once, and eighty in all."""


@TIERS
@pytest.mark.slow
async def test_a_session_that_writes_more_than_it_may_ends(place: Place, tier: str) -> None:
    async with limited(place, tier) as free:
        assert (await free.box.python(DISK_FILLER)).out == "eighty\n"

    async with limited(place, tier, disk_mb=30) as bound:
        with pytest.raises(SandboxLost):
            await bound.box.python(f"import time, signal\n{DISK_FILLER}\ntime.sleep(20)")

        reached = await bound.until_told()
        assert (reached.limit, reached.allowed, reached.outcome) == ("disk_mb", 30, Outcome.ENDED)


SHORT_WRITERS = """
import os, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for number in range(40):
    if os.fork() == 0:
        with open(f'f{number}', 'wb') as file: file.write(b'x' * (2 << 20))
        os._exit(0)
    if number % 8 == 7:
        import time; time.sleep(0.3)
"""


@pytest.mark.slow
async def test_writers_that_nobody_waits_for_are_counted_as_they_were_seen(place: Place) -> None:
    async with limited(place, "A", disk_mb=10) as bound:
        script = SHORT_WRITERS.replace("os._exit(0)", "import time; time.sleep(0.4); os._exit(0)")
        with pytest.raises(SandboxLost):
            await bound.box.python(f"{script}\ntime.sleep(20)")

        assert (await bound.until_told()).outcome is Outcome.ENDED


FILES = """
import os, time
try:
    kept = [os.open('/dev/null', os.O_RDONLY) for _ in range(2000)]
    print('two thousand', flush=True)
except OSError as error:
    print(error.strerror, flush=True)
    time.sleep(0.6)
"""


@TIERS
@pytest.mark.slow
async def test_open_files_run_out_and_it_is_told_whose(place: Place, tier: str) -> None:
    async with limited(place, tier) as free:
        assert (await free.box.python(FILES)).out == "two thousand\n"

    async with limited(place, tier, open_files=256) as bound:
        assert (await bound.box.python(FILES)).out == "Too many open files\n"

        reached = await bound.until_told()
        assert msgspec.structs.replace(reached, program="") == Reached(
            limit="open_files", allowed=256, seen=256, outcome=Outcome.REFUSED, keeper=Keeper.RLIMIT
        )
        assert reached.program.startswith("/usr/bin/python3")


@TIERS
async def test_one_large_file_is_refused_and_told(place: Place, tier: str) -> None:
    script = "exec head -c 3000000 /dev/zero > large"
    async with limited(place, tier) as free:
        assert (await free.box.shell(script)).code == 0

    async with limited(place, tier, file_mb=1) as bound:
        watched = await bound.box.shell(script)

        assert watched.code == 128 + 25
        assert os.path.getsize(place.workspace / "large") == 1 << 20
        assert bound.told == [Reached(limit="file_mb", allowed=1, seen=1, outcome=Outcome.KILLED, keeper=Keeper.RLIMIT)]


PROCESSORS = """
import os
before, taken = os.sched_getaffinity(0), set()
for each in range(os.cpu_count()):
    try:
        os.sched_setaffinity(0, {each}); taken |= os.sched_getaffinity(0)
    except OSError:
        pass
print(len(before | taken))
"""


@TIERS
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="this machine has one processor")
async def test_a_processor_share_is_held_and_cannot_be_taken_back(place: Place, tier: str) -> None:
    async with limited(place, tier) as free:
        assert int((await free.box.python(PROCESSORS)).out) == len(os.sched_getaffinity(0))

    async with limited(place, tier, cpu_percent=150) as bound:
        assert (await bound.box.python(PROCESSORS)).out == "1\n"


async def test_a_part_of_a_processor_is_refused_where_nothing_can_hold_it(place: Place) -> None:
    plan = msgspec.structs.replace(place.plan(), limits=Limits(cpu_percent=50))

    with pytest.raises(SandboxUnavailable, match=r"limits.cpu_percent = 50"):
        await Sandbox.start(plan)


async def test_without_limits_nothing_is_watched(place: Place) -> None:
    async with limited(place, "A", file_mb=100) as bound:
        async with asyncio.timeout(5):
            await bound.box.sandbox.watch(lambda _: None)

        assert dict(bound.box.sandbox.enforcement)["limits"] == "file_mb by rlimit"


FILLER = """
import os, signal, sys, time
made = []
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    try:
        pid = os.fork()
    except BlockingIOError:
        break
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    made.append(pid)
print(len(made), flush=True)
time.sleep(1)
for pid in made: os.kill(pid, 9)
"""
"""Takes all the processes that it can have, for a while."""


@pytest.mark.slow
async def test_where_processes_are_used_up_a_start_is_refused_and_the_sandbox_goes_on(place: Place) -> None:
    async with limited(place, "A", processes=64) as bound, asyncio.TaskGroup() as group:
        filler = group.create_task(bound.box.python(FILLER))
        refusals = []
        while not filler.done():
            try:
                await bound.box.run("true")
            except SandboxUnavailable as refused:
                refusals.append(str(refused))
            await asyncio.sleep(0.01)

        assert all("cannot be started" in each or "no process can be started" in each for each in refusals)
        assert (await bound.box.shell("echo goes on")).out == "goes on\n"
