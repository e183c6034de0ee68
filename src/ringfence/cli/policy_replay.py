"""`ringfence policy replay`: the actions on record, decided again under another policy, or under the one in force."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from ringfence.cli import codes
from ringfence.cli.moments import since
from ringfence.cli.screen import Palette, wants_colour
from ringfence.model.decision import Verdict
from ringfence.model.display import shortened, visible
from ringfence.model.wording import action_text
from ringfence.policy.replay import Group, grouped
from ringfence.session.loaded import load_here
from ringfence.session.recorded import Fidelity, recorded_actions
from ringfence.session.replaying import Changed, Replayed, replay
from ringfence.session.sources import working_folder
from ringfence.telemetry.reader import LedgerReader, Wanted

_EXAMPLES = 3
_WIDTH = 120
_NEWLY = {Verdict.ALLOW: "newly allowed", Verdict.ASK: "newly asked", Verdict.DENY: "newly denied"}


def show_replay(parsed: argparse.Namespace) -> int:
    """Print what would change. That something would is no failure."""
    # SECURITY: read first, so that a policy with faults stops with its places before anything is compared.
    here = load_here(os.environ, cwd=working_folder(), choice=parsed.file)
    reader = LedgerReader(here.places.ledger)
    try:
        wanted = Wanted(
            session=reader.find(parsed.session) if parsed.session else None,
            since_ns=since(parsed.since, time.time_ns()) if parsed.since else 0,
        )
        replayed = replay(tuple(recorded_actions(reader, wanted)), here.places, parsed.file)
    finally:
        reader.close()
    only = Verdict(parsed.verdict) if parsed.verdict else None
    shown = [one for one in replayed.changed if only in (None, one.change.decision.verdict)]
    if parsed.json:
        _as_json(replayed, shown)
    else:
        _as_text(replayed, shown, parsed.file, only)
    return codes.OK


def _as_json(replayed: Replayed, shown: Sequence[Changed]) -> None:
    for one in shown:
        because = one.change.because
        row: dict[str, object] = {
            "schema": 1,
            "kind": "change",
            "session": one.recorded.session,
            "event": one.recorded.event,
            "time_ns": one.recorded.time_ns,
            "before": one.change.before,
            "after": one.change.decision.verdict,
            "final_then": one.recorded.final,
            "action": one.recorded.action,
            "redacted": one.recorded.fidelity is Fidelity.REDACTED,
            "because": because,
            "reasons": one.change.decision.reasons,
        }
        sys.stdout.write(msgspec.json.encode(row).decode() + "\n")
    newly = Counter(one.change.decision.verdict.value for one in replayed.changed)
    summary: dict[str, object] = {
        "schema": 1,
        "kind": "summary",
        "actions": replayed.judged,
        "sessions": replayed.sessions,
        "changed": len(replayed.changed),
        **{f"newly_{verdict.value}": newly[verdict.value] for verdict in Verdict},
        "redacted": replayed.redacted,
        "not_judged": dict(replayed.skipped),
    }
    sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")


def _as_text(replayed: Replayed, shown: Sequence[Changed], choice: str | None, only: Verdict | None) -> None:
    palette = Palette(colour=wants_colour(sys.stdout))
    under = f"`{visible(choice)}`" if choice else "the policy in force"
    total = len(replayed.changed)
    verb = "action" if replayed.judged == 1 else "actions"
    print(palette.bold(f"{total:,} of {replayed.judged:,} {verb} would change") + f" under {under}")
    newly = Counter(one.change.decision.verdict for one in replayed.changed)
    if total:
        print("  " + ", ".join(f"{newly[verdict]:,} {_NEWLY[verdict]}" for verdict in Verdict if newly[verdict]))
    for line in _remarks(replayed):
        print(f"  {line}")
    if only is not None and len(shown) != total:
        print(f"  shown: the {len(shown):,} that are {_NEWLY[only]}")
    for group in grouped(one.change for one in shown):
        print("\n".join(_group(group, palette)))


def _remarks(replayed: Replayed) -> Iterator[str]:
    yield f"from {replayed.sessions:,} recorded session{'' if replayed.sessions == 1 else 's'}"
    if replayed.redacted:
        yield f"recorded with secrets replaced, and judged as they are on record: {replayed.redacted:,}"
    for why, number in replayed.skipped:
        yield f"not judged: {number:,}, because {visible(why)}"


def _group(group: Group, palette: Palette) -> Iterator[str]:
    colour = {Verdict.ALLOW: palette.green, Verdict.ASK: palette.yellow, Verdict.DENY: palette.red}[group.after]
    yield ""
    head = colour(f"{group.before.value} -> {group.after.value}")
    yield f"{head}  {group.times:,} {'time' if group.times == 1 else 'times'}  {_rule(group, palette)}"
    for action, number in group.actions[:_EXAMPLES]:
        times = f" ({number:,} times)" if number > 1 else ""
        yield f"    {shortened(action_text(action), _WIDTH)}{times}"
    more = len(group.actions) - _EXAMPLES
    if more > 0:
        yield f"    and {more:,} more"


def _rule(group: Group, palette: Palette) -> str:
    if group.rule is None:
        return "no rule is known"
    said = "no longer stopped by" if group.after is Verdict.ALLOW else "by"
    place = palette.dim(f"({visible(group.rule.layer)}, {visible(group.rule.source)})")
    return f"{said} rule `{visible(group.rule.rule)}` {place}: {visible(group.rule.text)}"
