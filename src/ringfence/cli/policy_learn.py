"""`ringfence policy learn`: the narrowest rules that a recorded session would have needed, as a diff with evidence.

The diff goes to standard output and everything said about it to standard error, so that it can be piped to `patch`. It
is never applied here.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

import msgspec

from ringfence.cli import codes
from ringfence.cli.screen import Palette, wants_colour
from ringfence.model.display import shortened, visible
from ringfence.model.wording import action_text
from ringfence.policy.amendment import toml_of
from ringfence.policy.learn import Proposal
from ringfence.session.learning import Learned, learn_from
from ringfence.session.sources import places
from ringfence.telemetry.reader import LedgerReader

_WIDTH = 120


def learn(parsed: argparse.Namespace) -> int:
    """Print what a session teaches."""
    where = places(os.environ)
    reader = LedgerReader(where.ledger)
    try:
        session = reader.find(parsed.session) if parsed.session else reader.newest()
        learned = learn_from(where, reader, session, choice=parsed.policy)
    finally:
        reader.close()
    if parsed.json:
        sys.stdout.write(msgspec.json.encode(_plain(learned)).decode() + "\n")
        return codes.OK
    sys.stdout.write(learned.diff)
    sys.stdout.flush()
    for line in _account(learned, Palette(colour=wants_colour(sys.stderr))):
        print(line, file=sys.stderr)
    return codes.OK


def _plain(learned: Learned) -> dict[str, object]:
    return {
        "schema": 1,
        "session": learned.session,
        "file": learned.file,
        "diff": learned.diff,
        "proposals": [_proposal(one) for one in learned.lesson.proposals],
        "not_covered": [
            {"action": one.action, "why": one.why, "events": [each.event for each in one.evidence]}
            for one in learned.lesson.uncovered
        ],
        "already_allowed": learned.lesson.settled,
        "redacted": learned.redacted,
        "not_usable": [{"event": one.event, "why": one.why.value} for one in learned.skipped],
    }


def _proposal(proposal: Proposal) -> dict[str, object]:
    return {
        "toml": toml_of(proposal),
        "needs_decision": bool(proposal.decide),
        "decide": proposal.decide,
        "evidence": [
            {"event": one.event, "time_ns": one.time_ns, "action": one.action, "asked": one.asked, "how": one.how}
            for one in proposal.evidence
        ],
        "also_allows": proposal.also,
    }


def _account(learned: Learned, palette: Palette) -> Iterator[str]:
    lesson = learned.lesson
    ready = sum(not one.decide for one in lesson.proposals)
    waiting = len(lesson.proposals) - ready
    yield palette.bold(f"session {visible(learned.session)}: {_count(ready, 'addition')}, {waiting} to be decided")
    yield f"  passing already: {_count(lesson.settled, 'action')}"
    for proposal in lesson.proposals:
        yield from _about(proposal, palette)
    if lesson.uncovered:
        yield palette.bold("not covered")
    for one in lesson.uncovered:
        yield f"  {shortened(action_text(one.action), _WIDTH)}"
        yield f"    {visible(one.why)}"
    if learned.redacted:
        yield f"  {_count(learned.redacted, 'action')} left out: a secret in them was replaced on record"
    for why in dict.fromkeys(each.why for each in learned.skipped):
        yield f"  {sum(each.why is why for each in learned.skipped)} left out: {why.value}"
    if lesson.proposals:
        yield f"nothing was changed; read it, then apply it with `patch {visible(learned.file)}`"
    else:
        yield "there is nothing to add"


def _about(proposal: Proposal, palette: Palette) -> Iterator[str]:
    head, *_ = (line for line in toml_of(proposal).splitlines() if line.startswith(("hosts", "read", "write", "id")))
    state = palette.yellow("to be decided") if proposal.decide else palette.green("addition")
    yield f"{state}  {visible(head)}, for {_count(len(proposal.evidence), 'action')} on record"
    for why in proposal.decide:
        yield f"    decide: {visible(why)}"
    for action in proposal.also:
        yield f"    also allows: {shortened(action_text(action), _WIDTH)}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
