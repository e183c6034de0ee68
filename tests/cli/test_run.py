"""`ringfence run` on a real terminal: the relay, questions, signals, and a terminal that goes away."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pytest
from tests.cli.conftest import Person

from ringfence.session.terminal import set_window_size

pytestmark = pytest.mark.slow


class Seat:
    """Somebody at a terminal."""

    def __init__(self, person: Person, *words: str) -> None:
        self.master, slave = pty.openpty()
        set_window_size(self.master, 30, 100)
        os.fchown(slave, person.uid, person.gid)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            [sys.executable, "-c", _AT_TERMINAL, sys.executable, "-m", "ringfence", *words],
            stdin=slave, stdout=slave, stderr=slave, cwd=person.project, start_new_session=True,
            env={**person.environment, "TERM": "xterm", "NO_COLOR": "1"}, user=person.uid, group=person.gid,
            extra_groups=[] if os.getuid() == 0 else None,
        )  # fmt: skip
        self.seen = ""

    def types(self, text: str) -> None:
        os.write(self.master, text.encode())

    def sees(self, pattern: str, seconds: float = 20) -> str:
        """Wait until the screen has shown something, and return everything up to it."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.seen)):
            left = deadline - time.monotonic()
            assert left > 0, f"`{pattern}` did not appear in:\n{self.seen}"
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode(errors="replace")
                except OSError:
                    assert re.search(pattern, self.seen), f"the terminal ended before `{pattern}`:\n{self.seen}"
        text, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return text

    def leave(self) -> None:
        for descriptor in (self.master, self.slave):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def ends(self) -> int:
        while self.process.poll() is None:
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.master, 65536).decode(errors="replace")
                except OSError:
                    break
        return self.process.wait(timeout=20)


# Makes the terminal the controlling one, as a shell does, and becomes the command.
_AT_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.fixture
def seat(person: Person) -> Iterator[Seat]:
    seat = Seat(person, "run", "--", "bash", "--norc", "--noprofile", "-i")
    seat.sees(r"bash-[\d.]+\$ ")
    yield seat
    if seat.process.poll() is None:
        seat.process.kill()
        seat.process.wait()
    seat.leave()


def test_the_program_has_a_terminal_of_its_own_with_job_control(seat: Seat) -> None:
    seat.types("tty; stty size; echo $-\n")

    shown = seat.sees(r"\n[a-zA-Z]*m[a-zA-Z]*\r\n")
    assert "/dev/pts/0" in shown
    assert "30 100" in shown
    assert "no job control" not in shown


def test_a_resize_reaches_the_program(seat: Seat) -> None:
    set_window_size(seat.master, 50, 132)
    os.kill(seat.process.pid, signal.SIGWINCH)
    # It hears of it in its time.
    seat.types("until stty size | grep '50 1''32'; do sleep 0.1; done\n")

    seat.sees("50 132")


def test_control_c_goes_to_the_program_and_not_to_ringfence(seat: Seat) -> None:
    seat.types("sleep 100\n")
    time.sleep(0.3)
    seat.types("\x03")
    seat.types("echo still $((40 + 2))\n")

    seat.sees("still 42")


def test_the_exit_code_and_the_terminal_come_back(seat: Seat) -> None:
    seat.types("exit 9\n")

    assert seat.ends() == 9
    assert "session ended with exit code 9" in seat.seen
    assert termios.tcgetattr(seat.slave) == seat.before


FETCH = "curl -sS -m 60 http://host.ringfence.internal:9/ ; echo code $?\n"


def test_a_question_shows_what_and_why_and_enter_alone_denies(seat: Seat) -> None:
    seat.types(FETCH)
    shown = seat.sees("> ")
    seat.types("\r")

    seat.sees(r"code \d")
    for part in ("host.ringfence.internal:9", "network.default", "would remember", "Enter alone denies"):
        assert part in shown


def test_what_was_typed_ahead_does_not_approve(seat: Seat) -> None:
    seat.types(FETCH + "o\ns\no\n")
    seat.sees("Enter alone denies")
    for _ in range(5):
        seat.types("o\r")
        time.sleep(0.1)
    seat.sees("> ")
    seat.types("\r")

    assert "allowed" not in seat.sees(r"code \d")


def test_an_approval_is_a_letter_and_enter(seat: Seat) -> None:
    seat.types(FETCH)
    seat.sees("> ")
    seat.types("o\r")

    seat.sees("allowed, once")
    seat.sees(r"code \d")
    seat.types("exit\n")
    assert seat.ends() is not None
    assert "1 asked" in seat.seen


def test_a_terminal_that_goes_away_ends_the_session(seat: Seat, person: Person) -> None:
    seat.types("sleep 1000\n")
    time.sleep(0.3)

    seat.leave()
    # As the kernel, a shell and a terminal do, each in its time: at every moment of the end.
    while seat.process.poll() is None:
        seat.process.send_signal(signal.SIGHUP)
        time.sleep(0.0005)

    assert seat.process.returncode == 128 + signal.SIGHUP
    assert person.types("log", "verify").code == 0


def test_the_summary_says_when_no_tool_call_was_judged(person: Person) -> None:
    done = person.types("run", "--", "sh", "-c", "exit 3")

    assert done.code == 3
    assert "  actions  1 allowed, 0 asked, 0 denied; no tool calls reported" in done.err.splitlines()


def test_a_folder_without_a_repository_is_said_before_anything_runs(person: Person) -> None:
    note = "this folder is no Git repository"

    without = person.types("run", "--", "true")
    person.git("init", "-q")
    with_one = person.types("run", "--", "true")

    assert (note in without.err, note in with_one.err) == (True, False)
