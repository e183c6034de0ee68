"""What was measured of each proxy, as tables and as goals that are reached or not.

Of several rounds the best one counts: whatever else the machine did made the others worse, never better. Processor time
depends on how fast the machine is just then as well, by a fifth and more; where proxies are compared by it, they take
turns of half a second, and the medians count, of the times and of what one takes of the other in the same turn.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec

from bench.gateway_peers import DEPLOYED, MITMPROXY, OURS, SQUID, SQUID_LOG


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is measured."""

    key: str
    title: str
    digits: int = 0
    most: bool = False
    """Whether more is better."""


TUNNELS = (
    Column(key="connections", title="conn/s", most=True),
    Column(key="connection_cpu", title="CPU us/conn"),
    Column(key="one", title="MB/s, 1", most=True),
    Column(key="sixteen", title="MB/s, 16", most=True),
    Column(key="byte_cpu", title="CPU s/GB", digits=2),
    Column(key="p50", title="p50 ms", digits=3),
    Column(key="p99", title="p99 ms", digits=3),
    Column(key="idle", title="KiB/tunnel", digits=1),
)
REQUESTS = (
    Column(key="requests", title="requests/s", most=True),
    Column(key="request_cpu", title="CPU us/req"),
    Column(key="handshakes", title="new conn/s", most=True),
    Column(key="handshake_cpu", title="CPU us/new"),
    Column(key="p50", title="p50 ms", digits=3),
    Column(key="p99", title="p99 ms", digits=3),
)
RULES = (
    Column(key="connections", title="conn/s", most=True),
    Column(key="connection_cpu", title="CPU us/conn"),
    Column(key="memory", title="MiB", digits=1),
)


class Figures:
    """The rounds of one table."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = {column.key: column for column in columns}
        self._rounds: dict[str, dict[str, list[float]]] = {}
        self._turns: dict[str, dict[str, list[float]]] = {}

    def add(self, name: str, key: str, value: float) -> None:
        """One measurement."""
        self._rounds.setdefault(name, {}).setdefault(key, []).append(value)

    def add_turn(self, name: str, key: str, value: float) -> None:
        """One of the turns that all of them take, one right after the other."""
        self._turns.setdefault(name, {}).setdefault(key, []).append(value)

    def forget(self, name: str) -> None:
        """What failed half-way does not count."""
        self._rounds.pop(name, None)
        self._turns.pop(name, None)

    def best(self, name: str, key: str) -> float | None:
        """The median of the turns, or else the best round; None where nothing was measured."""
        if turns := self._turns.get(name, {}).get(key):
            return statistics.median(turns)
        values = self._rounds.get(name, {}).get(key)
        if not values:
            return None
        return max(values) if self.columns[key].most else min(values)

    def ratio(self, name: str, other: str, key: str) -> float | None:
        """How many times what the other takes; None where one of them was not measured."""
        mine, theirs = self._turns.get(name, {}).get(key), self._turns.get(other, {}).get(key)
        if mine and theirs:
            return statistics.median(one / two for one, two in zip(mine, theirs, strict=True))
        best, others = self.best(name, key), self.best(other, key)
        return best / others if best and others else None

    def table(self, title: str, yardstick: str) -> str:
        """The best of each, and how many times the yardstick's that is."""
        columns = "".join(f"{column.title:>16}" for column in self.columns.values())
        lines = [f"{title:36}{columns}   (x: {yardstick} = 1)"]
        lines += [
            f"{name:36}{''.join(self._cell(name, key, yardstick) for key in self.columns)}" for name in self._rounds
        ]
        return "\n".join(lines)

    def _cell(self, name: str, key: str, yardstick: str) -> str:
        value, ours = self.best(name, key), self.best(yardstick, key)
        if not value or not ours:
            return f"{'-':>16}"
        return f"{value:9.{self.columns[key].digits}f} {value / ours:5.2f}x"


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway is to reach."""

    text: str
    limit: float
    reached: float | None
    """None where it could not be measured."""

    def __str__(self) -> str:
        if self.reached is None:
            return f"  not measured  {self.text}: at most {self.limit}"
        word = "yes" if self.reached <= self.limit else "NO"
        return f"  {word:3} {self.reached:7.3f}  {self.text}: at most {self.limit}"


def goals(tunnels: Figures, requests: Figures) -> list[Goal]:
    """The goals, and how far they are reached."""
    found = []
    for ours, squids in ((OURS, (SQUID,)), (DEPLOYED, (SQUID, SQUID_LOG))):
        for squid in squids:
            for figures, key, limit, what in (
                (tunnels, "connection_cpu", 0.6, "processor time of a connection"),
                (tunnels, "byte_cpu", 0.5, "processor time of a GB"),
                (requests, "request_cpu", 0.5, "processor time of an inspected keep-alive request"),
            ):
                ratio = figures.ratio(ours, squid, key)
                found.append(Goal(text=f"{what}, {ours}, of `{squid}`", limit=limit, reached=ratio))
        ratio = requests.ratio(ours, MITMPROXY, "request_cpu")
        found.append(Goal(text=f"the same, {ours}, of mitmproxy", limit=0.05, reached=ratio))
        for figures, limit, what in ((tunnels, 0.3, "a tunnel"), (requests, 1.0, "inspection")):
            added = _added(figures, ours)
            found.append(Goal(text=f"ms that {what} adds to a request, p50, {ours}", limit=limit, reached=added))
    return found


def _added(figures: Figures, ours: str) -> float | None:
    mine, direct = figures.best(ours, "p50"), figures.best("direct, no proxy", "p50")
    return mine - direct if mine and direct else None
