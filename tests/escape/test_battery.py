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
from tests.escape.battery.inside import plainly, ringfence
from tests.escape.battery.prove import carry_out
from tests.escape.battery.stage import Person


@pytest.mark.escape
@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_attack_works_plainly_and_fails_inside(attack: Attack, person: Person, arena: Arena | None) -> None:
    if attack.arena and arena is None:
        pytest.skip("this machine gives nobody a network namespace for the test's own internet")
    secret = secrets.token_hex(16)

    plain = carry_out(attack, plainly(attack), person=person, secret=secret, arena=arena, timeout=attack.plain_timeout)
    if plain.evidence is None and attack.may_lack:
        pytest.skip(f"{attack.id} is impossible here by itself: {attack.may_lack} (it ended with {plain.ran.ended})")
    inside = carry_out(attack, ringfence, person=person, secret=secret, arena=arena, timeout=attack.timeout)

    assert plain.evidence, f"{attack.id} proves nothing, it fails without a sandbox:\n{plain.told()}"
    if attack.open:
        assert inside.evidence, f"{attack.id} is stopped now: take `open` out of its row\n{inside.told()}"
        pytest.xfail(f"{attack.id} is open: {attack.open}")
    assert inside.evidence is None, f"{attack.id} gets out: {attack.title}\n{inside.told()}"
    assert inside.ran.ended in attack.ends, f"{attack.id} was stopped in another way than expected:\n{inside.told()}"
