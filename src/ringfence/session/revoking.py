"""Ends the connections that a grant opened, soon after it is revoked, wherever that was done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from ringfence.approvals.matchers import connection
from ringfence.approvals.objects import Grant
from ringfence.model.situations import RingfenceError

EVERY_SECONDS = 0.4
"""How often it is looked: a second is promised."""
MOST_FAILURES = 25
"""In a row, after which what cannot be checked any more is ended."""

logger = logging.getLogger(__name__)


class Closes(Protocol):
    """The gateway, as far as it is needed here."""

    def close_matching(self, matches: Callable[[str, int], bool]) -> int:
        """End every connection for which `matches` says so."""
        ...

    @property
    def open_connections(self) -> int:
        """How many there are."""
        ...


async def close_revoked(
    gateway: Closes,
    grants: Callable[[], Iterable[Grant]],
    opened: Callable[[Grant], frozenset[str]],
    *,
    session: str,
    workspace: str,
) -> None:
    """Look for grants that were revoked since, as long as the session lasts. `opened`: the connections that a grant has
    allowed, as matchers."""
    watch = _Watch(gateway, grants, opened, session, workspace)
    while True:
        watch.look()
        await asyncio.sleep(EVERY_SECONDS)


class _Watch:
    """What is known of revoked grants."""

    def __init__(
        self,
        gateway: Closes,
        grants: Callable[[], Iterable[Grant]],
        opened: Callable[[Grant], frozenset[str]],
        session: str,
        workspace: str,
    ) -> None:
        self._gateway = gateway
        self._grants = grants
        self._opened = opened
        self._session = session
        self._workspace = workspace
        self._gone: frozenset[str] | None = None
        self._failed = 0

    def look(self) -> None:
        """End what is not allowed any more."""
        if self._gone is not None and not self._gateway.open_connections:
            return
        try:
            revoked = [grant for grant in self._grants() if grant.revoked_ns is not None]
        except RingfenceError:
            self._failed += 1
            if self._failed == MOST_FAILURES:
                logger.warning("the grants cannot be read: every open connection is ended")
                self._gateway.close_matching(lambda host, port: True)
            return
        for grant in revoked:
            ours = self._session == grant.session or self._workspace == grant.workspace
            if self._gone is not None and grant.id not in self._gone and ours:
                _close(self._gateway, self._opened(grant))
        self._failed, self._gone = 0, frozenset(grant.id for grant in revoked)


def _close(gateway: Closes, opened: frozenset[str]) -> None:
    gateway.close_matching(lambda host, port: connection(host, port) in opened)
