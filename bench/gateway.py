"""The egress gateway beside no proxy, squid, haproxy, tinyproxy, mitmproxy and the proxy of sandbox-runtime.

`python -m bench.gateway [tunnels] [requests] [rules] [--only NAME]`. All in one run, in interleaved rounds, on
loopback; the proxy has a processor of its own where there are two. The processor time of a proxy is that of all its
processes. Goals are printed with yes or NO.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from bench import gateway_certificates as certificates
from bench import gateway_load as load
from bench import gateway_peers as contenders
from bench import gateway_requests as secured
from bench import peers
from bench.gateway_figures import REQUESTS, RULES, TUNNELS, Figures, goals
from bench.gateway_process import Contender, Proxy, memory, start, timed

PARTS = ("tunnels", "requests", "rules")
_ROUNDS = 3
_SECONDS = 1.5
_TURNS = 15
_TURN_SECONDS = 0.5
_IDLE = 1000
_MANY = 100_000


class Stand(msgspec.Struct, frozen=True, kw_only=True):
    """What stands while measuring: the origins' ports, and who may use which processor."""

    small: int
    large: int
    secure: int
    idle: int
    """The one that never answers."""
    certificate: bytes
    """What the origin shows."""
    processor: int | None
    """The proxies'."""
    folder: str


Measure = Callable[[Stand, Proxy, Figures, float], None]


