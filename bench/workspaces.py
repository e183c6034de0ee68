"""Work on many files inside and outside, in both modes of a workspace, and what a snapshot costs.

The same commands run plainly, in a direct session and in a staged one; and with nothing of ours, behind a Landlock rule
and a seccomp filter that allow everything, on an overlay of the kernel, and with both: the least that sandboxing and
staging can cost. Each of them, in each round, has a fresh copy of the same project, and
nothing is removed before the end: a file system that avoids what was just freed makes whoever comes next pay for it.
All of them stand open at once and run each command one right after the other, and what is compared is those pairs: a
machine is never the same for a minute, and nearly so for a tenth of a second. What is timed is the commands alone, not
the session around them, and the snapshot of a large tree by itself.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
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
Sample: TypeAlias = tuple[float, float]
"""Milliseconds, and milliseconds of processor time."""
Rounds: TypeAlias = list[list[Sample]]
"""What one way took for one work: for each round, each time in order."""

_TIMED = """
import json, resource, subprocess, sys, time
def used():
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime
print(flush=True)
for line in sys.stdin:
    began, before = time.monotonic(), used()
    subprocess.run(("bash", "-c", json.loads(line)), check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    print(json.dumps([(time.monotonic() - began) * 1000, (used() - before) * 1000]), flush=True)
"""
_FILTERS = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *words):
    got = libc.syscall(number, *words)
    if got < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return got
libc.prctl(38, 1, 0, 0, 0)
rights = (1 << 13) - 1
rules = call(444, struct.pack("Q", rights), 8, 0)
call(445, rules, 1, struct.pack("=Qi", rights, os.open("/", os.O_PATH)), 0)
call(446, rules, 0)
allow = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7FFF0000))
call({"x86_64": 317, "aarch64": 277}[os.uname().machine], 1, 0, struct.pack("HxxxxxxP", 1, ctypes.addressof(allow)))
os.execv(sys.argv[1], sys.argv[1:])
"""
"""A Landlock rule and a seccomp filter that allow everything: what having both costs, whatever they say."""
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
    program = home / "timed.py"
    program.write_text(_TIMED)
    inner = (PYTHON, str(program))
    ours = (*ringfence(), "exec", "-q", "--read", str(program))
    ways = {"outside": inner, "direct": (*ours, "--direct", "--", *inner), "staged": (*ours, "--staged", "--", *inner)}
    filtered = (PYTHON, "-c", _FILTERS, *inner)
    ways["filters"] = filtered
    if _has_overlay(home):
        overlaid = ("unshare", "-Urm", "sh", "-c", _OVERLAY, "sh", "{project}")
        ways |= {"overlay": (*overlaid, *inner), "both": (*overlaid, *filtered)}
    else:
        print("this account cannot mount an overlay of its own: the columns `overlay` and `both` are left out")
    found: dict[str, dict[str, Rounds]] = {way: {name: [] for name in NAMES} for way in ways}
    for number in range(rounds):
        with contextlib.ExitStack() as stack:
            open_ways = {}
            for way, words in ways.items():
                project = _copied(template, home / f"{number}-{way}")
                command = tuple(str(project) if word == "{project}" else word for word in words)
                open_ways[way] = stack.enter_context(_Open(way, command, project, environment))
            _side_by_side(open_ways, found, number)
    for at, what in enumerate(("milliseconds", "of processor time")):
        print(_table(what, found, at))


def _side_by_side(ways: Mapping[str, _Open], found: Mapping[str, Mapping[str, Rounds]], number: int) -> None:
    """Each work once in each way, one right after the other in an order that rotates, as often as it is to run."""
    names = list(ways)
    for name, script, times in WORK:
        for way in names:
            found[way][name].append([])
        for time_ in range(times):
            turn = (number + time_) % len(names)
            for way in (*names[turn:], *names[:turn]):
                found[way][name][-1].append(ways[way].run(script))


class _Open:
    """A program that stands in one way and runs scripts there when it is told to."""

    def __init__(self, way: str, command: Sequence[str], project: Path, environment: dict[str, str]) -> None:
        self._way = way
        self._process = subprocess.Popen(
            command, cwd=project, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> _Open:
        self._line()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, script: str) -> Sample:
        """Run it once."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(script) + "\n")
        self._process.stdin.flush()
        wall, processor = json.loads(self._line())
        return wall, processor

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._way}: it ended with {self._process.wait()}")
        return line


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


def _table(what: str, found: Mapping[str, Mapping[str, Rounds]], at: int) -> str:
    """The median of each work, and how many times that of outside each way takes: the median of the pairs that ran one
    after the other, and in brackets that of the lowest and of the highest round."""
    others = [way for way in found if way != "outside"]
    lines = [f"{what:<38}" + "".join(f"{way:>9}" for way in found) + "".join(f"{way:>18}" for way in others)]
    for name in NAMES:
        figures = "".join(f"{statistics.median(_flat(found[way][name], at)):>9.1f}" for way in found)
        ratios = [_ratios(found[way][name], found["outside"][name], at) for way in others]
        lines.append(f"{name:<38}{figures}" + "".join(f"{ratio:>18}" for ratio in ratios))
    return "\n".join(lines)


def _flat(rounds: Rounds, at: int) -> list[float]:
    return [sample[at] for samples in rounds for sample in samples]


def _ratios(mine: Rounds, plain: Rounds, at: int) -> str:
    pairs = [[a[at] / b[at] for a, b in zip(*both, strict=True)] for both in zip(mine, plain, strict=True)]
    each = sorted(statistics.median(ratios) for ratios in pairs)
    return f"{statistics.median(itertools.chain(*pairs)):.2f} ({each[0]:.2f}-{each[-1]:.2f})"


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
