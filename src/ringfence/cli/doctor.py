"""`ringfence doctor`: what this machine can enforce, found out by trying, and a fix line for each shortfall.

Two parts: trials of what the kernel gives, and attacks inside a real sandbox that have to fail. Nothing is changed.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence

from ringfence.cli import codes
from ringfence.cli.failure import Arguments
from ringfence.model.situations import RingfenceError
from ringfence.sandbox.attacks import Outcome, attack
from ringfence.sandbox.plan import HostFacts
from ringfence.sandbox.probe import Fact, TierReport, probe
from ringfence.session import sources

_SCHEMA = 1
_GIVES = {
    "A": "own namespaces, Landlock, seccomp, all TCP and DNS captured",
    "B": "Landlock and seccomp without namespaces; a supervisor changes files and joins sockets",
    "C": "nothing of its own; only where a policy declares what holds the session",
    "none": "this system is not supported",
}


def main(arguments: Sequence[str]) -> int:
    """Run the trials and the attacks, and print what they gave."""
    parser = Arguments(
        prog="ringfence doctor", description="Show what this machine can enforce, by trying it inside a sandbox."
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    options = parser.parse_args(list(arguments))
    report = probe()
    possible = report.tier in ("A", "B")
    outcomes, error = _attacks(report.tier) if possible else ((), "not tried, because no sandbox can be made")
    sound = possible and not error and all(each.stopped for each in outcomes)
    print(_as_json(report, outcomes, error, sound=sound) if options.json else _as_text(report, outcomes, error))
    return codes.OK if sound else codes.FAILED


def _attacks(tier: str) -> tuple[tuple[Outcome, ...], str]:
    user, places = sources.user(), sources.places(os.environ)
    with tempfile.TemporaryDirectory(prefix="ringfence-doctor-") as folder:
        facts = HostFacts(
            home=places.home,
            uid=user.uid,
            gid=user.gid,
            user=user.name,
            hostname=user.host,
            path=os.environ.get("PATH", ""),
            state=os.path.join(folder, "state"),
        )
        try:
            return asyncio.run(attack(facts, folder, tier)), ""
        except RingfenceError as situation:
            return (), situation.message


def _as_json(report: TierReport, outcomes: tuple[Outcome, ...], error: str, *, sound: bool) -> str:
    facts = [
        {"name": each.name, "ok": each.ok, "required": each.required, "detail": each.detail, "fix": each.fix}
        for each in report.facts
    ]
    attacks = [{"name": each.name, "stopped": each.stopped, "detail": each.detail} for each in outcomes]
    value = {"schema": _SCHEMA, "tier": report.tier, "ok": sound, "facts": facts, "attacks": attacks, "error": error}
    return json.dumps(value)


def _as_text(report: TierReport, outcomes: tuple[Outcome, ...], error: str) -> str:
    colours = sys.stdout.isatty()
    lines = [f"Sandbox tier {report.tier}: {_GIVES[report.tier]}", "", "What the kernel gives"]
    width = max([len(each.name) for each in report.facts] + [len(each.name) for each in outcomes])
    lines += [line for fact in report.facts for line in _fact_lines(fact, width, colours=colours)]
    lines += ["", "Attacks inside a sandbox, which have to fail"]
    for each in outcomes:
        mark = _mark("stopped" if each.stopped else "OPEN", good=each.stopped, colours=colours)
        lines.append(f"  {each.name:<{width}}  {mark}  {'' if each.stopped else each.detail}".rstrip())
    lines += [f"  {error}"] if error else []
    return "\n".join([*lines, "", _summary(report, outcomes, error)])


def _fact_lines(fact: Fact, width: int, *, colours: bool) -> list[str]:
    word = "ok" if fact.ok else "missing" if fact.required else "absent"
    mark = _mark(f"{word:<7}", good=fact.ok or not fact.required, colours=colours)
    line = f"  {fact.name:<{width}}  {mark}  {fact.detail}".rstrip()
    note = "" if fact.required else " (nothing here needs it)"
    return [line] if fact.ok else [line + note, *([f"  {'':<{width}}  fix: {fact.fix}"] if fact.fix else [])]


def _mark(word: str, *, good: bool, colours: bool) -> str:
    return f"\x1b[{32 if good else 31}m{word}\x1b[0m" if colours else word


def _summary(report: TierReport, outcomes: tuple[Outcome, ...], error: str) -> str:
    if report.tier == "C":
        return (
            "Sessions are refused on this machine. Follow the fix lines above and run `ringfence doctor` again. Where\n"
            "something around the session holds it, declare that: `min_tier` and `boundary` in `[sandbox]`."
        )
    if report.tier not in ("A", "B"):
        return "Sessions are refused on this machine. Follow the fix lines above and run `ringfence doctor` again."
    if error:
        return "A sandbox could not be made although every trial passed: please report this with the lines above."
    stopped = sum(each.stopped for each in outcomes)
    if stopped < len(outcomes):
        return f"{len(outcomes) - stopped} of {len(outcomes)} attacks got through: do not rely on this sandbox here."
    holds = f"Everything holds: {stopped} of {len(outcomes)} attacks were stopped."
    if report.tier == "B":
        return f"{holds} Sessions are refused unless you allow this tier: `ringfence run --min-tier B -- AGENT`."
    return f"{holds} Start with `ringfence run -- AGENT`."
