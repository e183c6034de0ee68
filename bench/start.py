"""One command in a sandbox of its own: `ringfence exec -- true` against every peer that does the same on this machine.

Each contender has to prove that it is a sandbox first: a file beside the workspace must not change.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from bench import peers
from bench.rounds import Contender, interleave, program, table

OURS = "ringfence exec -- true"


@contextmanager
def place() -> Iterator[tuple[str, str]]:
    """A home with a small repository in it. Beside /tmp, which some sandboxes leave writable."""
    home = tempfile.mkdtemp(prefix="ringfence-bench-", dir="/var/tmp")
    workspace = os.path.join(home, "project")
    try:
        subprocess.run(("git", "init", "-q", workspace), check=True)
        yield home, workspace
    finally:
        shutil.rmtree(home, ignore_errors=True)


def ringfence() -> tuple[str, ...]:
    """The installed command, as people have it."""
    installed = os.path.join(os.path.dirname(sys.executable), "ringfence")
    if os.path.exists(installed):
        return (installed,)
    return (sys.executable, "-c", "import sys; from ringfence.cli.entry import main; sys.exit(main())")


def modules() -> dict[str, str]:
    """Where our modules lie, for a run from the source tree. Absolute, because the contenders run elsewhere."""
    given = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, given.split(os.pathsep)))} if given else {}


def main(rounds: int = 15) -> None:
    """Measure and print."""
    with place() as (home, workspace):
        environment = peers.environment(home) | modules()
        contenders = [
            Contender(name="true, without any sandbox", act=program(("true",), environment=environment, cwd=workspace))
        ]
        ours = peers.Peer(name=OURS, prefix=(*ringfence(), "exec", "-q", "--"))
        skipped = []
        for peer in (ours, *peers.peers(workspace, home)):
            reason = peer.missing or _unfit(peer, environment, home, workspace)
            if reason:
                skipped.append(f"  left out: {peer.name}: {reason}")
                continue
            act = program((*peer.prefix, "true"), environment=environment, cwd=workspace)
            contenders.append(Contender(name=peer.name, act=act))
        if any(line.startswith(f"  left out: {OURS}") for line in skipped):
            print("\n".join(skipped))
            return
        results = asyncio.run(interleave(contenders, rounds))
    print(table(f"one command in a sandbox of its own, {rounds} interleaved rounds", results, OURS))
    print("\n".join(skipped))


def _unfit(peer: peers.Peer, environment: dict[str, str], home: str, workspace: str) -> str:
    """Why this one cannot be compared; empty when it can."""
    beside = os.path.join(home, "beside")
    writes = f"touch inside && echo x > {beside}"
    result = subprocess.run(
        (*peer.prefix, "sh", "-c", writes),
        env=environment,
        cwd=workspace,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if os.path.exists(beside):
        os.unlink(beside)
        return "it let a command write beside the workspace"
    if not os.path.exists(os.path.join(workspace, "inside")):
        return f"it did not run: {(result.stderr or result.stdout).strip()[-300:]}"
    os.unlink(os.path.join(workspace, "inside"))
    return ""


if __name__ == "__main__":
    for problem in peers.fetch():
        print(f"  {problem}")
    main()
