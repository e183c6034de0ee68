"""Work on many files inside and outside, in both modes of a workspace, and what a snapshot costs.

The same commands run in the same folder: plainly, in one direct session and in one staged session each round. What is
timed is the commands alone, not the session around them, and the snapshot of a large tree by itself.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from functools import reduce
from pathlib import Path

from bench.start import modules, ringfence
from ringfence.session.snapshots import Snapshots
from ringfence.session.sources import Places

_TIMED = """
import json, os, subprocess, sys, time
found = {}
for name, script, times in json.load(open(sys.argv[1])):
    taken = []
    for _ in range(times):
        began, used = time.monotonic(), os.times()
        subprocess.run(("bash", "-c", script), check=True, stdout=subprocess.DEVNULL)
        now = os.times()
        processors = now.children_user + now.children_system - used.children_user - used.children_system
        taken.append((time.monotonic() - began, processors))
    found[name] = [sorted(each)[times // 2] for each in zip(*taken)]
print(json.dumps(found))
"""
WORK = (
    ("the first git status, 5,000 files", "git status --porcelain", 1),
    ("git status, 5,000 files", "git status --porcelain", 9),
    (
        "git commit of 200 files",
        "for n in $(seq 200); do echo $RANDOM > d0/g$n; done; git add -A; git commit -qm x",
        3,
    ),
    (
        "pip install of a wheel, with a venv",
        "{python} -m venv --without-pip v$$; {pip} -q --python v$$ install {wheel}",
        1,
    ),
    ("compile 300 modules", "{python} -m compileall -qf code", 3),
    ("write and read 2,000 files", "mkdir w; for n in $(seq 2000); do echo $n > w/$n; done; cat w/* > sum; rm -r w", 3),
)
"""What it is, the script, and how often it runs in one session: the median counts."""
FILES = 200_000


def main(rounds: int = 5) -> None:
    """Measure and print."""
    home = tempfile.mkdtemp(prefix="ringfence-bench-", dir="/var/tmp")
    try:
        _work(home, rounds)
        _snapshots(home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _work(home: str, rounds: int) -> None:
    project = Path(home, "project")
    _fill(project)
    environment = {"HOME": home, "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"} | modules()
    python = "/usr/bin/python3"
    program, work = f"{home}/timed.py", f"{home}/work.json"
    Path(program).write_text(_TIMED)
    words = {"{python}": python, "{pip}": f"{python} -m pip", "{wheel}": "--no-index --no-deps wheel/*.whl"}
    scripts = [
        (name, reduce(lambda text, word: text.replace(word, words[word]), words, text), times)
        for name, text, times in WORK
    ]
    Path(work).write_text(json.dumps(scripts))
    inner = (python, program, work)
    ways = {
        "outside": inner,
        "direct": (*ringfence(), "exec", "-q", "--direct", "--read", program, "--read", work, "--", *inner),
        "staged": (*ringfence(), "exec", "-q", "--staged", "--read", program, "--read", work, "--", *inner),
    }
    found: dict[str, dict[str, list[tuple[float, float]]]] = {way: {name: [] for name, _, _ in WORK} for way in ways}
    for _ in range(rounds):
        for way, command in ways.items():
            done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{way}: {done.stderr}")
            for name, (wall, processors) in json.loads(done.stdout).items():
                found[way][name].append((wall, processors))
            subprocess.run(("git", "reset", "-q", "--hard", "start"), cwd=project, env=environment, check=True)
            subprocess.run(("git", "clean", "-qfdx"), cwd=project, env=environment, check=True)
            _unignored(project)
    print(
        f"{'milliseconds, median of ' + str(rounds):<38}{'outside':>9}{'direct':>9}{'staged':>9}   ratios      of CPU"
    )
    for name, _, _ in WORK:
        walls, processors = (
            [statistics.median(each[at] for each in found[way][name]) * 1000 for way in ways] for at in (0, 1)
        )
        print(
            f"{name:<38}" + "".join(f"{each:>9.0f}" for each in walls) + f"   {_ratios(walls)}  {_ratios(processors)}"
        )


def _ratios(each: list[float]) -> str:
    """Direct and staged, to outside."""
    return "  ".join(f"{part / each[0]:.2f}" for part in each[1:])


def _fill(project: Path) -> None:
    for folder in range(50):
        (project / f"d{folder}").mkdir(parents=True)
        for number in range(100):
            (project / f"d{folder}" / f"f{number}").write_text(f"{folder} {number}\n" * 20)
    (project / "code").mkdir()
    for number in range(300):
        body = "\n".join(f"def f{at}(x):\n    return [x + {at}, x * {number}]" for at in range(40))
        (project / "code" / f"m{number}.py").write_text(body + "\n")
    environment = {"HOME": str(project.parent), "PATH": os.environ["PATH"]}
    (project.parent / ".gitconfig").write_text("[user]\n\tname = n\n\temail = e@x\n")
    _unignored(project)
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "start"), ("tag", "start")):
        subprocess.run(("git", *words), cwd=project, env=environment, check=True)


def _unignored(project: Path) -> None:
    """A wheel of 500 modules, made by hand: there is no network here."""
    (project / "wheel").mkdir(exist_ok=True)
    with zipfile.ZipFile(project / "wheel" / "many-1-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for number in range(500):
            wheel.writestr(f"many/m{number}.py", f"x = {number}\n" * 100)
        wheel.writestr("many-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: many\nVersion: 1\n")
        wheel.writestr("many-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("many-1.dist-info/RECORD", "")


def _snapshots(home: str) -> None:
    tree = Path(home, "large")
    for folder in range(200):
        (tree / f"d{folder}").mkdir(parents=True)
        for number in range(FILES // 200):
            with open(f"{tree}/d{folder}/f{number}", "w") as stream:
                stream.write(f"{folder} {number}\n")
    snapshots = Snapshots(Places(home=home, state=f"{home}/state", user_policy=""), str(tree))
    seconds = []
    time.sleep(1)
    for at in range(3):
        began = time.monotonic()
        snapshots.take(id=f"s{at}", session="s", moment="start" if at == 0 else "end", now_ns=time.time_ns())
        seconds.append(time.monotonic() - began)
    print(f"snapshot of {FILES:,} files: first {seconds[0]:.1f} s, next {seconds[1]:.1f} s, {seconds[2]:.1f} s")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
