"""`ringfence stats prompts`: how often people were asked, by which rules, and what they said."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence

import msgspec

from ringfence.cli import codes
from ringfence.cli.failure import Arguments
from ringfence.cli.moments import elapsed, since
from ringfence.cli.screen import Palette, wants_colour
from ringfence.insights.prompts import Moment, Prompts, RulePrompts, prompts
from ringfence.model.display import shortened, visible
from ringfence.session.sources import places
from ringfence.telemetry.reader import LedgerReader, Wanted


def main(words: Sequence[str]) -> int:
    """Run the command."""
    arguments = Arguments(prog="ringfence stats", description="Figures over the record.")
    commands = arguments.add_subparsers(dest="command", metavar="prompts", required=True)
    about = "Say how often people were asked, by which rules, and what they said."
    asked = commands.add_parser("prompts", help="how often people were asked", description=about)
    asked.add_argument("--session", metavar="SESSION", help="only this session (the beginning of its id)")
    asked.add_argument(
        "--since", metavar="WHEN", default="30d", help="from when on, as `8h`, `30d` or a date (default: 30d)"
    )
    asked.add_argument("--json", action="store_true", help="one JSON object")
    parsed = arguments.parse_args(words)
    reader = LedgerReader(places(os.environ).ledger)
    try:
        session = reader.find(parsed.session) if parsed.session else None
        wanted = Wanted(session=session, since_ns=0 if session else since(parsed.since, time.time_ns()))
        found = prompts(_moments(reader, wanted))
    finally:
        reader.close()
    if parsed.json:
        sys.stdout.write(msgspec.json.encode(_plain(found)).decode() + "\n")
    else:
        _print(found)
    return codes.OK


def _moments(reader: LedgerReader, wanted: Wanted) -> Iterator[Moment]:
    for found in reader.events(wanted):
        if found.body is not None:
            yield Moment(session=found.session, time_ns=found.time_ns, body=found.body)


def _plain(found: Prompts) -> dict[str, object]:
    rules = [{**msgspec.structs.asdict(rule), "approved_share": rule.approved_share} for rule in found.rules]
    return {"schema": 1, **msgspec.structs.asdict(found), "per_hour": found.per_hour, "rules": rules}


def _print(found: Prompts) -> None:
    paint = Palette(colour=wants_colour(sys.stdout))
    rate = "" if found.per_hour is None else f", {found.per_hour:.1f} an hour"
    span = elapsed(int(found.hours * 3.6e12))
    print(f"{_count(found.prompts, 'prompt')} in {_count(found.sessions, 'session')} of {span} together{rate}")
    print(f"  decisions  {found.decisions}, of which {_share(found.prompts, found.decisions)} stopped for a person")
    unanswered = found.prompts - found.answered - found.delegated
    left = f", {found.delegated} at the agent's own prompt" if found.delegated else ""
    print(f"  answers    {found.approved} yes, {found.answered - found.approved} no, {unanswered} by nobody{left}")
    if found.median_ms is not None:
        print(f"  time       {elapsed(found.median_ms * 1_000_000)} to an answer (median)")
    if found.rules:
        print(paint.dim(f"\n  {'prompts':>7}  {'yes':>5}  {'median':>8}  rule"))
        for rule in found.rules:
            print(_line(rule))
    if found.proposal:
        count = len(found.proposal)
        which = f"{'this rule' if count == 1 else f'these {count} rules'} would remove"
        print(f"\n{which} {_share(found.removed, found.prompts)} of the prompts; you always said yes:")
        for name in found.proposal:
            print(f"  {visible(name)}")
        print("look at what they asked (`ringfence log --verdict allow`) before you allow them in your policy")


def _line(rule: RulePrompts) -> str:
    share = "" if rule.approved_share is None else f"{100 * rule.approved_share:.0f} %"
    median = "" if rule.median_ms is None else elapsed(rule.median_ms * 1_000_000)
    where = shortened(f"{visible(rule.rule)} ({visible(rule.layer)}, {visible(rule.source)})", 90)
    return f"  {rule.prompts:>7}  {share:>5}  {median:>8}  {where}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "none"
