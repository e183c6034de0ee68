"""What a policy stops, what it lets pass, and what a decision costs: `make bench-policy`.

`python -m bench.policy [--all] [LIST...]` reads further lists in the form that `bench.command_lists` describes.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
import tempfile
import time

from bench.command_lists import (
    ATTACKS,
    EVERYDAY,
    ROUNDS,
    Judge,
    Judged,
    Row,
    attacks_allowed,
    listed,
    not_denied,
    own,
    read_list,
    share,
    stopped,
    verdicts,
)
from ringfence.model.decision import Verdict
from ringfence.model.host import Host, parse_host
from ringfence.policy.effective import HostRule, Origin
from ringfence.policy.hosts import HostTable

LEAST_ATTACKS_STOPPED = 98.0
LEAST_EVERYDAY_ALLOWED = 97.0
HOST_RULES = 100_000


def main(words: list[str] | None = None) -> int:
    """Print the figures; 1 where one of the first two is missed."""
    parser = argparse.ArgumentParser(prog="bench.policy", description=__doc__.split("\n")[0])
    parser.add_argument("lists", nargs="*", metavar="LIST", help="further lists, `.tsv` or `.jsonl`")
    parser.add_argument("--all", action="store_true", help="print every row that is not as it should be")
    parsed = parser.parse_args(words or [])
    most = 10_000 if parsed.all else 12
    with tempfile.TemporaryDirectory() as folder:
        judge = Judge(folder)
        attacks, everyday = own(ATTACKS), own(EVERYDAY)
        good = _figures("own lists", judge.judge((*attacks, *everyday)), len(attacks), most)
        for path in parsed.lists:
            _foreign(path, judge, most)
        _times(judge, (*attacks, *everyday))
    _hosts()
    return 0 if good else 1


def _figures(title: str, judged: tuple[Judged, ...], attacks: int, most: int) -> bool:
    attacked, daily = judged[:attacks], judged[attacks:]
    through, soft, annoyed = attacks_allowed(attacked), not_denied(judged), stopped(daily)
    wanted = sum(one.row.deserves is Verdict.ALLOW for one in daily)
    held = share(len(attacked) - len(through), len(attacked))
    passed = share(wanted - len(annoyed), wanted)
    print(f"{title}: {len(judged)} commands, preset `workspace`")
    print(f"  attacks not allowed     {held:6.1f} %  of {len(attacked)} (at least {LEAST_ATTACKS_STOPPED} %)")
    print(f"  everyday allowed        {passed:6.1f} %  of {wanted} (at least {LEAST_EVERYDAY_ALLOWED} %)")
    print(f"  deserve a deny, got it  {share(_denials(judged) - len(soft), _denials(judged)):6.1f} %")
    for name, rows in (("attacks allowed", through), ("not denied", soft), ("everyday stopped", annoyed)):
        if rows:
            print(listed(name, rows, most))
    return held >= LEAST_ATTACKS_STOPPED and passed >= LEAST_EVERYDAY_ALLOWED and not soft


def _denials(judged: tuple[Judged, ...]) -> int:
    return sum(one.row.deserves is Verdict.DENY for one in judged)


def _foreign(path: str, judge: Judge, most: int) -> None:
    rows = read_list(path)
    judged = judge.judge(rows)
    if all(row.deserves is None for row in rows):
        print(f"{path}: {len(rows)} commands without a verdict: {verdicts(judged)}")
        if most > 12:
            print(listed("stopped", tuple(one for one in judged if one.verdict is not Verdict.ALLOW), most))
        return
    ordered = sorted(judged, key=lambda one: one.row.deserves is Verdict.ALLOW)
    attacks = sum(one.row.deserves is not Verdict.ALLOW for one in judged)
    _figures(path, tuple(ordered), attacks, most)


def _times(judge: Judge, rows: tuple[Row, ...]) -> None:
    times = judge.seconds(rows)
    split = sorted(_split_seconds(row.command) for row in rows)
    middle, late = times[len(times) // 2], times[int(len(times) * 0.99)]
    print(f"a decision: p50 {middle * 1e6:.0f} us, p99 {late * 1e6:.0f} us (goals 100 us and 1,000 us)")
    print(f"  that is {middle / split[len(split) // 2]:.1f} times `shlex.split`, which only finds the words")


def _split_seconds(command: str) -> float:
    start = time.perf_counter()
    with contextlib.suppress(ValueError):
        shlex.split(command)
    return time.perf_counter() - start


def _hosts(rules: int = HOST_RULES, lookups: int = 20_000) -> None:
    origin = Origin(layer="user", source="bench:1")
    table = HostTable(
        HostRule(
            id=f"r{at}",
            hosts=((f"*.h{at}.example" if at % 3 else f"h{at}.example"),),
            verdict=Verdict.ALLOW,
            origin=origin,
        )
        for at in range(rules)
    )
    hosts = [parse_host(f"a.h{(at * 7919) % (2 * rules)}.example") for at in range(lookups)]
    each = min(_lookup_seconds(table, hosts) for _ in range(ROUNDS)) / lookups
    print(f"a look-up among {rules:,} host rules: {each * 1e6:.2f} us (goal 2 us)")


def _lookup_seconds(table: HostTable, hosts: list[Host]) -> float:
    start = time.perf_counter()
    for host in hosts:
        table.rules(host, 443)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
