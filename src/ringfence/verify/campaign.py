"""Runs the whole battery, several attacks at a time, and hands out a line for each attack and tier.

Attacks share nothing: each has its own stage, and whoever needs an internet has it for himself, so that what one attack
sends is never heard as another's. Where a busy machine may have had a hand in the outcome, the attack is tried once
more when nothing else runs; what got out is never tried again.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Self

from ringfence.verify.arena import Arena, Loopback
from ringfence.verify.attack import Attack
from ringfence.verify.outcomes import Outcome, Row, judge, lacking
from ringfence.verify.prove import Result, carry_out
from ringfence.verify.run import Wrap
from ringfence.verify.sandboxes import TIERS, plainly
from ringfence.verify.stage import Person
from ringfence.verify.warm import Warm

_WORKERS_PER_PROCESSOR, _MOST_WORKERS = 3, 12
"""An attempt is mostly computation: more at once end no sooner, and may run out of time for no fault of theirs."""
_OUT_OF_TIME = ("timeout", "error TimeoutError")
_ALONE = threading.Lock()
"""Held by whoever listens on the machine's own loopback."""
_TROUBLE = (OSError, subprocess.SubprocessError)
_NO_ARENA = "this machine gives nobody a network namespace for the battery's own internet"


def campaign(
    attacks: Sequence[Attack],
    tiers: Sequence[str],
    told: Callable[[tuple[Row, ...]], None] = lambda rows: None,
    unwanted: threading.Event | None = None,
) -> list[Row]:
    """Try every attack in every tier; `told` hears the lines of each attack as soon as they are there."""
    person = whoever()
    workers = min(_MOST_WORKERS, _WORKERS_PER_PROCESSOR * (os.cpu_count() or 1), len(attacks))
    rows: dict[str, tuple[Row, ...]] = {}
    with Warm() as warm, Arenas() as places:

        def one(attack: Attack) -> tuple[Row, ...]:
            if unwanted and unwanted.is_set():
                return ()
            arena = places.take() if attack.arena else None
            try:
                return _tried(attack, tiers, person, arena, warm)
            finally:
                if arena:
                    places.give(arena)

        with ThreadPoolExecutor(workers) as pool:
            for attack, found in zip(attacks, pool.map(one, attacks), strict=True):
                rows[attack.id] = found
                told(found)
        for attack in attacks:
            if any(_is_doubtful(attack, row) for row in rows[attack.id]):
                rows[attack.id] = one(attack)
    return [row for attack in attacks for row in rows[attack.id]]


def _is_doubtful(attack: Attack, row: Row) -> bool:
    """Whether a busy machine may be why the attack came out like this."""
    if row.outcome is Outcome.IMPOSSIBLE:
        return not attack.may_lack or row.ended in _OUT_OF_TIME
    return row.outcome is Outcome.UNCLEAR


def whoever() -> Person:
    """The account that this runs as."""
    return Person(name=pwd.getpwuid(os.getuid()).pw_name, uid=os.getuid(), gid=os.getgid())


class Arenas:
    """Internets to run an attack in, one for each that runs at the same time, made when there is none free."""

    def __init__(self, make: Callable[[], Arena] = Arena) -> None:
        self._make = make
        self._held = ExitStack()
        self._lock = threading.Lock()
        self._free: list[Arena] = []
        self._refused = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._held.close()

    def take(self) -> Arena | None:
        """One that nobody else has; None where none can be made."""
        with self._lock:
            if self._free:
                return self._free.pop()
            if self._refused:
                return None
        try:
            arena = self._make()
        except OSError:
            self._refused = True
            return None
        with self._lock:
            self._held.enter_context(arena)
        return arena

    def give(self, arena: Arena) -> None:
        """Back, for the next one."""
        with self._lock:
            self._free.append(arena)


def _tried(attack: Attack, tiers: Sequence[str], person: Person, arena: Arena | None, warm: Warm) -> tuple[Row, ...]:
    wanted = [tier for tier in tiers if tier in attack.tiers]
    if not attack.arena or arena:
        return _in_tiers(attack, wanted, person, arena, warm)
    with _ALONE, Loopback() as loopback:
        if attack.works[0].startswith("heard") and not loopback.sockets.keys() & set(attack.works[1:]):
            return tuple(lacking(attack, tier, _NO_ARENA) for tier in wanted)
        return _in_tiers(attack, wanted, person, loopback, warm)


def _in_tiers(
    attack: Attack, tiers: Sequence[str], person: Person, arena: Arena | Loopback | None, warm: Warm
) -> tuple[Row, ...]:
    def tried(wrap: Wrap, timeout: float) -> Result:
        return carry_out(attack, wrap, person=person, arena=arena, timeout=timeout, warm=warm)

    try:
        plain = tried(plainly(attack), attack.plain_timeout)
    except _TROUBLE as trouble:
        return tuple(lacking(attack, tier, f"it cannot be set up here: {trouble}") for tier in tiers)
    rows = []
    for tier in tiers:
        try:
            rows.append(judge(attack, tier, plain, tried(TIERS[tier], attack.timeout) if plain.evidence else None))
        except _TROUBLE as trouble:
            rows.append(lacking(attack, tier, f"the attempt itself broke: {trouble}", Outcome.UNCLEAR))
    return tuple(rows)
