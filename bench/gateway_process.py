"""Runs the proxies of a measurement and says what they cost: processor time and memory of all their processes."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping

import msgspec

_TICK = os.sysconf("SC_CLK_TCK")
_PATIENCE = 40.0


class Contender(msgspec.Struct, frozen=True, kw_only=True):
    """A proxy that can be started."""

    name: str
    argv: tuple[str, ...] = ()
    """Nothing for no proxy at all."""
    environment: Mapping[str, str] = {}
    port: int = 0
    """Where it listens; 0 where it prints that on its standard output."""
    relays: Mapping[int, int] = {}
    """For those that are not asked for a destination: the port to dial, by the port of the origin."""
    missing: str = ""
    """Why it cannot take part."""


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """A proxy that runs, or none."""

    name: str
    port: int | None
    pid: int | None
    relays: Mapping[int, int] = {}

    def to(self, origin: int) -> tuple[int | None, int]:
        """The proxy's port, if one has to be asked, and the port that is meant."""
        return self.port, self.relays.get(origin, origin)


@contextlib.contextmanager
def start(contender: Contender, processor: int | None, log: str) -> Iterator[Proxy]:
    """Run a proxy until the measurement is over. What it says on standard error is kept in `log`."""
    if not contender.argv:
        yield Proxy(name=contender.name, port=None, pid=None)
        return

    def prepare() -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        if processor is not None:
            os.sched_setaffinity(0, {processor})

    with open(log, "wb") as errors:
        process = subprocess.Popen(
            contender.argv,
            stdout=subprocess.PIPE if not contender.port else errors,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": os.path.dirname(log), **contender.environment},
            preexec_fn=prepare,
            start_new_session=True,
        )
    try:
        port = contender.port
        if process.stdout is not None:
            line = process.stdout.readline()
            if not line.strip():
                raise ChildProcessError(f"`{contender.name}` did not start: {_end_of(log)}")
            port = int(line)
        _wait_for(contender.name, process, port, log)
        asked = None if contender.relays else port
        yield Proxy(name=contender.name, port=asked, pid=process.pid, relays=contender.relays)
    finally:
        _stop(process)


def used(pid: int | None) -> float:
    """Seconds of processor time of a process and of everything it started, whether that still runs or not."""
    if pid is None:
        return 0.0
    try:
        own = time.clock_gettime(~pid << 3 | 2)  # the clock of a process, in nanoseconds
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stream:
            fields = stream.read().rpartition(")")[2].split()
        children = _children(pid)
    except OSError:  # it ended meanwhile, and is in the account of its parent
        return 0.0
    reaped = (int(fields[13]) + int(fields[14])) / _TICK
    return own + reaped + sum(used(child) for child in children)


def memory(pid: int | None) -> int:
    """Bytes of memory of a process and its children, shared pages counted in part."""
    if pid is None:
        return 0
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as stream:
            kibibytes = next((int(line.split()[1]) for line in stream if line.startswith("Pss:")), 0)
    except OSError:  # it ended meanwhile, maybe while it was read
        return 0
    return kibibytes * 1024 + sum(memory(child) for child in _children(pid))


def timed(proxy: Proxy, act: Callable[[], int]) -> tuple[int, float, float]:
    """What was done, the proxy's processor time for it, and the time."""
    before, started = used(proxy.pid), time.perf_counter()
    done = act()
    took = time.perf_counter() - started
    if not done:
        raise ConnectionError("nothing came through in time")
    return done, used(proxy.pid) - before, took


def _children(pid: int) -> list[int]:
    """None of one that ended meanwhile, and none of a thread that did."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", encoding="utf-8") as stream:
                found += [int(child) for child in stream.read().split()]
    return found


def _wait_for(name: str, process: subprocess.Popen[bytes], port: int, log: str) -> None:
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise ChildProcessError(f"`{name}` did not start: {_end_of(log)}") from None
            time.sleep(0.1)
        else:
            return


def _end_of(log: str) -> str:
    with open(log, encoding="utf-8", errors="replace") as stream:
        return stream.read()[-400:].strip() or "it said nothing"


def _stop(process: subprocess.Popen[bytes]) -> None:
    # In a session of its own: everything that it started goes with it.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdout is not None:
        process.stdout.close()
