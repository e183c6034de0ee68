"""Work on many files inside and outside, in both modes of a workspace, and what a snapshot costs.

The same commands run plainly, in a direct session, in a staged one, and on an overlay of the kernel without any of
ours, which is the least that staging can cost. Each of them, in each round, has a fresh copy of the same project, and
nothing is removed before the end: a file system that avoids what was just freed makes whoever comes next pay for it.
What is timed is the commands alone, not the session around them, and the snapshot of a large tree by itself.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from bench.fresh_disk import on_fresh_disk
from bench.start import modules, ringfence
from ringfence.session.snapshots import Snapshots
from ringfence.session.sources import Places

PYTHON = "/usr/bin/python3"
WORK = (
    ("the first git status, 5,000 files", "git status --porcelain", 1),
    ("git status, 5,000 files", "git status --porcelain", 25),
    (
        "git commit of 200 files",
        "for n in $(seq 200); do echo $RANDOM > d0/g$$-$n; done; git add -A; git commit -qm x",
        3,
    ),
    (
        "pip install of a wheel, with a venv",
        f"{PYTHON} -m venv --without-pip v$$; {PYTHON} -m pip -q --python v$$ install --no-index --no-deps wheel/*.whl",
        3,
    ),
    ("compile 300 modules", f"PYTHONPYCACHEPREFIX=$PWD/c$$ {PYTHON} -m compileall -qf code", 3),
    (
        "write and read 2,000 files",
        "mkdir w$$; for n in $(seq 2000); do echo $n > w$$/$n; done; cat w$$/* > sum$$",
        3,
    ),
)
"""What it is, the script, and how often it runs in one session: the median counts. None removes anything."""
FILES = 200_000

NAMES = tuple(name for name, _, _ in WORK)
FIGURES: tuple[tuple[str, Callable[[Iterable[float]], float]], ...] = (
    ("milliseconds, median", statistics.median),
    ("milliseconds, best", min),
    ("of processor time, median", statistics.median),
)
"""What is measured of each work, and which of the rounds counts. The best is what other work on the machine disturbs
least."""
Times: TypeAlias = dict[str, tuple[float, float, float]]
"""By the name of the work, in the order of `FIGURES`."""

_TIMED = """
import json, resource, subprocess, sys, time
def used():
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime
found = {}
for name, script, times in json.load(open(sys.argv[1])):
    taken = []
    for _ in range(times):
        began, before = time.monotonic(), used()
        subprocess.run(("bash", "-c", script), check=True, stdout=subprocess.DEVNULL)
        taken.append((time.monotonic() - began, used() - before))
    walls, processors = (sorted(each) for each in zip(*taken))
    found[name] = [each * 1000 for each in (walls[times // 2], walls[0], processors[times // 2])]
print(json.dumps(found))
"""
_OVERLAY = (
    'mount -t overlay overlay -o "lowerdir=$1,upperdir=$1.upper,workdir=$1.work,userxattr,volatile" "$1"'
    ' && cd "$1" && shift && exec "$@"'
)


def main(rounds: int = 7, home: str = "") -> None:
    """Measure and print. `home`: an empty folder that is as fresh as it gets; without, one is made."""
    if home:
        _work(Path(home), rounds)
        _snapshots(Path(home))
    else:
        on_fresh_disk("bench.workspaces", str(rounds))


def _work(home: Path, rounds: int) -> None:
    template = home / "template"
    _fill(template)
    environment = {"HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"} | modules()
    program, work = home / "timed.py", home / "work.json"
    program.write_text(_TIMED)
    work.write_text(json.dumps(WORK))
    inner = (PYTHON, str(program), str(work))
    ours = (*ringfence(), "exec", "-q", "--read", str(program), "--read", str(work))
    ways = {"outside": inner, "direct": (*ours, "--direct", "--", *inner), "staged": (*ours, "--staged", "--", *inner)}
    if _has_overlay(home):
        ways["overlay"] = ("unshare", "-Urm", "sh", "-c", _OVERLAY, "sh", "{project}", *inner)
    else:
        print("this account cannot mount an overlay of its own: the column `overlay` is left out")
    found: dict[str, list[Times]] = {way: [] for way in ways}
    for number in range(rounds):
        turn = number % len(ways)
        for way in (*list(ways)[turn:], *list(ways)[:turn]):
            project = _copied(template, home / f"{number}-{way}")
            command = tuple(str(project) if word == "{project}" else word for word in ways[way])
            found[way].append(_timed(command, project, environment, way))
    for at, (what, chosen) in enumerate(FIGURES):
        print(
            _table(
                what, {way: {name: chosen(each[name][at] for each in found[way]) for name in NAMES} for way in found}
            )
        )


def _has_overlay(home: Path) -> bool:
    project = home / "trial"
    for each in ("", ".upper", ".work"):
        Path(f"{project}{each}").mkdir()
    command = ("unshare", "-Urm", "sh", "-c", _OVERLAY, "sh", str(project), "true")
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _copied(template: Path, project: Path) -> Path:
    subprocess.run(("cp", "-a", template, project), check=True)
    for layer in ("upper", "work"):
        Path(f"{project}.{layer}").mkdir()
    # What was copied is on the disk before anything is timed.
    os.sync()
    return project


def _timed(command: Sequence[str], project: Path, environment: dict[str, str], way: str) -> Times:
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{way}: {done.stderr}")
    found: Times = json.loads(done.stdout)
    return found


def _table(what: str, found: dict[str, dict[str, float]]) -> str:
    """A figure of each work, and for each way how many times that of outside it is."""
    others = [way for way in found if way != "outside"]
    lines = [f"{what:<38}" + "".join(f"{way:>9}" for way in found) + "  " + "".join(f"{way:>9}" for way in others)]
    for name in NAMES:
        plain = found["outside"][name]
        figures = "".join(f"{found[way][name]:>9.1f}" for way in found)
        lines.append(f"{name:<38}{figures}  " + "".join(f"{found[way][name] / plain:>9.2f}" for way in others))
    return "\n".join(lines)


def _fill(project: Path) -> None:
    for folder in range(50):
        (project / f"d{folder}").mkdir(parents=True)
        for number in range(100):
            (project / f"d{folder}" / f"f{number}").write_text(f"{folder} {number}\n" * 20)
    (project / "code").mkdir()
    for number in range(300):
        body = "\n".join(f"def f{at}(x):\n    return [x + {at}, x * {number}]" for at in range(40))
        (project / "code" / f"m{number}.py").write_text(body + "\n")
    _wheel(project / "wheel")
    environment = {"HOME": str(project.parent), "PATH": os.environ["PATH"]}
    (project.parent / ".gitconfig").write_text("[user]\n\tname = n\n\temail = e@x\n")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "start")):
        subprocess.run(("git", *words), cwd=project, env=environment, check=True)


def _wheel(folder: Path) -> None:
    """A wheel of 500 modules, made by hand: there is no network here."""
    folder.mkdir()
    with zipfile.ZipFile(folder / "many-1-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for number in range(500):
            wheel.writestr(f"many/m{number}.py", f"x = {number}\n" * 100)
        wheel.writestr("many-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: many\nVersion: 1\n")
        wheel.writestr("many-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("many-1.dist-info/RECORD", "")


def _snapshots(home: Path) -> None:
    tree = home / "large"
    for folder in range(200):
        (tree / f"d{folder}").mkdir(parents=True)
        for number in range(FILES // 200):
            with open(f"{tree}/d{folder}/f{number}", "w") as stream:
                stream.write(f"{folder} {number}\n")
    os.sync()
    snapshots = Snapshots(Places(home=str(home), state=f"{home}/state", user_policy=""), str(tree))
    seconds = []
    time.sleep(1)
    for at in range(3):
        began = time.monotonic()
        snapshots.take(id=f"s{at}", session="s", moment="start" if at == 0 else "end", now_ns=time.time_ns())
        seconds.append(time.monotonic() - began)
    print(f"snapshot of {FILES:,} files: first {seconds[0]:.1f} s, next {seconds[1]:.1f} s, {seconds[2]:.1f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 7, sys.argv[2] if sys.argv[2:] else "")
