"""`ringfence log`: what happened in a session; and, as subcommands, whether the record holds."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence

import msgspec

from ringfence.cli import codes
from ringfence.cli.failure import Arguments
from ringfence.cli.moments import local, local_time, since
from ringfence.cli.screen import Palette, wants_colour
from ringfence.model.decision import Verdict
from ringfence.model.display import visible
from ringfence.model.event import ApprovalTransition, Body
from ringfence.model.situations import UsageInvalid
from ringfence.session.sources import places
from ringfence.telemetry.reader import LedgerReader, Recorded, Wanted, line
from ringfence.telemetry.timeline import Tone, row

_FOLLOW_SECONDS = 0.2
_PARTS = ("verify", "prove", "export")


def main(words: Sequence[str]) -> int:
    """Run the command."""
    path = places(os.environ).ledger
    if words and words[0] in _PARTS:
        from ringfence.cli import log_integrity

        return log_integrity.main(words[0], words[1:], path)
    parsed = _arguments().parse_args(words)
    if parsed.follow and not os.path.exists(path):
        _wait_for(path)
    reader = LedgerReader(path)
    try:
        return _show(reader, parsed)
    finally:
        reader.close()


def _arguments() -> Arguments:
    arguments = Arguments(
        prog="ringfence log",
        description="Show what happened in a session (default: the newest).",
        epilog="See also: `ringfence log verify`, `ringfence log prove EVENT`, `ringfence log export`.",
    )
    add = arguments.add_argument
    add("session", nargs="?", help="the session, or the beginning of its id")
    add("--follow", "-f", action="store_true", help="go on as events come in, until the session ends")
    add("--json", action="store_true", help="one JSON object a line")
    add("--event", metavar="NAME", help="only these events, such as `decision` or `connection.closed`")
    add(
        "--verdict",
        choices=[verdict.value for verdict in Verdict],
        help="only decisions with this verdict, or with `ask` the questions",
    )
    add("--host", help="only what concerns this host")
    add("--since", metavar="WHEN", help="only from then on: `1h`, `2026-01-31T12:00`")
    return arguments


def _show(reader: LedgerReader, parsed: argparse.Namespace) -> int:
    wanted = Wanted(
        session=reader.find(parsed.session) if parsed.session else reader.newest(),
        event=_event(parsed.event),
        verdict=Verdict(parsed.verdict) if parsed.verdict else None,
        host=parsed.host.lower() if parsed.host else None,
        since_ns=since(parsed.since, time.time_ns()) if parsed.since else 0,
    )
    shown = _Shown(as_json=parsed.json)
    if not parsed.json:
        shown.heading(str(wanted.session))
    for found in reader.events(wanted):
        shown.show(found)
    if parsed.follow:
        _follow(reader, wanted, shown)
    elif not shown.number and not parsed.json:
        print("no event fits", file=sys.stderr)
    return codes.OK


def _follow(reader: LedgerReader, wanted: Wanted, shown: _Shown) -> None:
    """Look again and again: readers of the database are not told when it grows."""
    after = shown.last
    ended = shown.ended
    while not ended:
        time.sleep(_FOLLOW_SECONDS)
        for found in reader.events(Wanted(session=wanted.session, after=after)):
            after = found.sequence
            ended = ended or found.event == "session.ended"
        for found in reader.events(msgspec.structs.replace(wanted, after=shown.last)):
            shown.show(found)


def _wait_for(path: str) -> None:
    print("waiting for the first session", file=sys.stderr)
    while not os.path.exists(path):
        time.sleep(_FOLLOW_SECONDS)


def _event(name: str | None) -> str | None:
    known = {kind.__struct_config__.tag for kind in Body.__args__}
    if name is not None and name not in known:
        from difflib import get_close_matches

        close = get_close_matches(name, known, 1)
        hint = f"did you mean `{close[0]}`?" if close else f"there are: {', '.join(sorted(known))}"
        raise UsageInvalid(f"no event is called `{name}`", remedy=hint)
    return name


class _Shown:
    """What was shown so far, and how."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._paint = Palette(colour=wants_colour(sys.stdout))
        self._tones: dict[Tone, Callable[[str], str]] = {
            Tone.QUIET: self._paint.dim,
            Tone.GOOD: self._paint.green,
            Tone.STOPPED: self._paint.red,
            Tone.ATTENTION: self._paint.yellow,
        }
        self.number = 0
        self.last = -1
        self.ended = False

    def heading(self, session: str) -> None:
        """Say whose timeline it is."""
        print(self._paint.dim(f"session {visible(session)}"))

    def show(self, found: Recorded) -> None:
        """One event."""
        self.number += 1
        self.last = found.sequence
        self.ended = found.event == "session.ended"
        if self._json:
            sys.stdout.buffer.write(line(found) + b"\n")
            sys.stdout.flush()
            return
        if isinstance(found.body, ApprovalTransition) and found.body.after == "consumed":
            # The line of the grant's use says the same, and whose answer it was has been said before.
            return
        if self.number == 1:
            print(self._paint.dim(local(found.time_ns)[:10]))
        print(self._line(found), flush=True)

    def _line(self, found: Recorded) -> str:
        told = row(found)
        paint = self._tones.get(told.tone, str)
        why = f"  {self._paint.dim('(' + told.why + ')')}" if told.why else ""
        return (
            f"{self._paint.dim(local_time(found.time_ns))}  {paint(f'{told.symbol} {told.label:<7}')}  {told.what}{why}"
        )
