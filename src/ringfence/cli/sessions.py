"""`ringfence sessions`: recorded sessions, newest first."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import msgspec

from ringfence.cli import codes
from ringfence.cli.failure import Arguments
from ringfence.cli.moments import elapsed, local
from ringfence.cli.screen import Palette, wants_colour
from ringfence.model.display import shortened, visible, visible_argv
from ringfence.session.sources import places
from ringfence.telemetry.reader import LedgerReader, SessionSummary


def main(words: Sequence[str]) -> int:
    """Run the command."""
    arguments = Arguments(prog="ringfence sessions", description="List recorded sessions, newest first.")
    arguments.add_argument("--limit", type=int, default=20, metavar="N", help="how many (default: 20; 0: all)")
    arguments.add_argument("--json", action="store_true", help="one JSON object a line")
    parsed = arguments.parse_args(words)
    reader = LedgerReader(places(os.environ).ledger)
    try:
        sessions = reader.sessions(min(parsed.limit, 2**31) or None)
    finally:
        reader.close()
    if parsed.json:
        for session in sessions:
            sys.stdout.write(msgspec.json.encode(_plain(session)).decode() + "\n")
    elif sessions:
        _table(sessions)
    else:
        print("no session is recorded yet; start one with `ringfence run -- AGENT`", file=sys.stderr)
    return codes.OK


def _plain(session: SessionSummary) -> dict[str, object]:
    return {"schema": 1, **msgspec.structs.asdict(session)}


def _table(sessions: Sequence[SessionSummary]) -> None:
    paint = Palette(colour=wants_colour(sys.stdout))
    width = max(len(session.session) for session in sessions)
    print(paint.dim(f"{'session':<{width}}  {'started':<19}  {'took':>8}  {'exit':<15}  {'decisions':<22}  what"))
    for each in sessions:
        took = elapsed(each.ended_ns - each.started_ns) if each.ended_ns is not None else ""
        ending = str(each.exit_code) if each.exit_code is not None else each.outcome
        denied = each.verdicts.get("deny", 0)
        decisions = f"{each.verdicts.get('allow', 0)} allowed, {denied} denied"
        coloured = paint.red(f"{decisions:<22}") if denied else f"{decisions:<22}"
        what = shortened(f"{visible_argv(each.argv)} in {visible(each.workspace)}", 100)
        print(
            f"{paint.bold(f'{visible(each.session):<{width}}')}  {local(each.started_ns):<19}  {took:>8}"
            f"  {visible(ending):<15}  {coloured}  {what}"
        )
