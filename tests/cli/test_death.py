"""SIGKILL of any one of our processes: the agent is gone, there is no network, the record verifies, nothing is left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Person

pytestmark = pytest.mark.slow


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _descendants(pid: int) -> Iterator[int]:
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            if _parent(int(entry)) == pid:
                yield int(entry)
                yield from _descendants(int(entry))
        except (FileNotFoundError, ProcessLookupError):
            continue


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _inside(pid: int) -> int:
    """The process id that a process has in its own namespace."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    raise AssertionError("no NSpid")


def _wait(what: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return True
        time.sleep(0.02)
    return False


def _writer(processes: list[int]) -> int:
    return next(pid for pid in processes if "telemetry" in _command(pid))


def _launcher(processes: list[int]) -> int:
    return next(pid for pid in processes if "sandbox.inside" in _command(pid) and _inside(pid) == pid)


def _process_one(processes: list[int]) -> int:
    return next(pid for pid in processes if "sandbox.inside" in _command(pid) and _inside(pid) == 1)


@pytest.fixture
def running(person: Person) -> Iterator[subprocess.Popen[str]]:
    person.git("init", "-q")
    script = "setsid sleep 301 & sleep 302 & sleep 0.1; echo ready; wait"
    process = person.start(
        "run", "-q", "--", "bash", "-c", script,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate(timeout=30)


@pytest.mark.parametrize(
    "victim",
    [None, _writer, _launcher, _process_one],
    ids=["the session", "the ledger's writer", "the launcher", "process 1 inside"],
)
def test_everything_ends_with_any_part(
    person: Person, running: subprocess.Popen[str], victim: Callable[[list[int]], int] | None
) -> None:
    processes = list(_descendants(running.pid))
    agents = [pid for pid in processes if _command(pid).startswith("sleep 30")]
    assert len(agents) == 2, [_command(pid) for pid in processes]

    os.kill(running.pid if victim is None else victim(processes), signal.SIGKILL)

    assert _wait(lambda: not any(_command(pid) for pid in agents)), "the agent outlived it"
    assert _wait(lambda: not any(_command(pid) for pid in processes)), "something of ours was left running"
    if victim is not None:
        assert running.wait(timeout=30) == 125
    assert _wait(lambda: [path.name for path in person.project.iterdir()] == [".git"]), "a place holder was left"
    assert person.types("log", "verify").code == 0
    if victim is not _writer:
        ended = person.log("--event", "session.ended")
        assert [event["event"] for event in ended] == ["session.ended"]


def test_a_session_whose_record_was_removed_ends_with_the_reason_and_leaves_nothing(
    person: Person, running: subprocess.Popen[str]
) -> None:
    held = [each.name for each in person.project.iterdir()]
    shutil.rmtree(person.home / ".local" / "state" / "ringfence")

    os.kill(running.pid, signal.SIGTERM)
    _, said = running.communicate(timeout=30)

    assert ".claude" in held
    assert running.returncode == 125
    assert "was removed, moved or replaced" in said
    assert "Traceback" not in said
    assert [each.name for each in person.project.iterdir()] == [".git"]
