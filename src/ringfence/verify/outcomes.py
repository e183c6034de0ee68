"""What becomes of an attack in a tier, and what it counts for. Pure: it is handed what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from ringfence.verify.attack import Attack, Words
from ringfence.verify.prove import Result


class Outcome(StrEnum):
    """How an attack came out."""

    STOPPED = "stopped"
    """It works on this machine without the sandbox, and inside it failed in a way that was foreseen."""
    KNOWN = "known"
    """It works inside, and the row and the threat model say so."""
    ESCAPED = "escaped"
    """It works inside, and nothing says so: do not rely on this sandbox here."""
    UNCLEAR = "unclear"
    """It did not work, and ended in a way that was not foreseen: a broken attack must not count as protection."""
    IMPOSSIBLE = "impossible"
    """It does not work on this machine without the sandbox either: it says nothing about the sandbox."""

    @property
    def holds(self) -> bool:
        """Whether the promise of the sandbox stands after it."""
        return self not in (Outcome.ESCAPED, Outcome.UNCLEAR)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the result."""

    id: str
    kind: str
    title: str
    tier: str
    outcome: Outcome
    ended: str
    """The last word of the attempt: inside, or without the sandbox where it is impossible."""
    expected: Words
    """How it might have ended."""
    detail: str = ""
    """What was seen, or the reason."""


def judge(attack: Attack, tier: str, plain: Result, inside: Result | None) -> Row:
    """The line for one attack in one tier; `inside` is None where it never was worth trying."""
    outcome, detail = _outcome(attack, tier, plain, inside)
    return Row(
        id=attack.id,
        kind=attack.kind.value,
        title=attack.title,
        tier=tier,
        outcome=outcome,
        ended=(inside or plain).ran.ended,
        expected=attack.expected(tier),
        detail=detail,
    )


def lacking(attack: Attack, tier: str, why: str, outcome: Outcome = Outcome.IMPOSSIBLE) -> Row:
    """The line for an attack that this machine has nothing to try it with, or that was not carried to its end."""
    return Row(
        id=attack.id,
        kind=attack.kind.value,
        title=attack.title,
        tier=tier,
        outcome=outcome,
        ended="",
        expected=attack.expected(tier),
        detail=why,
    )


def _outcome(attack: Attack, tier: str, plain: Result, inside: Result | None) -> tuple[Outcome, str]:
    if inside is None or plain.evidence is None:
        return Outcome.IMPOSSIBLE, attack.may_lack or f"it fails without a sandbox, too ({plain.ran.ended})"
    if inside.evidence:
        known = attack.known(tier)
        return (Outcome.KNOWN, known) if known else (Outcome.ESCAPED, inside.evidence)
    if inside.ran.ended in attack.expected(tier):
        return Outcome.STOPPED, ""
    return Outcome.UNCLEAR, f"it ended with `{inside.ran.ended}`, which was not foreseen"


def holds(rows: Sequence[Row], tiers: Sequence[str]) -> bool:
    """Whether these tiers stood. One in which nothing could be tried has not shown that it does."""
    found = [row for row in rows if row.tier in tiers]
    proved = {row.tier for row in found if row.outcome is Outcome.STOPPED}
    return proved == set(tiers) and all(row.outcome.holds for row in found)
