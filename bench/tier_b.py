"""What a call costs where a supervisor carries it out: the same small program plainly, in tier A and in tier B.

`python -m bench.tier_b`. Interleaved rounds of fresh programs, and the best of each: a call waits for another
process, and on a busy machine it waits longer. A tier that the machine does not give is named.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import subprocess
import tempfile

from ringfence.model.shown import PlacedFile
from ringfence.model.situations import SandboxUnavailable
from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.plan import HostFacts, Plan

_PYTHON = "/usr/bin/python3"
_SETTINGS = (PlacedFile(path="/etc/some-agent/settings.json", content=b"{}", mode=0o444),)
_PROGRAM = """
import json, os, socket, time
os.chdir(os.path.dirname(os.path.abspath(__file__)))
listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
there = listener.getsockname()[1]
def connected():
    made = socket.socket(); made.connect(("127.0.0.1", there)); made.close(); listener.accept()[0].close()
def failed():
    made = socket.socket(); made.setblocking(False); made.connect_ex(("127.0.0.1", there)); made.close()
    listener.accept()[0].close()
def made(): os.close(os.open("new", os.O_CREAT | os.O_EXCL | os.O_WRONLY)); os.unlink("new")
open("old", "w").close()
work = {"connect": connected, "connect, non-blocking": failed, "socket": lambda: socket.socket().close(),
        "make and remove a file": made, "open to write": lambda: os.close(os.open("old", os.O_WRONLY)),
        "open to read": lambda: os.close(os.open("old", os.O_RDONLY)), "stat": lambda: os.stat("old")}
taken = {}
for name, act in work.items():
    for _ in range(20): act()
    started = time.perf_counter()
    for _ in range(COUNT): act()
    taken[name] = (time.perf_counter() - started) / COUNT * 1e6
print(json.dumps(taken))
"""


def main(rounds: int = 12, count: int = 200) -> None:
    """Measure and print."""
    asyncio.run(_measure(rounds, count))


async def _measure(rounds: int, count: int) -> None:
    # Not below a temporary folder, which every sandbox has to itself.
    with tempfile.TemporaryDirectory(prefix=".ringfence-bench-", dir=os.path.expanduser("~")) as root:
        workspace = f"{root}/home/project"
        os.makedirs(workspace)
        program = f"{workspace}/calls.py"
        with open(program, "w", encoding="utf-8") as file:
            file.write(_PROGRAM.replace("COUNT", str(count)))
        boxes: dict[str, Sandbox | None] = {"no sandbox": None}
        try:
            for name, tier, files in (
                ("tier A", "A", ()),
                ("tier B", "B", ()),
                ("tier B, with an agent's settings", "B", _SETTINGS),
            ):
                try:
                    boxes[name] = await Sandbox.start(_plan(root, workspace, files), tier=tier)
                except SandboxUnavailable as error:
                    print(f"  left out: {name}: {error.message}")
            taken: dict[str, list[dict[str, float]]] = {name: [] for name in boxes}
            for _ in range(rounds):
                for name, box in boxes.items():
                    taken[name].append(await _run(box, program, workspace))
        finally:
            for box in boxes.values():
                if box is not None:
                    await box.close()
    _print(taken, rounds)


def _plan(root: str, workspace: str, files: tuple[PlacedFile, ...]) -> Plan:
    facts = HostFacts(
        home=f"{root}/home",
        uid=os.getuid(),
        gid=os.getgid(),
        user=pwd.getpwuid(os.getuid()).pw_name,
        hostname="bench",
        path="/usr/local/bin:/usr/bin:/bin",
        state=f"{root}/state",
    )
    return Plan(facts=facts, workspace=workspace, workspace_writable=True, files=files)


async def _run(box: Sandbox | None, program: str, workspace: str) -> dict[str, float]:
    argv = (_PYTHON, "-I", "-S", program)
    if box is None:
        done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=True)
        return dict(json.loads(done.stdout))
    reader, writer = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        command = await box.spawn(argv, env={}, cwd=workspace, stdin=null, stdout=writer, stderr=2)
    finally:
        os.close(writer)
        os.close(null)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        text = await asyncio.to_thread(pipe.read)
    await command.wait()
    return dict(json.loads(text))


def _print(taken: dict[str, list[dict[str, float]]], rounds: int) -> None:
    names = list(taken)
    print(
        f"one call, the best of {rounds} interleaved rounds of fresh programs: microseconds, and how many times as long"
    )
    print(f"{'':24}" + "".join(f"{name:>34}" for name in names))
    for call in taken[names[0]][0]:
        best = [min(each[call] for each in taken[name]) for name in names]
        cells = (f"{each:.1f} ({each / best[0]:.1f}x)" for each in best)
        print(f"{call:24}" + "".join(f"{cell:>34}" for cell in cells))


if __name__ == "__main__":
    main()
