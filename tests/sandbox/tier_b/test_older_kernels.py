"""Tier B on kernels from 6.2 on, whose Landlock does not know of signals: the supervisor sends them then."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.sandbox.boxes import Box, Place

from ringfence.model.situations import SandboxUnavailable
from ringfence.sandbox import landlock, survey_unshared
from ringfence.sandbox.launch import Sandbox


@pytest.fixture
async def box(place: Place, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Box]:
    monkeypatch.setattr(survey_unshared, "NEWEST", landlock.TRUNCATE_SINCE)
    sandbox = await Sandbox.start(place.plan(), tier="B")
    yield Box(sandbox, place)
    await sandbox.close()


@pytest.fixture
def outside() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the machine's, in a group and a session of its own."""
    made = subprocess.Popen(("sleep", "600"), start_new_session=True)
    yield made
    made.kill()
    made.wait()


async def test_what_holds_is_told(box: Box) -> None:
    assert dict(box.sandbox.enforcement)["landlock"] == "3, files"


async def test_nobody_outside_is_sent_a_signal(box: Box, outside: subprocess.Popen[bytes]) -> None:
    done = await box.python(
        f"victim, supervisor = {outside.pid}, {os.getpid()}\n"
        "import ctypes, fcntl, os, signal, socket\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "x86, arm = (62, 200, 234, 129, 297, 424), (129, 130, 131, 138, 240, 424)\n"
        "calls = {'x86_64': x86, 'aarch64': arm}[os.uname().machine]\n"
        "kill, tkill, tgkill, queue, tqueue, by_descriptor = calls\n"
        "about = ctypes.create_string_buffer(bytes((15, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255)), 128)\n"
        "held = os.pidfd_open(victim)\n"
        "for pid in (victim, supervisor, os.getppid()):\n"
        "    for words in ((kill, pid, 15), (kill, -pid, 15), (tkill, pid, 15), (tgkill, pid, pid, 15),\n"
        "                  (queue, pid, 15, about), (tqueue, pid, pid, 15, about), (kill, pid, 0)):\n"
        "        assert libc.syscall(*words) == -1, words\n"
        "assert libc.syscall(by_descriptor, held, 15, 0, 0) == -1\n"
        "a, b = socket.socketpair()\n"
        "for act in (lambda: fcntl.fcntl(a, fcntl.F_SETOWN, victim), lambda: fcntl.ioctl(a, 0x8901, bytes(4))):\n"
        "    try: act()\n"
        "    except OSError as error: print(error.errno)\n"
        "child = os.fork()\n"
        "if not child: os.execv('/bin/sleep', ['sleep', '60'])\n"
        "print(libc.syscall(kill, -1, 9), os.waitpid(child, 0)[1])\n"
    )

    assert (done.code, done.out, done.err) == (0, "1\n1\n0 9\n", "")
    assert outside.poll() is None


@pytest.mark.slow
async def test_programs_inside_signal_themselves_and_each_other(box: Box) -> None:
    done = await box.python(
        "import os, signal, subprocess, threading, time\n"
        "got = []\n"
        "signal.signal(signal.SIGUSR1, lambda *_: got.append('usr1'))\n"
        "os.kill(os.getpid(), signal.SIGUSR1); signal.raise_signal(signal.SIGUSR1)\n"
        "signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1); os.kill(0, signal.SIGUSR1)\n"
        "signal.pidfd_send_signal(os.pidfd_open(os.getpid()), signal.SIGUSR1)\n"
        "print(got)\n"
        "child = subprocess.Popen(['sleep', '60']); child.terminate(); print(child.wait())\n"
        "group = subprocess.Popen(['sh', '-c', 'sleep 600 & sleep 600'], start_new_session=True)\n"
        "os.killpg(group.pid, 9); print(group.wait())\n"
        "for _ in range(2000):\n"
        "    try: os.killpg(group.pid, 0)\n"
        "    except OSError: print('nobody left'); break\n"
        "    time.sleep(0.01)\n"
        "child = os.fork()\n"
        "if not child: os.abort()\n"
        "print(os.waitpid(child, 0)[1] & 127)\n"
        "try: os.kill(child, 0)\n"
        "except ProcessLookupError: print('gone')\n"
    )
    shell = await box.shell("sleep 60 & kill %1; wait %1; echo $?; timeout 0.1 sleep 60; echo $?; kill -l TERM")

    assert (done.code, done.out, done.err) == (0, f"{['usr1'] * 5}\n-15\n-9\nnobody left\n6\ngone\n", "")
    assert shell.out == "143\n124\n15\n", shell.err


async def test_files_outside_are_not_cut_short(box: Box) -> None:
    config = box.place.home / ".gitconfig"
    before = config.read_text()

    done = await box.python(
        f"import os\npath = {str(config)!r}\n"
        "for act in (lambda: os.truncate(path, 0), lambda: os.open(path, os.O_RDONLY | os.O_TRUNC)):\n"
        "    try: act()\n"
        "    except OSError as error: print(error.errno)\n"
    )

    assert (done.out, done.err) == ("13\n13\n", "")
    assert config.read_text() == before


async def test_a_kernel_before_that_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey_unshared, "NEWEST", landlock.TRUNCATE_SINCE - 1)

    with pytest.raises(SandboxUnavailable, match=r"third generation \(Linux 6\.2\)"):
        await Sandbox.start(place.plan(), tier="B")
