"""Every attack of the battery works on this machine without the sandbox, and fails inside it.

An attack that the machine itself makes impossible is skipped, with the reason. One that is stopped in an unexpected way
fails the test: a typing error in an attack must not count as protection.
"""

from __future__ import annotations

import pytest

from ringfence.verify.arena import Arena
from ringfence.verify.attack import Attack
from ringfence.verify.battery import attacks
from ringfence.verify.outcomes import Outcome, judge
from ringfence.verify.prove import Result, carry_out
from ringfence.verify.sandboxes import TIERS, plainly, possible_tiers
from ringfence.verify.stage import Person
from ringfence.verify.warm import Warm

pytestmark = [pytest.mark.escape, pytest.mark.slow]

_POSSIBLE: dict[tuple[str, str], Result] = {}
"""What became of each attack without a sandbox, for both tiers to be compared with."""
_GIVES_TIER_B = "B" in possible_tiers()
_TRIES = [(attack, tier) for attack in attacks() for tier in attack.tiers]
"""The tiers of an attack come one after the other, so that one process tries both, and is without a sandbox once."""


@pytest.mark.parametrize(("attack", "tier"), _TRIES, ids=[f"{attack.id}-{tier}" for attack, tier in _TRIES])
def test_attack_works_plainly_and_fails_inside(
    attack: Attack, tier: str, person: Person, arena: Arena | None, warm: Warm
) -> None:
    if tier == "B" and not _GIVES_TIER_B:
        pytest.skip("tier B needs a kernel with Landlock's third generation, from 6.2 on")
    if attack.arena and arena is None:
        pytest.skip("this machine gives nobody a network namespace for the battery's own internet")

    plain = _plain(attack, person, arena)
    if plain.evidence is None and attack.may_lack:
        pytest.skip(f"{attack.id} is impossible here by itself: {attack.may_lack} (it ended with {plain.ran.ended})")
    inside = carry_out(attack, TIERS[tier], person=person, arena=arena, timeout=attack.timeout, warm=warm)
    row = judge(attack, tier, plain, inside)

    assert plain.evidence, f"{attack.id} proves nothing, it fails without a sandbox:\n{plain.told()}"
    if row.outcome is Outcome.KNOWN:
        pytest.xfail(f"{attack.id} is open in tier {tier}: {row.detail}")
    assert inside.evidence or not attack.open, f"{attack.id} is stopped now: take `open` out of its row"
    assert row.outcome is Outcome.STOPPED, f"{attack.id} in tier {tier}, {row.detail}: {attack.title}\n{inside.told()}"


def _plain(attack: Attack, person: Person, arena: Arena | None) -> Result:
    """The attack without a sandbox, carried out once."""
    key = attack.id, person.name
    if key not in _POSSIBLE:
        _POSSIBLE[key] = carry_out(attack, plainly(attack), person=person, arena=arena, timeout=attack.plain_timeout)
    return _POSSIBLE[key]
