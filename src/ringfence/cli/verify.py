"""`ringfence verify`: the escape battery on this machine, per tier, with the result signed into the record."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from ringfence.cli import codes
from ringfence.cli.failure import Arguments
from ringfence.cli.screen import Palette, wants_colour
from ringfence.model.situations import SandboxUnavailable, UsageInvalid
from ringfence.session import sources
from ringfence.verify import battery
from ringfence.verify.attack import Attack, Kind
from ringfence.verify.campaign import campaign
from ringfence.verify.outcomes import Outcome, Row, holds
from ringfence.verify.recording import Occasion, Recorded, record
from ringfence.verify.sandboxes import TIERS, possible_tiers

_ORDER = (Outcome.STOPPED, Outcome.KNOWN, Outcome.IMPOSSIBLE, Outcome.UNCLEAR, Outcome.ESCAPED)
_HEADS = {
    Outcome.ESCAPED: "Got out: do not rely on this tier here, and please report it",
    Outcome.UNCLEAR: "Ended in a way that was not foreseen: proves nothing",
    Outcome.KNOWN: "Work inside, as the threat model says",
    Outcome.IMPOSSIBLE: "Not possible on this machine even without a sandbox, so nothing was proved",
}


def main(words: Sequence[str]) -> int:
    """Run the command."""
    options = _arguments().parse_args(list(words))
    chosen = _chosen(options.only)
    if options.list:
        return _list(chosen, as_json=options.json)
    possible = possible_tiers()
    tiers = tuple(options.tier or possible)
    missing = [tier for tier in tiers if tier not in possible]
    if missing:
        raise SandboxUnavailable(
            f"tier {missing[0]} cannot be had on this machine", remedy="see why with `ringfence doctor`"
        )
    recorded = _run(chosen, tiers, ("ringfence", "verify", *words))
    if options.json:
        print(_as_json(recorded, tiers))
    else:
        _tell(recorded, tiers, every=options.verbose, palette=Palette(colour=wants_colour(sys.stdout)))
    return codes.OK if holds(recorded.rows, tiers) else codes.FAILED


def _arguments() -> Arguments:
    arguments = Arguments(
        prog="ringfence verify",
        description="Try every attack of the escape battery on this machine, first without a sandbox and then inside, "
        "and sign the result into the record.",
    )
    arguments.add_argument("only", nargs="*", metavar="ATTACK", help="only these: ids such as `A4`, or classes")
    arguments.add_argument(
        "--tier", action="append", choices=tuple(TIERS), help="only this tier (default: every one of this machine)"
    )
    arguments.add_argument("--list", action="store_true", help="show the attacks and run nothing")
    arguments.add_argument("--json", action="store_true", help="the result as one JSON object")
    arguments.add_argument("-v", "--verbose", action="store_true", help="a line for every attack")
    return arguments


def _chosen(words: Sequence[str]) -> tuple[Attack, ...]:
    every = battery.attacks()
    for word in words:
        if not any(_means(word, attack) for attack in every):
            classes = ", ".join(f"`{kind}`" for kind in Kind)
            raise UsageInvalid(
                f"no attack or class is called `{word}`",
                remedy=f"`ringfence verify --list` has them; classes: {classes}",
            )
    return tuple(attack for attack in every if not words or any(_means(word, attack) for word in words))


def _means(word: str, attack: Attack) -> bool:
    return word in (attack.id, attack.kind.value)


def _list(chosen: Sequence[Attack], *, as_json: bool) -> int:
    if as_json:
        plain = {"schema": 1, "battery": battery.digest(), "attacks": [_plain_attack(attack) for attack in chosen]}
        print(msgspec.json.encode(plain).decode())
        return codes.OK
    for attack in chosen:
        print(f"{attack.id:<6} {attack.tiers:<3} {attack.kind.value:<10} {attack.title}")
    return codes.OK


def _plain_attack(attack: Attack) -> dict[str, object]:
    plain: dict[str, object] = msgspec.to_builtins(attack)
    return {"id": plain.pop("id"), "class": plain.pop("kind"), **plain}


def _run(chosen: Sequence[Attack], tiers: tuple[str, ...], argv: tuple[str, ...]) -> Recorded:
    user, places = sources.user(), sources.places(os.environ)
    occasion = Occasion(
        ledger=places.ledger,
        user=user.name,
        host=user.host,
        argv=argv,
        tiers=tiers,
        whole=len(chosen) == len(battery.attacks()),
    )
    progress = _Progress(len(chosen))
    try:
        return asyncio.run(record(occasion, lambda unwanted: campaign(chosen, tiers, progress.on, unwanted)))
    finally:
        progress.end()


def _as_json(recorded: Recorded, tiers: Sequence[str]) -> str:
    rows = recorded.rows
    counts = {tier: {outcome.value: _count(rows, tier, outcome) for outcome in _ORDER} for tier in tiers}
    return msgspec.json.encode(
        {
            "schema": 1,
            "ok": holds(rows, tiers),
            "battery": battery.digest(),
            "tiers": tiers,
            "counts": counts,
            "session": recorded.session,
            "entries": dict(recorded.entries),
            "attacks": [_plain_row(row) for row in rows],
        }
    ).decode()


def _plain_row(row: Row) -> dict[str, object]:
    plain: dict[str, object] = msgspec.to_builtins(row)
    return {"id": plain.pop("id"), "class": plain.pop("kind"), **plain}


def _tell(recorded: Recorded, tiers: Sequence[str], *, every: bool, palette: Palette) -> None:
    rows = recorded.rows
    head = f"{'':<30}" + "".join(f"{outcome.value:>12}" for outcome in _ORDER)
    for tier in tiers:
        print(palette.bold(f"tier {tier}") + head[len(f"tier {tier}") :])
        for kind in Kind:
            found = [row for row in rows if row.tier == tier and row.kind == kind.value]
            if found:
                print(f"  {kind.label:<28}" + _numbers([row.outcome for row in found], palette))
        print(f"  {'together':<28}" + _numbers([row.outcome for row in rows if row.tier == tier], palette))
    for outcome in (*((Outcome.STOPPED,) if every else ()), *_HEADS):
        _rows(outcome, [row for row in rows if row.outcome is outcome])
    print(f"\n{_conclusion(rows, tiers, palette)}")
    for tier, entry in recorded.entries:
        print(f"  tier {tier}: entry {entry} of the record; `ringfence log prove {entry}` shows it elsewhere")
    print("  `ringfence log verify` checks the record")


def _numbers(outcomes: Sequence[Outcome], palette: Palette) -> str:
    found = Counter(outcomes)
    cells = []
    for outcome in _ORDER:
        cell = f"{found[outcome] or '-':>12}"
        cells.append(palette.red(cell) if found[outcome] and not outcome.holds else cell)
    return "".join(cells)


def _rows(outcome: Outcome, rows: Sequence[Row]) -> None:
    """The lines of one outcome; what is the same in both tiers is said once."""
    if not rows:
        return
    print(f"\n{_HEADS.get(outcome, 'Stopped')}")
    same: dict[tuple[str, str, str], str] = {}
    for row in rows:
        line = row.id, row.title, row.detail or f"ended with {row.ended}"
        same[line] = same.get(line, "") + row.tier
    for (name, title, why), tiers in same.items():
        print(f"  {name:<6}{tiers:<3} {title}: {why}")


def _conclusion(rows: Sequence[Row], tiers: Sequence[str], palette: Palette) -> str:
    bad = sum(not row.outcome.holds for row in rows)
    if bad:
        return palette.red(f"NOT verified: {bad} of {len(rows)} attempts got out or were unclear.")
    if not holds(rows, tiers):
        return palette.red("NOT verified: nothing of this could be tried here.")
    stopped = sum(row.outcome is Outcome.STOPPED for row in rows)
    return palette.green(f"verified: {stopped} attacks that work on this machine were stopped.")


def _count(rows: Sequence[Row], tier: str, outcome: Outcome) -> int:
    return sum(row.tier == tier and row.outcome is outcome for row in rows)


class _Progress:
    """One line on a terminal that says how far it is, gone when it is over."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._write: Callable[[str], object] | None = sys.stderr.write if wants_colour(sys.stderr) else None

    def on(self, rows: tuple[Row, ...]) -> None:
        """The next attack is over."""
        self._done += 1
        if self._write:
            what = f"{rows[0].id} {rows[0].title}" if rows else ""
            self._write(f"\r\x1b[K{self._done}/{self._total} {what}"[:100])
            sys.stderr.flush()

    def end(self) -> None:
        """Clear the line."""
        if self._write:
            self._write("\r\x1b[K")
            sys.stderr.flush()
