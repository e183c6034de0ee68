from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ringfence.sandbox.processes import Process, Table, _below, error_stream, say


@pytest.fixture
def table() -> Iterator[Table]:
    folder = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    yield Table(folder, ancestor=os.getpid())
    os.close(folder)


def test_only_descendants_are_seen_and_the_first_child_is_ours() -> None:
    # An ancestor of its own: whoever runs the tests may have had other children before.
    with _watched("sh -c 'sleep 30 & wait' & wait") as (table, ancestor):
        supervisor = _until_one_of(table, "sleep 30").parent

        assert supervisor not in table.all()
        assert supervisor in Table(table._folder, ancestor=os.getpid()).all()
        assert [each.parent for each in table.all().values()] == [supervisor]
        assert ancestor not in table.all()


def test_a_process_that_began_later_is_not_taken_for_ours_for_its_lower_number() -> None:
    def process(pid: int, parent: int, started: int) -> Process:
        return Process(pid=pid, parent=parent, threads=1, started=started, resident=0, place=str(pid))

    supervisor, child, orphan = process(900, 10, 5), process(901, 900, 6), process(20, 10, 70)

    assert _below({20: orphan, 900: supervisor, 901: child}, 10) == {20: orphan, 901: child}


@contextmanager
def _watched(script: str) -> Iterator[tuple[Table, int]]:
    """The processes that a shell starts, all of which end with the block."""
    folder = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    with subprocess.Popen(["sh", "-c", script], start_new_session=True) as ancestor:
        try:
            yield Table(folder, ancestor=ancestor.pid), ancestor.pid
        finally:
            os.killpg(ancestor.pid, 9)
            os.close(folder)


def _until_one_of(table: Table, shown: str) -> Process:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = [each for each in table.all().values() if table.shown(each.pid) == shown]
        if found:
            return found[0]
        os.sched_yield()
    raise AssertionError(f"nothing began: {table.all()}")


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
