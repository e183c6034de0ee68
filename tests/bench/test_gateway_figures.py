"""Goals of the gateway's speed: reached, missed, or not measured; never one for the other."""

from __future__ import annotations

from bench.gateway_figures import REQUESTS, TUNNELS, Figures, goals
from bench.gateway_peers import MITMPROXY, OURS, SQUID


def test_a_goal_says_yes_no_or_that_nobody_measured_it() -> None:
    tunnels, requests = Figures(TUNNELS), Figures(REQUESTS)
    for name, values in ((OURS, (130.0, 120.0)), (SQUID, (200.0, 240.0))):
        for value in values:
            tunnels.add(name, "connection_cpu", value)
    requests.add(OURS, "request_cpu", 60.0)
    requests.add(SQUID, "request_cpu", 100.0)
    requests.add(MITMPROXY, "request_cpu", 3000.0)

    lines = [str(goal) for goal in goals(tunnels, requests)]

    assert lines[:4] == [
        "  yes   0.600  processor time of a connection, ringfence, of `squid, no log`: at most 0.6",
        "  not measured  processor time of a GB, ringfence, of `squid, no log`: at most 0.5",
        "  NO    0.600  processor time of an inspected keep-alive request, ringfence, of `squid, no log`: at most 0.5",
        "  yes   0.020  the same, ringfence, of mitmproxy: at most 0.05",
    ]


def test_the_best_round_counts() -> None:
    figures = Figures(TUNNELS)
    for value in (3.0, 1.0, 2.0):
        figures.add(OURS, "connections", value)
        figures.add(OURS, "connection_cpu", value)

    assert (figures.best(OURS, "connections"), figures.best(OURS, "connection_cpu")) == (3.0, 1.0)
