"""Starts a command as a person and collects what it leaves. The sandbox is a function that wraps an argv."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import tempfile
import termios
import tty
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import msgspec

from ringfence.verify import source
from ringfence.verify.stage import SECRET_NAME, Ran, Stage
from ringfence.verify.warm import Start, Warm, words_of

Wrap = Callable[[Stage, tuple[str, ...]], tuple[str, ...]]
"""Turns the argv of an attack into the argv that runs it: unchanged, or inside a sandbox."""


_LEADER = """\
import os, subprocess, sys
status = subprocess.call(sys.argv[1:])
os.set_blocking(0, False)
try:
    print("typed:", os.read(0, 1000).decode(), flush=True)
except BlockingIOError:
    pass
sys.exit(status)
"""
"""Leads the terminal's session, as the person's shell would, and shows what it would read next."""


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """What a run inherits."""

    stdin: str = "null"
    stderr: str = "file"
    terminal: bool = False
    timeout: float = 20.0


def start(stage: Stage, argv: tuple[str, ...], streams: Streams, warm: Warm | None = None) -> Ran:
    """Run to the end, with the secret in the environment of the outermost process."""
    with ExitStack() as held:
        output, errors = (held.enter_context(tempfile.TemporaryFile(dir=stage.base)) for _ in range(2))
        stdin, prefix = _stdin(stage, streams, held)
        stderr = _opened(stage.outside, held) if streams.stderr == "folder" else errors.fileno()
        ours = words_of(argv) if warm and _is_plain(stage, streams) else None
        if warm and ours:
            status = _warmly(warm, stage, *ours, (stdin, output.fileno(), stderr), streams.timeout)
        else:
            status = _anew(stage, (*prefix, *argv), (stdin, output.fileno(), stderr), streams)
        return Ran(
            status=status if status >= 0 else 128 - status,
            output=_read(output.fileno()),
            errors=_read(errors.fileno()),
        )


def _is_plain(stage: Stage, streams: Streams) -> bool:
    """Whether a run needs nothing that only a program has that was started anew."""
    return not (streams.terminal or stage.during or stage.inherited)


def _warmly(
    warm: Warm, stage: Stage, words: tuple[str, ...], namespaces: bool, streams: tuple[int, int, int], seconds: float
) -> int:
    start = Start(
        words=words,
        environment=environment(stage),
        cwd=stage.workspace,
        uid=stage.person.uid,
        gid=stage.person.gid,
        namespaces=namespaces,
        network=stage.network,
    )
    try:
        return warm.start(start, streams).wait(seconds)
    except TimeoutError:
        return 124


def _anew(stage: Stage, argv: tuple[str, ...], descriptors: tuple[int, int, int], streams: Streams) -> int:
    stdin, output, errors = descriptors
    process = subprocess.Popen(
        (*stage.arena_prefix, *argv),
        stdin=stdin,
        stdout=output,
        stderr=errors,
        cwd=stage.workspace,
        env=environment(stage),
        pass_fds=stage.inherited,
        start_new_session=not streams.terminal,
        **account(stage),
    )
    for helper in stage.during:
        helper(process.pid)
    try:
        return process.wait(streams.timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return 124


def environment(stage: Stage) -> dict[str, str]:
    """The environment of the person who starts the sandbox."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    own = {
        "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path),
        "HOME": stage.home,
        "USER": stage.person.name,
        SECRET_NAME: stage.secret,
    }
    return {**kept, **own, **stage.environment}


def account(stage: Stage) -> dict[str, Any]:
    """The arguments of `Popen` that change to the stage's person, where that is somebody else."""
    if os.getuid() != 0 or stage.arena_prefix or stage.person.uid == 0:
        return {}
    return {"user": stage.person.uid, "group": stage.person.gid, "extra_groups": ()}


def _stdin(stage: Stage, streams: Streams, held: ExitStack) -> tuple[int, tuple[str, ...]]:
    if streams.terminal:
        master, slave = pty.openpty()
        tty.setraw(slave, termios.TCSANOW)
        if os.getuid() == 0:
            os.fchown(slave, stage.person.uid, -1)
        for descriptor in (master, slave):
            held.callback(os.close, descriptor)
        return slave, ("setsid", "--ctty", "--wait", source.interpreter(), "-I", "-S", "-c", _LEADER)
    path = {"null": "/dev/null", "file": os.path.join(stage.outside, "input")}[streams.stdin]
    return _opened(path, held), ()


def _opened(path: str, held: ExitStack) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    held.callback(os.close, descriptor)
    return descriptor


def _read(descriptor: int) -> str:
    return os.pread(descriptor, 1 << 20, 0).decode(errors="replace")