def main(words: Sequence[str] = ()) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.gateway", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"what to measure: {', '.join(PARTS)}")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="those with this in their name")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    asked = parser.parse_args(list(words))
    unknown = [part for part in asked.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part `{unknown[0]}`; there are {', '.join(PARTS)}")
    parts = asked.parts or PARTS
    for problem in peers.fetch():
        print(f"  {problem}")
    with tempfile.TemporaryDirectory(prefix="gateway-bench-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)
        with _standing(folder) as (stand, ground):
            tunnels, requests, rules = Figures(TUNNELS), Figures(REQUESTS), Figures(RULES)
            if "tunnels" in parts:
                chosen = _chosen(contenders.for_tunnels(ground), asked.only)
                _rounds(stand, chosen, tunnels, _tunnel, asked.rounds, _first, _connection_turn)
                print(tunnels.table("tunnels", contenders.OURS), "\n")
            if "requests" in parts:
                chosen = _chosen(contenders.for_requests(ground), asked.only)
                _rounds(stand, chosen, requests, _request, asked.rounds, turn_of=_request_turn)
                print(requests.table("requests looked into", contenders.OURS), "\n")
            if "rules" in parts:
                many = contenders.with_rules(ground, _MANY)
                _rounds(stand, _chosen(many, asked.only), rules, _ruled, asked.rounds)
                print(rules.table("rules", "ringfence, few rules"), "\n")
    print("goals")
    for goal in goals(tunnels, requests):
        print(goal)


def _chosen(every: Iterable[Contender], only: Sequence[str]) -> list[Contender]:
    chosen = []
    for one in every:
        if only and not any(text in one.name for text in only):
            continue
        if one.missing:
            print(f"  left out: {one.name}: {one.missing}")
        else:
            chosen.append(one)
    return chosen


@contextlib.contextmanager
def _standing(folder: str) -> Iterator[tuple[Stand, contenders.Ground]]:
    processors = sorted(os.sched_getaffinity(0))
    ours, rest = (processors[0], processors[-1]) if len(processors) > 1 else (None, None)
    files = certificates.write(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.leaf)
    context.set_alpn_protocols(["http/1.1"])
    small, large, secure, idle = (load.listening() for _ in range(4))
    ports = [sock.getsockname()[1] for sock in (small, large, secure, idle)]
    if rest is not None:
        os.sched_setaffinity(0, {rest})
    origins = [
        load.forked(load.serve_small, small, rest),
        load.forked(load.serve_bulk, large, rest),
        load.forked(lambda sock: secured.serve(sock, context), secure, rest),
        load.forked(load.serve_idle, idle, rest),
    ]
    try:
        stand = Stand(
            small=ports[0],
            large=ports[1],
            secure=ports[2],
            idle=ports[3],
            certificate=secured.certificate((None, ports[2])),
            processor=ours,
            folder=folder,
        )
        ground = contenders.Ground(
            folder=folder, certificates=files, origins=(ports[0], ports[1], ports[3]), secure=ports[2]
        )
        yield stand, ground
    finally:
        for origin in origins:
            os.kill(origin, signal.SIGKILL)
            os.waitpid(origin, 0)


def _rounds(
    stand: Stand,
    chosen: Iterable[Contender],
    figures: Figures,
    measure: Measure,
    rounds: int,
    first: Measure | None = None,
    turn_of: Measure | None = None,
) -> None:
    with contextlib.ExitStack() as stack:
        proxies = []
        for number, contender in enumerate(chosen):
            log = os.path.join(stand.folder, f"{measure.__name__}-{number}.log")
            try:
                proxies.append(stack.enter_context(start(contender, stand.processor, log)))
            except OSError as failure:
                print(f"  left out: {failure}")
        # A round to warm caches and compilers, which is forgotten, then those that count.
        warm = Figures(tuple(figures.columns.values()))
        turns = [] if first is None else [(first, figures)]
        turns += [(measure, warm), *[(measure, figures)] * rounds]
        turns += [] if turn_of is None else [(turn_of, figures)] * _TURNS
        for turn, into in turns:
            for proxy in tuple(proxies):
                try:
                    turn(stand, proxy, into, _TURN_SECONDS if turn is turn_of else _SECONDS)
                except OSError as failure:
                    print(f"  left out: {proxy.name}: {failure}")
                    figures.forget(proxy.name)
                    proxies.remove(proxy)


def _tunnel(stand: Stand, proxy: Proxy, figures: Figures, seconds: float) -> None:
    small, large, name = proxy.to(stand.small), proxy.to(stand.large), proxy.name
    count, used, took = timed(proxy, lambda: load.connections(*small, seconds=seconds, at_once=32))
    figures.add(name, "connections", count / took)
    figures.add(name, "connection_cpu", used / count * 1e6)
    got, _, took = timed(proxy, lambda: load.bulk(*large, seconds=seconds / 2, streams=1))
    figures.add(name, "one", got / took / 1e6)
    got, used, took = timed(proxy, lambda: load.bulk(*large, seconds=seconds, streams=16))
    figures.add(name, "sixteen", got / took / 1e6)
    figures.add(name, "byte_cpu", used / got * 1e9)
    _latency(stand, proxy, figures, seconds)


def _connection_turn(stand: Stand, proxy: Proxy, figures: Figures, seconds: float) -> None:
    ends = proxy.to(stand.small)
    count, used, _ = timed(proxy, lambda: load.connections(*ends, seconds=seconds, at_once=32))
    figures.add_turn(proxy.name, "connection_cpu", used / count * 1e6)


def _request_turn(stand: Stand, proxy: Proxy, figures: Figures, seconds: float) -> None:
    ends = proxy.to(stand.secure)
    count, used, _ = timed(proxy, lambda: secured.keep_alive(ends, named=stand.secure, seconds=seconds, at_once=8))
    figures.add_turn(proxy.name, "request_cpu", used / count * 1e6)


def _first(stand: Stand, proxy: Proxy, figures: Figures, seconds: float) -> None:
    """Memory is taken once, and then used again: it is measured before anything else."""
    load.connections(*proxy.to(stand.small), seconds=seconds / 5, at_once=8)
    if proxy.pid is not None:
        figures.add(proxy.name, "idle", _idle(proxy, stand.idle) / _IDLE / 1024)


def _request(stand: Stand, proxy: Proxy, figures: Figures, seconds: float) -> None:
    ends, named, name = proxy.to(stand.secure), stand.secure, proxy.name
    if proxy.port is not None and secured.certificate(ends) == stand.certificate:
        raise ConnectionError("it lets the origin's certificate through, so it looks into nothing")
    count, used, took = timed(proxy, lambda: secured.keep_alive(ends, named=named, seconds=seconds, at_once=8))
    figures.add(name, "requests", count / took)
    figures.add(name, "request_cpu", used / count * 1e6)
    count, used, took = timed(proxy, lambda: secured.handshakes(ends, named=named, seconds=seconds, at_once=8))
    figures.add(name, "handshakes", count / took)
    figures.add(name, "handshake_cpu", used / count * 1e6)
    _latency(stand, proxy, figures, seconds)


def _ruled(stand: Stand, proxy: Proxy, figures: Figures, seconds: float) -> None:
    small = proxy.to(stand.small)
    count, used, took = timed(proxy, lambda: load.connections(*small, seconds=seconds, at_once=32))
    figures.add(proxy.name, "connections", count / took)
    figures.add(proxy.name, "connection_cpu", used / count * 1e6)
    figures.add(proxy.name, "memory", memory(proxy.pid) / (1 << 20))


def _latency(stand: Stand, proxy: Proxy, figures: Figures, seconds: float) -> None:
    taken = secured.latencies(proxy.to(stand.secure), named=stand.secure, count=int(seconds * 500))
    figures.add(proxy.name, "p50", taken[len(taken) // 2])
    figures.add(proxy.name, "p99", taken[int(len(taken) * 0.99)])


def _idle(proxy: Proxy, origin: int) -> int:
    """How much more memory the proxy has while a thousand tunnels stand in which nothing moves."""
    asked, port = proxy.to(origin)
    before = memory(proxy.pid)
    with contextlib.ExitStack() as stack:
        for _ in range(_IDLE):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", asked or port), 30))
            if asked:
                client.sendall(load.connect_request(port))
                if b" 200" not in client.recv(4096)[:13]:
                    raise ConnectionError("the proxy refused")
            client.sendall(load.hello())
        return max(0, memory(proxy.pid) - before)


if __name__ == "__main__":
    main(sys.argv[1:])
