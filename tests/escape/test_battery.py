"""Every attack of the battery works on this machine without the sandbox, and fails inside it.

An attack that the machine itself makes impossible is skipped, with the reason. One that is stopped in an unexpected way
fails the test: a typing error in an attack must not count as protection.
"""

from __future__ import annotations

import secrets

import pytest
from tests.escape.battery.arena import Arena
from tests.escape.battery.attack import Attack
from tests.escape.battery.catalogue import ATTACKS
from tests.escape.battery.inside import in_tier_b, plainly, possible_tiers, ringfence
from tests.escape.battery.prove import Result, carry_out
from tests.escape.battery.stage import Person

_POSSIBLE: dict[tuple[str, str], Result] = {}
"""What became of each attack without a sandbox, for both tiers to be compared with."""


@pytest.mark.escape
@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_attack_works_plainly_and_fails_inside(attack: Attack, person: Person, arena: Arena | None) -> None:
    if attack.arena and arena is None:
        pytest.skip("this machine gives nobody a network namespace for the test's own internet")
    secret = secrets.token_hex(16)

    plain = _plain(attack, person, secret, arena)
    if plain.evidence is None and attack.may_lack:
        pytest.skip(f"{attack.id} is impossible here by itself: {attack.may_lack} (it ended with {plain.ran.ended})")
    inside = carry_out(attack, ringfence, person=person, secret=secret, arena=arena, timeout=attack.timeout)

    assert plain.evidence, f"{attack.id} proves nothing, it fails without a sandbox:\n{plain.told()}"
    if attack.open:
        assert inside.evidence, f"{attack.id} is stopped now: take `open` out of its row\n{inside.told()}"
        pytest.xfail(f"{attack.id} is open: {attack.open}")
    assert inside.evidence is None, f"{attack.id} gets out: {attack.title}\n{inside.told()}"
    assert inside.ran.ended in attack.ends, f"{attack.id} was stopped in another way than expected:\n{inside.told()}"


@pytest.mark.escape
@pytest.mark.slow
@pytest.mark.skipif(
    "B" not in possible_tiers(), reason="tier B needs a kernel with Landlock's sixth generation, from 6.12 on"
)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_attack_fails_in_tier_b(attack: Attack, person: Person, arena: Arena | None) -> None:
    if attack.arena and arena is None:
        pytest.skip("this machine gives nobody a network namespace for the test's own internet")
    secret = secrets.token_hex(16)

    plain = _plain(attack, person, secret, arena)
    if plain.evidence is None and attack.may_lack:
        pytest.skip(f"{attack.id} is impossible here by itself: {attack.may_lack} (it ended with {plain.ran.ended})")
    inside = carry_out(attack, in_tier_b, person=person, secret=secret, arena=arena, timeout=attack.timeout)

    assert plain.evidence, f"{attack.id} proves nothing, it fails without a sandbox:\n{plain.told()}"
    reason = attack.tier_b_open or attack.open
    if reason and inside.evidence:
        pytest.xfail(f"{attack.id} is open in tier B: {reason}")
    assert inside.evidence is None, f"{attack.id} gets out: {attack.title}\n{inside.told()}"
    assert inside.ran.ended in (*attack.ends, *attack.tier_b_ends), (
        f"{attack.id} was stopped in another way than expected:\n{inside.told()}"
    )


def _plain(attack: Attack, person: Person, secret: str, arena: Arena | None) -> Result:
    """The attack without a sandbox, carried out once."""
    key = attack.id, person.name
    if key not in _POSSIBLE:
        _POSSIBLE[key] = carry_out(
            attack, plainly(attack), person=person, secret=secret, arena=arena, timeout=attack.plain_timeout
        )
    return _POSSIBLE[key]
