from __future__ import annotations

import asyncio
import os
import signal

import pytest
from tests.sandbox.boxes import SYSTEM_PATH, Box, Place

from ringfence.model.situations import SandboxLost
from ringfence.sandbox.launch import Pty, Sandbox


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(each) for each in file.read().split()]


async def start_what_stays(box: Box) -> list[int]:
    """Starts programs that leave their group, their session and their parent; gives their numbers."""
    script = (
        "import os, time\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if os.fork(): os._exit(0)\n"
        "        open(f'stays-{os.getpid()}', 'w').close(); time.sleep(60)\n"
        "time.sleep(60)\n"
    )
    null = os.open(os.devnull, os.O_RDWR)
    command = await box.sandbox.spawn(
        ("/usr/bin/python3", "-I", "-S", "-c", script),
        env={"PATH": SYSTEM_PATH},
        cwd=str(box.place.workspace),
        stdin=null,
        stdout=null,
        stderr=null,
    )
    os.close(null)
    names: list[str] = []
    async with asyncio.timeout(10):
        while len(names) < 3:
            await asyncio.sleep(0.01)
            names = [name for name in os.listdir(box.place.workspace) if name.startswith("stays-")]
    return [command.pid, *(int(name.removeprefix("stays-")) for name in names)]


async def gone(pids: list[int]) -> bool:
    try:
        async with asyncio.timeout(5):
            while any(os.path.exists(f"/proc/{pid}") for pid in pids):
                await asyncio.sleep(0.01)
    except TimeoutError:
        return False
    return True


async def test_everything_ends_with_the_session(bare: Box) -> None:
    pids = await start_what_stays(bare)

    await bare.sandbox.close()

    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


@pytest.mark.parametrize("who", ["launcher", "supervisor"])
async def test_everything_ends_with_each_of_our_processes(place: Place, who: str) -> None:
    lost = asyncio.Event()
    sandbox = await Sandbox.start(place.plan(), tier="B", on_lost=lost.set)
    pids = await start_what_stays(Box(sandbox, place))
    launcher = sandbox._launcher

    os.kill(launcher if who == "launcher" else children(launcher)[0], signal.SIGKILL)

    assert await gone(pids)
    async with asyncio.timeout(5):
        await lost.wait()
    await sandbox.close()


async def test_nothing_inside_touches_our_processes(bare: Box) -> None:
    launcher = bare.sandbox._launcher
    supervisor = children(launcher)[0]

    done = await bare.python(
        "import os, sys, resource\n"
        f"for pid in ({launcher}, {supervisor}, {os.getpid()}):\n"
        "    for what in (lambda: os.kill(pid, 9), lambda: open(f'/proc/{pid}/mem', 'rb'),\n"
        "                 lambda: open(f'/proc/{pid}/environ').read(), lambda: os.readlink(f'/proc/{pid}/fd/0'),\n"
        "                 lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1)),\n"
        "                 lambda: os.setpriority(0, pid, 19)):\n"
        "        try: what(); print('THROUGH')\n"
        "        except PermissionError: pass\n"
    )

    assert (done.code, done.out, done.err) == (0, "", "")


async def test_commands_of_one_session_can_end_each_other(bare: Box) -> None:
    pids = await start_what_stays(bare)

    done = await bare.shell(f"kill -9 {' '.join(map(str, pids))}")

    assert (done.code, done.err) == (0, "")
    assert await gone(pids)


async def test_a_terminal_of_its_own_and_those_that_programs_open(bare: Box) -> None:
    terminal = await bare.sandbox.open_pty(24, 80)
    assert isinstance(terminal, Pty)
    script = "tty && stty size && python3 -c 'import pty; pty.spawn([\"tty\"])'"
    command = await bare.sandbox.spawn(
        ("sh", "-c", script),
        env={"PATH": SYSTEM_PATH},
        cwd=str(bare.place.workspace),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    code = await command.wait()
    lines = os.read(terminal.master, 4096).decode().split()
    os.close(terminal.master)

    assert code == 0, lines
    assert lines[:3] == [terminal.name, "24", "80"]
    assert lines[3].startswith("/dev/pts/")


async def test_a_lost_sandbox_says_so(place: Place) -> None:
    sandbox = await Sandbox.start(place.plan(), tier="B")
    os.kill(sandbox._launcher, signal.SIGKILL)

    with pytest.raises(SandboxLost):
        await Box(sandbox, place).run("sleep", "30")

    await sandbox.close()
