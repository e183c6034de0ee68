"""Lists of commands with the verdict they deserve, and what a policy makes of them.

A list is a table of `command, verdict, why` (verdicts `allow`, `ask` or `prompt`, `deny` or `forbid`; a newline, tab or
carriage return is written as its symbol), or JSON Lines with a `shell` key, where no verdict is known.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from ringfence.model.action import Action
from ringfence.model.decision import Decision, Verdict
from ringfence.policy.evaluate import Context, Evaluator
from ringfence.policy.questions import action_of
from ringfence.session.loaded import load_here

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests", "corpus")
ATTACKS = ("attacks-shell.tsv", "attacks-tools.tsv")
EVERYDAY = ("everyday.tsv",)

HOME = "/root"
WORKSPACE = "/root/project"
ROUNDS = 3
"""Of so many turns the quickest counts: the others were disturbed by something else."""

_SYMBOLS = str.maketrans({"␤": "\n", "␉": "\t", "␍": "\r"})
_VERDICTS = {"prompt": "ask", "forbid": "deny"}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One command."""

    command: str
    deserves: Verdict | None
    """Nothing where the list does not say."""
    why: str = ""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One command and what became of it."""

    row: Row
    verdict: Verdict
    rule: str


def read_list(path: str) -> tuple[Row, ...]:
    """The rows of a list."""
    with open(path, encoding="utf-8", newline="\n") as stream:
        lines = stream.read().split("\n")
    if path.endswith(".jsonl"):
        return tuple(Row(command=json.loads(line)["shell"], deserves=None) for line in lines if line)
    rows = (line.split("\t") for line in lines[1:] if line)
    return tuple(
        Row(command=command.translate(_SYMBOLS), deserves=Verdict(_VERDICTS.get(verdict, verdict)), why=why)
        for command, verdict, why in rows
    )


def own(names: Sequence[str]) -> tuple[Row, ...]:
    """The rows of some of the project's own lists."""
    return tuple(row for name in names for row in read_list(os.path.join(FOLDER, name)))


class Judge:
    """A preset, as it is in force in a fresh repository of somebody without any policy."""

    def __init__(self, folder: str, preset: str = "workspace") -> None:
        home = os.path.join(folder, "home")
        os.makedirs(os.path.join(home, "project"))
        environ = {"HOME": home, "PATH": os.environ.get("PATH", "/usr/bin:/bin")}
        here = load_here(environ, cwd=os.path.join(home, "project"), choice=preset)
        # Judging is pure: the lists mean a home and a workspace that need not be there.
        self._evaluator = Evaluator(here.policy, Context(home=HOME, workspace=WORKSPACE))

    def action(self, command: str) -> Action:
        """A shell string as it would come from an agent. The lists write the home folder as `~` or in full."""
        return action_of({"shell": command}, cwd=WORKSPACE, home=HOME)

    def decide(self, command: str) -> Decision:
        """The decision about a shell string."""
        return self._evaluator.evaluate(self.action(command))

    def judge(self, rows: Iterable[Row]) -> tuple[Judged, ...]:
        """Every row with its verdict and the rule that came first."""
        found = []
        for row in rows:
            decision = self.decide(row.command)
            rule = decision.reasons[0].rule if decision.reasons else ""
            found.append(Judged(row=row, verdict=decision.verdict, rule=rule))
        return tuple(found)

    def seconds(self, rows: Iterable[Row]) -> list[float]:
        """How long each decision takes once the tables of its programs are loaded, shortest first."""
        times = []
        for row in rows:
            action = self.action(row.command)
            self._evaluator.evaluate(action)
            times.append(min(self._seconds(action) for _ in range(ROUNDS)))
        return sorted(times)

    def _seconds(self, action: Action) -> float:
        start = time.perf_counter()
        self._evaluator.evaluate(action)
        return time.perf_counter() - start


def attacks_allowed(judged: Iterable[Judged]) -> tuple[Judged, ...]:
    """Attacks that ran without a question."""
    return tuple(one for one in judged if one.row.deserves is not Verdict.ALLOW and one.verdict is Verdict.ALLOW)


def not_denied(judged: Iterable[Judged]) -> tuple[Judged, ...]:
    """Rows that deserve a denial and got less."""
    return tuple(one for one in judged if one.row.deserves is Verdict.DENY and one.verdict is not Verdict.DENY)


def stopped(judged: Iterable[Judged]) -> tuple[Judged, ...]:
    """Everyday rows that did not simply run."""
    return tuple(one for one in judged if one.row.deserves is Verdict.ALLOW and one.verdict is not Verdict.ALLOW)


def share(part: int, whole: int) -> float:
    """In per cent."""
    return 100 * part / whole if whole else 100.0


def verdicts(judged: Iterable[Judged]) -> str:
    """How many of each verdict, in words."""
    counted = Counter(one.verdict for one in judged)
    total = sum(counted.values())
    return ", ".join(f"{share(counted[one], total):.1f} % {one.value}" for one in Verdict)


def listed(title: str, judged: Sequence[Judged], most: int = 12) -> str:
    """Some rows, one a line, for whoever wants to know which."""
    rows = [f"    {one.verdict.value:5} {one.rule:28.28} {one.row.command!r:.100}" for one in judged[:most]]
    more = [f"    (+{len(judged) - most} more)"] if len(judged) > most else []
    return "\n".join([f"  {title}: {len(judged)}", *rows, *more])
