from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.descriptors import left_open, opened
from tests.sandbox.boxes import SYSTEM_PATH, Box, Place

from ringfence.model.situations import ProgramNotFound, SandboxLost, SandboxUnavailable
from ringfence.sandbox import wire
from ringfence.sandbox.launch import Command, Sandbox

Start = Coroutine[Any, Any, Command]


async def test_nothing_inside_is_root_or_has_a_capability(box: Box) -> None:
    shown = await box.shell("id -u; grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status; ps -eo uid= | sort -u")

    lines = shown.out.split("\n")
    uid = "1000" if os.getuid() == 0 else str(os.getuid())
    assert lines[0] == uid
    assert [line.split()[1] for line in lines if line.startswith("Cap")] == ["0" * 16] * 5
    assert "NoNewPrivs:\t1" in lines and "Seccomp:\t2" in lines
    assert lines[-2].strip() == uid


async def test_the_users_variables_are_nowhere_inside(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "t0ps3cret")
    assert b"t0ps3cret" in subprocess.run(["env"], capture_output=True, check=True).stdout
    sandbox = await Sandbox.start(place.plan())
    try:
        shown = await Box(sandbox, place).shell("env; cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'")
    finally:
        await sandbox.close()

    assert "PATH=" in shown.out
    assert "t0ps3cret" not in shown.out


@pytest.mark.parametrize("file", ["environ", "mem", "maps", "fd/3", "cwd", "root"])
async def test_process_1_cannot_be_looked_into(box: Box, file: str) -> None:
    own = await box.shell(f"exec 3</dev/null; stat -L /proc/self/{file}")
    assert own.code == 0

    tried = await box.shell(f"cat /proc/1/{file}; stat -L /proc/1/{file}/; kill -9 1")

    assert tried.out == ""

    assert "Permission denied" in tried.out + tried.err
    assert (await box.shell("true")).code == 0


