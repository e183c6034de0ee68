"""Connections and bytes through the egress gateway against no proxy, squid, and the proxy of sandbox-runtime.

`python -m bench.gateway`. All in one run, interleaved, on loopback; the proxy has a processor of its own where there
are two. The processor time of a proxy is that of all its processes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import msgspec

from bench import gateway_load as load
from bench import peers

_ROUNDS = 3
_SECONDS = 2.0
_TICK = os.sysconf("SC_CLK_TCK")
_HERE = os.path.dirname(os.path.abspath(__file__))


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """A proxy that runs."""

    name: str
    port: int | None
    """None for no proxy at all."""
    pid: int | None


class Measured(msgspec.Struct, kw_only=True):
    """What was measured of a proxy, one entry for each round."""

    connections: list[float] = []
    connection_cpu: list[float] = []
    """Microseconds for each connection."""
    one: list[float] = []
    """MB/s of one stream."""
    sixteen: list[float] = []
    byte_cpu: list[float] = []
    """Seconds for each GB, with sixteen streams."""


def main() -> None:
    """Measure and print."""
    processors = sorted(os.sched_getaffinity(0))
    ours, rest = (processors[0], processors[-1]) if len(processors) > 1 else (None, None)
    small, large = load.listening(), load.listening()
    if rest is not None:
        os.sched_setaffinity(0, {rest})
    origins = [load.forked(load.serve_small, small, rest), load.forked(load.serve_bulk, large, rest)]
    try:
        with contextlib.ExitStack() as stack:
            proxies = [Proxy(name="direct", port=None, pid=None)]
            proxies += [stack.enter_context(start(name, argv, ours)) for name, argv in _contenders(stack)]
            results = {proxy.name: Measured() for proxy in proxies}
            for number in range(_ROUNDS + 1):
                for proxy in proxies:
                    seconds = _SECONDS if number else _SECONDS / 2
                    _measure(proxy, results[proxy.name], small.getsockname()[1], large.getsockname()[1], seconds)
                if number == 0:  # warm caches and compilers, then forget
                    results = {proxy.name: Measured() for proxy in proxies}
            print(_table(results))
    finally:
        for origin in origins:
            os.kill(origin, signal.SIGKILL)
            os.waitpid(origin, 0)


def _contenders(stack: contextlib.ExitStack) -> Iterator[tuple[str, tuple[str, ...]]]:
    python = (sys.executable, "-m", "bench.gateway_ours")
    yield "ringfence", (*python, "instant")
    yield "ringfence, decisions durable", (*python, "recorded")
    squid = shutil.which("squid", path=f"{os.environ['PATH']}:/usr/sbin")
    if squid:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="squid-bench-", dir="/var/tmp"))
        yield "squid", (squid, "-N", "-f", _squid_configuration(folder))
    else:
        print("squid is not installed (Debian package `squid`): left out")
    srt = os.path.join(peers.FOLDER, "node_modules/@anthropic-ai/sandbox-runtime/dist/sandbox/http-proxy.js")
    node = shutil.which("node")
    if node and os.path.exists(srt):
        yield "srt's proxy alone", (node, os.path.join(_HERE, "gateway_srt.mjs"), srt)
    else:
        print("sandbox-runtime is not there (npm package `@anthropic-ai/sandbox-runtime`): left out")


def _squid_configuration(folder: str) -> str:
    with load.listening() as probe:
        port = probe.getsockname()[1]
    path = os.path.join(folder, "squid.conf")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(
            f"http_port 127.0.0.1:{port}\nacl ours dstdomain localhost\nhttp_access allow ours\nhttp_access deny all\n"
            "cache deny all\naccess_log none\ncache_log /dev/null\ncache_store_log none\npid_filename none\n"
            f"coredump_dir {folder}\nshutdown_lifetime 0 seconds\nclient_persistent_connections on\n# port {port}\n"
        )
    os.chmod(folder, 0o755)
    return path


@contextlib.contextmanager
def start(name: str, argv: tuple[str, ...], processor: int | None) -> Iterator[Proxy]:
    """Run a proxy until the measurement is over."""
    quiet = subprocess.DEVNULL

    def pin() -> None:
        if processor is not None:
            os.sched_setaffinity(0, {processor})

    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=quiet, preexec_fn=pin, start_new_session=True)
    try:
        assert process.stdout is not None
        if name == "squid":
            with open(argv[-1], encoding="utf-8") as stream:
                port = int(stream.read().rpartition("# port ")[2])
        else:
            port = int(process.stdout.readline())
        _wait_for(port)
        yield Proxy(name=name, port=port, pid=process.pid)
    finally:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def _wait_for(port: int) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


def _measure(proxy: Proxy, into: Measured, small: int, large: int, seconds: float) -> None:
    count, used, took = _timed(proxy, lambda: load.connections(proxy.port, small, seconds=seconds, at_once=32))
    into.connections.append(count / took)
    into.connection_cpu.append(used / count * 1e6)
    got, _, took = _timed(proxy, lambda: load.bulk(proxy.port, large, seconds=seconds, streams=1))
    into.one.append(got / took / 1e6)
    got, used, took = _timed(proxy, lambda: load.bulk(proxy.port, large, seconds=seconds, streams=16))
    into.sixteen.append(got / took / 1e6)
    into.byte_cpu.append(used / got * 1e9)


def _timed(proxy: Proxy, act: Callable[[], int]) -> tuple[int, float, float]:
    """What was done, the proxy's processor time for it, and the time."""
    before, started = _used(proxy.pid), time.perf_counter()
    done = act()
    took = time.perf_counter() - started
    return done, _used(proxy.pid) - before, took


def _used(pid: int | None) -> float:
    """Seconds of processor time of a process and of everything it started that still runs."""
    if pid is None:
        return 0.0
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stream:
        fields = stream.read().rpartition(")")[2].split()
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as stream:
        children = [int(child) for child in stream.read().split()]
    return (int(fields[11]) + int(fields[12])) / _TICK + sum(_used(child) for child in children)


def _table(results: dict[str, Measured]) -> str:
    yardstick = results["ringfence"]
    columns = "".join(f"{title:>15}" for title in ("conn/s", "CPU us/conn", "MB/s, 1", "MB/s, 16", "CPU s/GB"))
    lines = [f"{'':30}{columns}   (x: ringfence = 1)"]
    for name, measured in results.items():
        cells = [
            _cell(getattr(measured, field), getattr(yardstick, field), digits)
            for field, digits in (
                ("connections", 0),
                ("connection_cpu", 0),
                ("one", 0),
                ("sixteen", 0),
                ("byte_cpu", 2),
            )
        ]
        lines.append(f"{name:30} {''.join(f'{cell:>15}' for cell in cells)}")
    return "\n".join(lines)


def _cell(values: list[float], yardstick: list[float], digits: int) -> str:
    value, ours = statistics.median(values), statistics.median(yardstick)
    return f"{value:7.{digits}f} {value / ours:5.2f}x" if value else f"{'-':>14}"


if __name__ == "__main__":
    main()
