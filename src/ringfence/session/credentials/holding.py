"""The credentials of a session as its opening sees them. Most sessions have none, and load nothing for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from ringfence.egress.databases.bound import Databases
from ringfence.egress.inspection import Amendment
from ringfence.policy.effective import CredentialPolicy, Policy
from ringfence.policy.evaluate import Evaluator
from ringfence.session.sources import Places
from ringfence.session.tally import Tally


class Holding(Protocol):
    """What a session does because of its credentials."""

    notices: tuple[str, ...]
    """What is bound and has no effect."""
    placeholders: tuple[str, ...]
    """What stands for them inside."""
    removed: tuple[str, ...]
    """Variables of the person's that do not come inside."""

    def inside(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The variables inside."""
        ...

    def amendments(self, tally: Tally) -> tuple[Amendment, ...]:
        """The gateway's steps."""
        ...

    def values(self) -> tuple[tuple[str, str], ...]:
        """The name of each credential with each of its values, for who looks for them outside."""
        ...

    def standing_in(self) -> tuple[bytes, ...]:
        """All that looks like a credential inside and is none, with what servers made."""
        ...

    def databases(self, tally: Tally) -> Databases | None:
        """The databases to which the gateway logs in."""
        ...


class Nothing:
    """A session without credentials."""

    notices: tuple[str, ...] = ()
    placeholders: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def inside(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The variables as they are."""
        return dict(environment)

    def amendments(self, tally: Tally) -> tuple[Amendment, ...]:
        """None."""
        return ()

    def values(self) -> tuple[tuple[str, str], ...]:
        """None."""
        return ()

    def standing_in(self) -> tuple[bytes, ...]:
        """None."""
        return ()

    def databases(self, tally: Tally) -> Databases | None:
        """None."""
        return None


async def held(policy: Policy, evaluator: Evaluator, places: Places, environ: Mapping[str, str]) -> Holding:
    """The credentials of a session, read beside the loop: a command may take its time."""
    if policy.credentials == CredentialPolicy():
        return Nothing()
    from ringfence.session.credentials.governing import Governing, outside_of

    outside = outside_of(places, environ, evaluator.context.workspace, evaluator)
    return await asyncio.to_thread(Governing, policy, outside)