async def test_no_descriptor_of_the_session_is_open_inside(place: Place) -> None:
    leaked = os.open("/", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    assert os.fstat(leaked)
    try:
        sandbox = await Sandbox.start(place.plan())
        shown = await Box(sandbox, place).python("import os; print(sorted(os.listdir('/proc/self/fd')))")
        walk = await Box(sandbox, place).shell(f"ls /proc/self/fd/{leaked}/ /proc/1/fd/{leaked}/")
        await sandbox.close()
    finally:
        os.close(leaked)

    # The one beyond the streams is the folder that is being listed.
    assert shown.out == "['0', '1', '2', '3']\n"
    assert walk.out == ""


async def test_processes_of_the_host_are_neither_seen_nor_signalled(box: Box) -> None:
    outside = subprocess.Popen(["sleep", "30"])
    try:
        tried = await box.shell(f"kill {outside.pid}; kill -9 -1; echo after; ls /proc | grep -c '^[0-9]'")
        assert outside.poll() is None
    finally:
        outside.kill()
        outside.wait()

    assert "No such process" in tried.err or "Operation not permitted" in tried.err
    assert (await box.shell("echo alive")).out == "alive\n"


@pytest.mark.slow
async def test_two_hundred_commands_leave_no_zombie_and_no_descriptor(box: Box) -> None:
    before = opened()
    codes = [(await box.run("true")).code for _ in range(200)]
    orphans = await box.shell(
        "for i in 1 2 3 4 5; do (setsid sleep 0.01 &) ; done; sleep 0.1\n"
        "for i in $(seq 100); do ps -eo stat= | grep -q Z || exec echo none; sleep 0.1; done; ps -eo stat,args"
    )

    assert codes == [0] * 200
    assert orphans.out == "none\n"
    assert await left_open(before) == frozenset()


async def test_commands_that_are_asked_for_at_once_all_start_and_each_has_its_own_end(box: Box) -> None:
    async with asyncio.TaskGroup() as group:
        ends = [group.create_task(box.shell(f"pwd; exit {number}")) for number in range(60)]

    assert [each.result().code for each in ends] == list(range(60))
    assert {each.result().out for each in ends} == {f"{box.place.workspace}\n"}


async def test_exit_codes_and_signals_are_passed_on(box: Box) -> None:
    assert (await box.shell("exit 7")).code == 7
    assert (await box.shell("kill -TERM $$")).code == 128 + signal.SIGTERM
    command = await _sleeper(box)

    command.signal(signal.SIGINT)

    assert await command.wait() == 128 + signal.SIGINT
    command.signal(signal.SIGINT)


async def test_the_number_of_processes_is_limited_for_whomever_it_is(box: Box) -> None:
    with open("/proc/sys/kernel/pid_max", encoding="ascii") as file:
        before = file.read()

    shown = await box.shell(
        "ulimit -Hu; cat /proc/sys/kernel/pid_max; echo 99999 > /proc/sys/kernel/pid_max && echo WRITTEN"
    )

    with open("/proc/sys/kernel/pid_max", encoding="ascii") as file:
        assert file.read() == before
    limit, *numbers = shown.out.split()
    assert int(limit) <= 16384
    if _kernel() >= (6, 14):
        assert numbers == ["16384"]
        assert box.sandbox.notices == ()
    elif os.getuid() == 0:
        assert any("number of processes is not limited" in each for each in box.sandbox.notices)


def _kernel() -> tuple[int, ...]:
    return tuple(int(each) for each in os.uname().release.replace("-", ".").split(".")[:2])


async def test_a_missing_program_is_named(box: Box) -> None:
    with pytest.raises(ProgramNotFound, match="`no-such-thing` is not in the sandbox"):
        await box.run("no-such-thing")
    with pytest.raises(ProgramNotFound, match="cannot be executed"):
        await box.run("/etc/passwd")
    (box.place.workspace / "script").write_text("#!/no/such/interpreter\n")
    (box.place.workspace / "script").chmod(0o755)
    with pytest.raises(ProgramNotFound, match="interpreter"):
        await box.run("./script")
    assert (await box.shell("true")).code == 0


async def test_a_working_directory_that_is_not_inside_is_refused(box: Box) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    try:
        with pytest.raises(SandboxUnavailable, match="working directory"):
            await box.sandbox.spawn(["true"], env={}, cwd="/srv/none", stdin=null, stdout=null, stderr=null)
    finally:
        os.close(null)


async def test_large_requests_arrive_whole(box: Box) -> None:
    words = ["x" * 1000] * 150

    counted = await box.run("sh", "-c", "echo $#; echo ${#BIG}", "sh", *words, env={"BIG": "y" * 100_000})

    assert counted.out == "150\n100000\n"


async def test_closing_ends_everything_inside(place: Place) -> None:
    sandbox = await Sandbox.start(place.plan())
    command = await _sleeper(Box(sandbox, place))
    inside = _descendants(sandbox._launcher)
    assert len(inside) >= 3

    await sandbox.close()

    assert [pid for pid in inside if _alive(pid)] == []
    with pytest.raises(SandboxLost):
        await command.wait()


@pytest.mark.parametrize("victim", ["launcher", "process 1"])
async def test_the_death_of_either_process_ends_everything_and_is_told(place: Place, victim: str) -> None:
    lost = asyncio.Event()
    sandbox = await Sandbox.start(place.plan(), on_lost=lost.set)
    command = await _sleeper(Box(sandbox, place))
    inside = _descendants(sandbox._launcher)

    os.kill(inside[0] if victim == "launcher" else inside[1], signal.SIGKILL)

    async with asyncio.timeout(5):
        await lost.wait()
        with pytest.raises(SandboxLost):
            await command.wait()
    with pytest.raises(SandboxLost):
        await sandbox.open_pty(24, 80)
    await sandbox.close()
    assert _outlived(inside[1:]) == []


@pytest.mark.slow
def test_when_the_session_is_killed_nothing_inside_survives(place: Place, tmp_path: Path) -> None:
    script = f"""
import asyncio, os, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from tests.sandbox.boxes import Box, Place
from ringfence.sandbox.launch import Sandbox
from tests.sandbox.test_processes import _descendants, _sleeper
place = Place(*(Path(each) for each in sys.argv[1:]))
async def main():
    sandbox = await Sandbox.start(place.plan())
    await _sleeper(Box(sandbox, place))
    print(*_descendants(sandbox._launcher), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    arguments = [str(each) for each in (place.root, place.home, place.workspace, place.state)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run([sys.executable, "-c", script, *arguments], env=environment, capture_output=True, text=True)
    pids = [int(each) for each in done.stdout.split()]
    assert done.returncode == -signal.SIGKILL and len(pids) >= 3, done.stderr

    assert _outlived(pids) == []


async def _sleeper(box: Box):  # type: ignore[no-untyped-def]
    null = os.open(os.devnull, os.O_RDWR)
    try:
        return await box.sandbox.spawn(
            ["sleep", "60"],
            env={"PATH": SYSTEM_PATH},
            cwd=str(box.place.workspace),
            stdin=null,
            stdout=null,
            stderr=null,
        )
    finally:
        os.close(null)


def _descendants(pid: int) -> list[int]:
    children: list[str] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
            children += (task / "children").read_text().split()
    return [pid, *(each for child in children for each in _descendants(int(child)))]


def _outlived(pids: list[int]) -> list[int]:
    deadline = time.monotonic() + 5
    while any(map(_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return [pid for pid in pids if _alive(pid)]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _true(box: Box, stream: int, *, argv: tuple[str, ...] = ("true",), umask: int = 0o022, size: int = 0) -> Start:
    environment = {"PATH": SYSTEM_PATH, "FILLING": "x" * size}
    cwd = str(box.place.workspace)
    return box.sandbox.spawn(argv, env=environment, cwd=cwd, stdin=stream, stdout=stream, stderr=stream, umask=umask)


async def test_a_request_that_makes_no_sense_is_refused_and_ends_nothing(box: Box) -> None:
    refused = []
    with open(os.devnull, "r+b", buffering=0) as null:
        closed = os.dup(null.fileno())
        os.close(closed)
        for asked in (
            _true(box, null.fileno(), argv=()),
            _true(box, null.fileno(), umask=1 << 40),
            _true(box, closed),
            box.sandbox.open_pty(70_000, 80),
            box.sandbox.connect(70_000),
        ):
            with pytest.raises((SandboxUnavailable, ConnectionRefusedError)) as caught:
                await asked
            refused.append(str(caught.value))

    assert refused == [
        "the command was not started: a command line is empty, and has to name a program",
        "the command was not started: Python int too large to convert to C int",
        "the command was not started: Bad file descriptor",
        "the command was not started: ushort format requires 0 <= number <= 65535",
        "nothing listens on port 70000 in the sandbox",
    ]
    assert (await box.shell("echo goes on")).out == "goes on\n"


async def test_a_signal_for_which_there_is_no_memory_just_now_is_sent_later(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, refused = wire.send_request, list[str]()

    def short(channel: socket.socket, request: wire.Request, descriptors: tuple[int, ...] = ()) -> None:
        if len(refused) < 2:
            refused.append(request["op"])
            raise OSError(errno.ENOBUFS, "no memory")
        send(channel, request, descriptors)

    with open(os.devnull, "r+b", buffering=0) as null:
        command = await _true(box, null.fileno(), argv=("sleep", "20"))
        monkeypatch.setattr(wire, "send_request", short)

        command.signal(signal.SIGKILL)

        async with asyncio.timeout(5):
            assert await command.wait() == 128 + signal.SIGKILL
    assert refused == ["signal", "signal"]


async def test_of_more_starts_at_once_than_process_1_takes_each_has_its_turn(box: Box) -> None:
    async def start() -> int:
        return await (await _true(box, null.fileno(), size=50_000)).wait()

    with open(os.devnull, "r+b", buffering=0) as null:
        async with asyncio.TaskGroup() as group:
            started = [group.create_task(start()) for _ in range(100)]

    assert [each.result() for each in started] == [0] * 100


async def test_a_command_that_nobody_waits_for_any_more_when_it_starts_is_ended(box: Box) -> None:
    with open(os.devnull, "r+b", buffering=0) as null:
        starting = asyncio.ensure_future(_true(box, null.fileno(), argv=("sleep", "4711")))  # noqa: TID251
        await asyncio.sleep(0)
        starting.cancel()
    async with asyncio.timeout(10):
        while "sleep 4711" in (await box.shell("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")).out:
            await asyncio.sleep(0.01)

    with pytest.raises(asyncio.CancelledError):
        await starting
