"""One command in a session that is already open: what each action of an agent costs, against bwrap and a bare spawn."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping

from bench import peers
from bench.rounds import Act, Contender, Cost, interleave, program, table
from bench.start import place
from ringfence import Session

OURS = "Session.exec(['true']), decided and recorded"
BARE = "posix_spawn, no sandbox"
STARTED = "the supervisor inside, Landlock and seccomp"
_MOST_OF_BARE, _MOST_OF_BWRAP = 1.7, 0.25
"""What a start inside may cost, as parts of the others'."""


def main(rounds: int = 300) -> None:
    """Measure and print."""
    with place() as (home, workspace):
        # The session reads its folders from the environment, like any program that uses it.
        os.environ["HOME"] = home
        os.environ.pop("XDG_STATE_HOME", None)
        before = os.getcwd()
        os.chdir(workspace)
        try:
            asyncio.run(_measure(home, workspace, rounds))
        finally:
            os.chdir(before)


async def _measure(home: str, workspace: str, rounds: int) -> None:
    environment = peers.environment(home)
    started = time.perf_counter()
    async with Session(workspace=workspace) as session:
        opened = (time.perf_counter() - started) * 1000
        contenders = [
            Contender(name=BARE, act=program(("true",), environment=environment, cwd=workspace)),
            Contender(name="asyncio subprocess with pipes, no sandbox", act=_bare),
            Contender(name=STARTED, act=_started(session, environment, workspace)),
            Contender(name=OURS, act=_governed(session)),
        ]
        wrapped = next(peer for peer in peers.peers(workspace, home) if peer.name.startswith("bwrap"))
        if not wrapped.missing:
            act = program((*wrapped.prefix, "true"), environment=environment, cwd=workspace)
            contenders.append(Contender(name=wrapped.name, act=act))
        results = await interleave(contenders, rounds)
    print(table(f"one command in an open session, {rounds} interleaved rounds", results, OURS))
    print("\n".join(_verdicts({each.name: each.wall for each in results}, wrapped.name)))
    if wrapped.missing:
        print(f"  left out: {wrapped.name}: {wrapped.missing}")
    print(f"  opening the session took {opened:.0f} ms, once")


def _verdicts(walls: Mapping[str, float], wrapped: str) -> list[str]:
    """How a start inside compares with what it may cost."""
    lines = []
    for name, most in ((BARE, _MOST_OF_BARE), (wrapped, _MOST_OF_BWRAP)):
        if name in walls:
            part = walls[STARTED] / walls[name]
            lines.append(
                f"  a start inside takes {part:.2f} of {name} (at most {most}: {'yes' if part <= most else 'NO'})"
            )
    return lines


def _started(session: Session, environment: Mapping[str, str], workspace: str) -> Act:
    """The start alone, as the session asks for it: no decision, no record, no output."""
    governed = session._governed
    assert governed is not None
    null = os.open(os.devnull, os.O_RDWR)

    async def act() -> Cost:
        started = time.perf_counter()
        command = await governed.sandbox.spawn(
            ("true",), env=environment, cwd=workspace, stdin=null, stdout=null, stderr=null
        )
        if await command.wait():
            raise ChildProcessError("`true` failed inside")
        return Cost(wall=(time.perf_counter() - started) * 1000)

    return act


def _governed(session: Session) -> Act:
    async def act() -> Cost:
        started = time.perf_counter()
        result = await session.exec(["true"])
        wall = time.perf_counter() - started
        if result.exit_code:
            raise ChildProcessError(f"the session refused: {result.stderr}")
        return Cost(wall=wall * 1000)

    return act


async def _bare() -> Cost:
    started = time.perf_counter()
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("true", stdout=pipe, stderr=pipe)
    await process.communicate()
    return Cost(wall=(time.perf_counter() - started) * 1000)


if __name__ == "__main__":
    main()
