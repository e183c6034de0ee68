"""From an answer to the agent that waits for it: a vote cast by another process, until the decision is there.

Everything is as in use: a session with its ledger, the user's file of approvals, a signed vote, every step on record
before the answer leaves.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time

from bench.start import place
from ringfence import Session
from ringfence.approvals.desk import Desk
from ringfence.approvals.stores.sqlite import SqliteStore
from ringfence.model.action import CommandAction
from ringfence.model.ids import new_id
from ringfence.session.sources import places

_VOTER = """
import os, sys, time
from ringfence.approvals.objects import Vote
from ringfence.approvals.stores.sqlite import SqliteStore
from ringfence.model.ids import new_id
from ringfence.session.answering import desk_of
from ringfence.session.sources import places
where = places(os.environ)
desk = desk_of(SqliteStore(where.approvals), where)
for line in sys.stdin:
    request = desk.request(line.strip())
    cast = desk.cast(Vote(id=new_id(), request=request.id, approver="person:bench", approve=True, seen=request.shown))
    assert cast.counted, cast.problem
    print(time.monotonic_ns(), flush=True)
"""


def main(rounds: int = 100) -> None:
    """Measure and print."""
    with place() as (home, workspace):
        os.environ["HOME"] = home
        os.environ.pop("XDG_STATE_HOME", None)
        before = os.getcwd()
        os.chdir(workspace)
        try:
            taken, durable = asyncio.run(_measure(workspace, rounds))
        finally:
            os.chdir(before)
    taken.sort()
    written = statistics.median(durable)
    print(f"from an answer given elsewhere to the agent that waits, {rounds} rounds")
    print(f"  one durable write of a line to the same disk, in the same rounds: {written:.1f} ms")
    print(
        f"  p50 {statistics.median(taken):.1f} ms, p95 {taken[int(len(taken) * 0.95)]:.1f} ms, worst {taken[-1]:.1f} ms"
    )


async def _measure(workspace: str, rounds: int) -> tuple[list[float], list[float]]:
    taken: list[float] = []
    durable: list[float] = []
    async with Session(workspace=workspace, ask="queue") as session:
        store = SqliteStore(places(os.environ).approvals)
        desk = Desk(store, time.time_ns, new_id)
        with subprocess.Popen(
            [sys.executable, "-c", _VOTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as voter:
            assert voter.stdin is not None and voter.stdout is not None
            for number in range(rounds + 1):
                action = CommandAction(argv=("git", "push", "origin", str(number)), cwd=workspace)
                async with asyncio.TaskGroup() as tasks:
                    deciding = tasks.create_task(_decided(session, action))
                    while not (waiting := [one for one in desk.requests() if one.state == "pending"]):
                        await asyncio.sleep(0.005)
                    # At no fixed distance to the moments at which the session looks.
                    await asyncio.sleep(0.005 + number % 10 / 1000)
                    voter.stdin.write(f"{waiting[0].id}\n")
                    voter.stdin.flush()
                answered = int(voter.stdout.readline())
                if number:
                    taken.append((deciding.result() - answered) / 1e6)
                    durable.append(_durable_write(workspace))
            voter.stdin.close()
        store.close()
    return taken, durable


def _durable_write(folder: str) -> float:
    started = time.monotonic_ns()
    descriptor = os.open(os.path.join(folder, "line"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, b"one line\n")
    os.fsync(descriptor)
    os.close(descriptor)
    return (time.monotonic_ns() - started) / 1e6


async def _decided(session: Session, action: CommandAction) -> int:
    decision = await session.decide(action)
    assert decision.verdict == "allow", decision.message
    return time.monotonic_ns()
