"""The accounts that attacks are made from, and the small internet that they try to reach."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.escape.people import people

from ringfence.verify.arena import Arena
from ringfence.verify.stage import Person
from ringfence.verify.warm import Warm


@pytest.fixture(scope="session", params=people(), ids=lambda person: person.name)
def person(request: pytest.FixtureRequest) -> Person:
    """Whose account the sandbox is started from."""
    chosen: Person = request.param
    return chosen


@pytest.fixture(scope="session")
def arena() -> Iterator[Arena | None]:
    """The test's own internet; None where the machine gives nobody a network namespace."""
    try:
        with Arena() as made:
            yield made
    except OSError:
        yield None


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """A process that has our command line loaded."""
    with Warm() as made:
        yield made
