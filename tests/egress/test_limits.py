"""How many connections a process can hold."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

from ringfence.egress.limits import Limits, fitting

PROGRAM = """
import resource
from ringfence.egress.limits import Limits, fitting
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(fitting(Limits(connections=1000)).connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def _in_a_process(soft: int, hard: int) -> str:
    program = (sys.executable, "-c", PROGRAM.format(soft=soft, hard=hard))
    return subprocess.run(program, capture_output=True, text=True, check=True, env=dict(os.environ)).stdout.strip()


def test_more_descriptors_are_asked_for_where_the_limit_allows_it() -> None:
    assert _in_a_process(256, 4096) == "1000 2192"


def test_fewer_connections_are_taken_where_it_does_not() -> None:
    assert _in_a_process(256, 392) == "100 392"


def test_enough_is_left_alone() -> None:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    assert fitting(Limits(connections=1)) == Limits(connections=1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == soft
