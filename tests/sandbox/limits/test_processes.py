from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.sandbox.processes import Process, Table, error_stream, say


@pytest.fixture
def table() -> Iterator[Table]:
    folder = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    yield Table(folder, ancestor=os.getpid())
    os.close(folder)


def test_only_descendants_are_seen_and_the_first_child_is_ours(table: Table) -> None:
    with subprocess.Popen(["sh", "-c", "sleep 30 & wait"]) as supervisor:
        try:
            found = _until_one_of(table, supervisor.pid)

            assert supervisor.pid not in table.all()
            assert [table.shown(pid) for pid in found] == ["sleep 30"]
        finally:
            for each in _below(table, supervisor.pid).values():
                table.signal(each, 9)
            supervisor.kill()


def _below(table: Table, supervisor: int) -> dict[int, Process]:
    """What it started. Other tests may have started something too, and left it to the end."""
    return {pid: each for pid, each in table.all().items() if each.parent == supervisor}


def _until_one_of(table: Table, supervisor: int) -> dict[int, Process]:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = _below(table, supervisor)
        if [table.shown(pid) for pid in found] == ["sleep 30"]:
            return found
        os.sched_yield()
    raise AssertionError(f"nothing began below {supervisor}: {table.all()}")


def test_a_signal_reaches_the_process_that_was_seen_and_no_later_one(table: Table) -> None:
    with subprocess.Popen(["sleep", "30"]) as sleeper:
        seen = table._read(str(sleeper.pid))
        assert seen is not None
        other = Process(pid=seen.pid, parent=seen.parent, threads=1, started=seen.started - 1, resident=0, place="")

        assert not table.signal(other, 9)
        assert sleeper.poll() is None
        assert table.signal(seen, 9)

        assert sleeper.wait() == -9
        assert not table.signal(seen, 9)


def test_last_words_go_to_pipes_and_sockets_without_waiting() -> None:
    reader, writer = os.pipe()
    ours, theirs = socket.socketpair()

    assert say(writer, "why") and say(theirs.fileno(), "why")

    assert os.read(reader, 100) == b"ringfence: why\n" == ours.recv(100)
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    assert not say(writer, "nobody reads")
    for each in (reader, writer):
        os.close(each)
    ours.close()
    theirs.close()


def test_nothing_is_said_where_the_victim_could_not_have_written(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    (tmp_path / "file").touch()
    file = os.open(tmp_path / "file", os.O_RDWR)

    assert not say(reader, "into the wrong end")
    assert not say(file, "into a file")

    os.close(writer)
    assert os.read(reader, 10) == b""
    assert (tmp_path / "file").read_bytes() == b""
    os.close(reader)
    os.close(file)


def test_the_error_stream_is_the_one_that_the_process_has() -> None:
    with subprocess.Popen(["sleep", "30"], stderr=subprocess.PIPE) as sleeper:
        handle = os.pidfd_open(sleeper.pid)
        stream = error_stream(handle)
        assert stream is not None and sleeper.stderr is not None

        assert say(stream, "why")

        sleeper.kill()
        os.close(stream)
        os.close(handle)
        assert sleeper.stderr.read() == b"ringfence: why\n"


def test_the_error_pipe_is_opened_where_the_process_can_write_to_it(table: Table, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    (tmp_path / "file").touch()
    outcomes = []
    for stream in (writer, reader, os.open(tmp_path / "file", os.O_RDWR)):
        with subprocess.Popen(["sleep", "30"], stderr=stream) as sleeper:
            pipe = table.error_pipe(Process(pid=0, parent=0, threads=1, started=0, resident=1, place=str(sleeper.pid)))
            outcomes.append(pipe is not None and say(pipe, "why"))
            sleeper.kill()

    assert outcomes == [True, False, False]
    assert os.read(reader, 100) == b"ringfence: why\n"
    assert (tmp_path / "file").read_bytes() == b""
