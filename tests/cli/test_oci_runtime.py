"""`--oci-runtime`, typed by root and by an ordinary user."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.cli.conftest import Person
from tests.debian import program

pytestmark = pytest.mark.slow
SECONDS = 10.0


@pytest.fixture(params=["crun", "runc"])
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    program(name, name)
    return name


def test_a_command_runs_in_the_runtimes_container_and_the_record_says_so(person: Person, runtime: str) -> None:
    done = person.types(
        "exec", "-q", "--oci-runtime", runtime, "--", "sh", "-c", "cat; cat /proc/1/cmdline; exit 7", given="in"
    )

    started = next(event for event in person.log() if event["event"] == "session.started")
    detail = started["body"]
    assert isinstance(detail, dict)
    facts = dict(detail["enforcement"])
    assert (done.code, done.err) == (7, "")
    assert done.out.startswith("in/.ringfence/program/")
    assert (detail["tier"], facts["runtime"], facts["seccomp"]) == ("A", runtime, "filter")


@pytest.mark.parametrize("which", ["session", "runtime"])
def test_whatever_is_killed_nothing_is_left(person: Person, runtime: str, which: str) -> None:
    mark = f"7{os.getpid()}{time.monotonic_ns() % 100000}"
    running = person.start(
        "exec", "-q", "--oci-runtime", runtime, "--", "sh", "-c", f"sleep {mark} & sleep 0.2; echo ready; wait",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n", running.communicate(timeout=30)
    killed = running.pid if which == "session" else _runtime_above(mark)

    os.kill(killed, signal.SIGKILL)

    running.communicate(timeout=30)
    deadline = time.monotonic() + SECONDS
    while _with(mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert _with(mark) == []
    assert running.returncode != 0


def test_a_runtime_that_is_missing_is_refused_with_the_reason(person: Person) -> None:
    if shutil.which("runsc", path="/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin") is not None:
        pytest.skip("runsc is installed")

    done = person.types("exec", "--oci-runtime", "runsc", "--", "true")

    assert done.code == 125
    assert "the OCI runtime `runsc` is not on PATH" in done.err
    assert "leave `--oci-runtime` out" in done.err


def _with(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in words:
            found.append(int(entry.name))
    return found


def _runtime_above(mark: str) -> int:
    """The process that is the runtime: two above the program, whose parent is the container's process 1."""
    found = [_parent(each) for each in _with(mark)]
    while _command(found[0]).partition(b"\0")[0].rpartition(b"/")[2] not in (b"crun", b"runc"):
        found = [_parent(found[0])]
    return found[0]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_no_control_group_of_a_runtime_is_left(person: Person, runtime: str) -> None:
    person.types("exec", "-q", "--oci-runtime", runtime, "--", "true")

    assert not list(Path("/sys/fs/cgroup").glob("**/ringfence-" + "[0-9a-f]" * 16))
