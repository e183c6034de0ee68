"""What is left when processes are killed, or the disk is full: nothing that was acknowledged is ever missing."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ringfence.model.event import NoticeGiven, SessionEnded
from ringfence.telemetry.reader import LedgerReader, Wanted
from ringfence.telemetry.verification import Report, verify

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "PATH": os.environ["PATH"]}


def session(path: str, name: str, size: int = 10, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (*before, sys.executable, "-m", "tests.telemetry.session_process", path, name, str(size)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env=ENVIRONMENT,
        text=True,
    )


def read(path: str, name: str) -> tuple[int, list[SessionEnded], Report]:
    """How many notices a session recorded, how it ended, and whether the ledger verifies."""
    reader = LedgerReader(path)
    try:
        found = [event.body for event in reader.events(Wanted(session=name))]
        return (
            sum(isinstance(body, NoticeGiven) for body in found),
            [body for body in found if isinstance(body, SessionEnded)],
            verify(reader),
        )
    finally:
        reader.close()


def wait_for_end(pid: int) -> None:
    """Wait for a process that is not our child."""
    descriptor = os.pidfd_open(pid)
    try:
        assert select.select([descriptor], [], [], 10)[0], "the writer outlived its session"
    except ProcessLookupError:
        pass
    finally:
        os.close(descriptor)


@pytest.mark.slow
def test_a_killed_session_loses_nothing_that_was_acknowledged_and_is_called_lost(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    for attempt in range(4):
        name = f"s{attempt}"
        with session(path, name) as process:
            assert process.stdout is not None
            writer = int(process.stdout.readline())
            process.stdout.readline()
            time.sleep(0.02 * attempt)
            process.kill()
            acknowledged = 1 + len([text for text in process.stdout.read().split("\n") if text])
        wait_for_end(writer)

        notices, endings, report = read(path, name)

        assert notices >= acknowledged
        assert endings == [SessionEnded(exit_code=None, outcome="supervisor_lost")]
        assert (report.faults, report.sealed) == ((), report.entries)


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    for attempt in range(4):
        name = f"s{attempt}"
        with session(path, name) as process:
            assert process.stdout is not None
            writer = int(process.stdout.readline())
            process.stdout.readline()
            time.sleep(0.02 * attempt)
            os.kill(writer, signal.SIGKILL)
            *numbers, remedy = process.stdout.read().split("\n")[:-1]

        notices, _, report = read(path, name)

        assert remedy == "start a new session"
        assert notices >= 1 + len(numbers)
        assert report.faults == ()


@pytest.mark.slow
def test_a_full_disk_stops_the_session_with_a_remedy_and_the_ledger_verifies(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=1m tmpfs "{tmp_path}" && "$@"; cp "{tmp_path}"/ledger* "{tmp_path}.kept"'
    before = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    if shutil.which("unshare") is None or subprocess.run((*before[:4], "true"), stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this machine gives no mount namespace to fill a disk in")
    kept = Path(f"{tmp_path}.kept")
    kept.mkdir()

    with session(str(tmp_path / "ledger.db"), "s", 4000, before) as process:
        assert process.stdout is not None
        _, *numbers, remedy = process.stdout.read().split("\n")[:-1]

    notices, _, report = read(str(kept / "ledger.db"), "s")
    assert remedy == f"free some space on the disk that holds `{tmp_path}`, then start a new session"
    assert notices >= len(numbers) > 10
    assert report.faults == ()
