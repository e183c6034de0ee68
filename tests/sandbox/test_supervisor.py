"""Process 1 of a sandbox by itself, asked as the session asks it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ringfence.sandbox import wire

FULL = """
import os, socket, sys, _thread
from ringfence.sandbox import supervisor

class Free(supervisor.Supervisor):
    ends_with_launcher = False
    def bind(self): pass
    def part(self): pass
    def confine(self, request, streams): pass

begin, left = _thread.start_new_thread, [int(sys.argv[2])]

def start_new_thread(*about):
    if left[0]:
        left[0] -= 1
        raise RuntimeError("can't start new thread")
    return begin(*about)

supervisor._thread.start_new_thread = start_new_thread
lifeline, _kept = os.pipe()
Free(socket.socket(fileno=int(sys.argv[1])), lifeline, None, None).serve()
"""
"""A supervisor that binds nobody, for which the first so many threads cannot be made."""


def test_where_no_thread_can_be_made_a_start_is_refused_and_everything_else_is_done() -> None:
    with _supervisor(failures=10**9) as control:
        _ask(control, 1)
        refused, _ = wire.receive(control)
        wire.send_request(control, {"op": "usage", "id": 2})
        used, _ = wire.receive(control)

    assert refused == b"refused 1 11 no process can be started: as many as are allowed run already"
    assert used.startswith(b"usage 2 ")


def test_as_soon_as_threads_can_be_made_again_commands_start() -> None:
    with _supervisor(failures=3) as control:
        answers = []
        for number in range(40):
            _ask(control, number)
            answers.append(wire.receive(control)[0].split()[0])
            if answers[-1] == b"spawned":
                answers.append(wire.receive(control)[0].split()[0])
                break

    assert set(answers[:-2]) <= {b"refused"}
    assert answers[-2:] == [b"spawned", b"exit"]


def test_it_ends_with_the_session() -> None:
    with _supervisor(failures=0) as control:
        _ask(control, 1)
        assert [wire.receive(control)[0].split()[0] for _ in range(2)] == [b"spawned", b"exit"]


@contextmanager
def _supervisor(failures: int) -> Iterator[socket.socket]:
    """One that takes requests, and that has ended by itself when the session is gone."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.settimeout(30)
    argv = (sys.executable, "-c", FULL, str(theirs.fileno()), str(failures))
    with subprocess.Popen(argv, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        try:
            yield control
        finally:
            control.close()
            assert process.wait(30) == 0


def _ask(control: socket.socket, number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    request = {"op": "spawn", "id": number, "argv": ["true"], "env": {"PATH": "/usr/bin:/bin"}, "cwd": "/", "umask": 18}
    wire.send_request(control, {**request, "streams": [0, 0, 0]}, (null,))
    os.close(null)
