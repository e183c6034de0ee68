"""Runs the whole battery, several attacks at a time, and hands out a line for each attack and tier.

Each worker has an internet of its own, so that what one attack sends is never heard as another's. An attack that ends
unclearly is tried once more when nothing else runs: a busy machine is no finding.
"""

from __future__ import annotations

import os
import pwd
import queue
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from ringfence.verify.arena import Arena, Loopback
from ringfence.verify.attack import Attack
from ringfence.verify.outcomes import Outcome, Row, judge, lacking
from ringfence.verify.prove import Result, carry_out
from ringfence.verify.run import Wrap
from ringfence.verify.sandboxes import TIERS, plainly
from ringfence.verify.stage import Person
from ringfence.verify.warm import Warm

_MOST_WORKERS = 6
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
    workers = min(_MOST_WORKERS, 2 * (os.cpu_count() or 1), len(attacks))
    rows: dict[str, tuple[Row, ...]] = {}
    with Warm() as warm, arenas(workers) as free:

        def one(attack: Attack) -> tuple[Row, ...]:
            if unwanted and unwanted.is_set():
                return ()
            arena = free.get()
            try:
                return _tried(attack, tiers, person, arena, warm)
            finally:
                free.put(arena)

        with ThreadPoolExecutor(workers) as pool:
            for attack, found in zip(attacks, pool.map(one, attacks), strict=True):
                rows[attack.id] = found
                told(found)
        for attack in attacks:
            if any(row.outcome is Outcome.UNCLEAR for row in rows[attack.id]):
                rows[attack.id] = one(attack)
    return [row for attack in attacks for row in rows[attack.id]]


def whoever() -> Person:
    """The account that this runs as."""
    return Person(name=pwd.getpwuid(os.getuid()).pw_name, uid=os.getuid(), gid=os.getgid())


@contextmanager
def arenas(number: int) -> Iterator[queue.SimpleQueue[Arena | None]]:
    """Places to run an attack in, to be taken and given back; without an internet where none can be made."""
    free: queue.SimpleQueue[Arena | None] = queue.SimpleQueue()
    with ExitStack() as held:
        for _ in range(number):
            try:
                free.put(held.enter_context(Arena()))
            except OSError:
                free.put(None)
        yield free


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
