"""Asks one question on the controlling terminal and prints the outcome where the test reads it."""

from __future__ import annotations

import asyncio
import os
import sys

from tests.approvals.made import Time, command, counting, decision, desk_at, opened

from ringfence.approvals.channels.terminal import Terminal


async def main(result: str) -> None:
    request = opened(desk_at(":memory:", Time()), decision(command("git", "push")))
    asking = Terminal(approver="person:ada", new_id=counting("vote"), colours=False, guard_seconds=0.05)
    outcome = await asking.ask(request)
    with open(result, "w") as stream:
        stream.write(repr(outcome))


if __name__ == "__main__":
    if sys.argv[2:] == ["background"]:
        if job := os.fork():
            os.waitpid(job, 0)
            sys.exit()
        os.setpgid(0, 0)
    asyncio.run(main(sys.argv[1]))
