"""Nothing of the battery gets past the gateway, in either tier; and without it, every row works.

A row that the machine itself makes impossible is left out, with its reason. One that is stopped in an unexpected way
fails the test: a typing error in an attempt must not count as protection.
"""

from __future__ import annotations

from collections import Counter

import pytest
from tests.egress.battery.attempts import ATTEMPTS
from tests.egress.battery.carrying import Outcome, carry_out, without_gateway
from tests.egress.battery.rows import Row, rows
from tests.escape.people import people

from ringfence.verify.sandboxes import TIERS, possible_tiers

PERSON = people()[0]
"""Whoever runs this: for root, more is possible without the gateway."""


def test_every_row_has_a_name_of_its_own_and_a_way_that_there_is() -> None:
    names = Counter(row.id for row in rows())

    assert [name for name, count in names.items() if count > 1] == []
    assert [row.id for row in rows() if row.words[0] not in ATTEMPTS] == []
    assert {row.words[0] for row in rows()} == set(ATTEMPTS)
    assert [row.id for row in rows() if row.shows not in ("elsewhere", "anywhere", "succeeds")] == []


@pytest.mark.slow
def test_every_row_works_without_the_gateway() -> None:
    told = without_gateway(PERSON)

    failed = {
        row.id: told.outcomes[row.id].ended for row in rows() if not told.outcomes[row.id].evidence and not row.may_lack
    }
    assert failed == {}, told.ran.errors[-2000:]


@pytest.mark.slow
@pytest.mark.escape
@pytest.mark.parametrize("tier", ["A", "B"])
def test_no_row_gets_out(tier: str) -> None:
    if tier not in possible_tiers():
        pytest.skip(f"this machine cannot give tier {tier}")
    plain = without_gateway(PERSON).outcomes
    possible = tuple(row for row in rows() if plain[row.id].evidence)
    told = carry_out(TIERS[tier], PERSON, possible)

    assert told.strangers == (), [(row.id, told.outcomes[row.id]) for row in possible if told.outcomes[row.id].evidence]
    assert {row.id: said for row in possible if (said := _fault(row, told.outcomes[row.id]))} == {}, told.ran.errors


def _fault(row: Row, outcome: Outcome) -> str:
    if outcome.evidence:
        return f"it got out: {outcome.evidence} ({outcome.ended})"
    return "" if outcome.ended in row.ends else f"it ended with `{outcome.ended}`, which was not foreseen"
