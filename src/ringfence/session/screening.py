"""What a session looks for in what leaves: made from its policy, its credentials and canaries of its own."""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from ringfence.egress.content.budgets import Budgets
from ringfence.egress.inspection import Amendment
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision
from ringfence.model.event import Body
from ringfence.model.host import Destination, parse_host
from ringfence.model.shown import PlacedFile
from ringfence.policy.effective import Policy
from ringfence.session.credentials.holding import Holding

_DIGEST = 12


class Leaving(Protocol):
    """What a session does about what leaves."""

    variables: tuple[tuple[str, str], ...]
    """Canaries that are variables."""
    files: tuple[PlacedFile, ...]
    """Canaries that are files."""
    budgets: Budgets | None

    def amendments(self, record: Callable[[Body], None]) -> tuple[Amendment, ...]:
        """The gateway's steps, which come before those that put credentials into requests."""
        ...

    def refused(self, action: ConnectAction, record: Callable[[Body], None]) -> Decision | None:
        """Why there is no connection, whatever the rules for its host say."""
        ...

    def allowed(self, found: Decision) -> None:
        """What `refused` asked for was answered with yes."""
        ...


class Anything:
    """A session in which nobody looks, and at most bytes are counted."""

    variables: tuple[tuple[str, str], ...] = ()
    files: tuple[PlacedFile, ...] = ()

    def __init__(self, budgets: Budgets | None = None) -> None:
        self.budgets = budgets

    def amendments(self, record: Callable[[Body], None]) -> tuple[Amendment, ...]:
        """What counts the bytes of requests."""
        return (self.budgets,) if self.budgets is not None else ()

    def refused(self, action: ConnectAction, record: Callable[[Body], None]) -> Decision | None:
        """Where the budget of a destination is spent."""
        return over_budget(self.budgets, action)

    def allowed(self, found: Decision) -> None:
        """As much again may be sent."""
        allow_more(self.budgets, found)


def leaving(policy: Policy, holding: Holding, *, home: str, workspace: str, can_read: Callable[[str], bool]) -> Leaving:
    """What the policy wants. `can_read`: whether a path shows the person's own file inside.

    `SandboxUnavailable` where something is missing that it needs.
    """
    if not policy.content.looks:
        return Anything(Budgets(policy.content.budgets) if policy.content.budgets else None)
    from ringfence.session.screened import Screened

    key = os.urandom(32)
    return Screened(
        policy,
        holding,
        home=home,
        workspace=workspace,
        is_hidden=lambda path: not can_read(path),
        token=os.urandom,
        clock=time.thread_time,
        digest=lambda value: hmac.digest(key, value, "sha256").hex()[:_DIGEST],
    )


def over_budget(budgets: Budgets | None, action: ConnectAction) -> Decision | None:
    """Why there is no connection to a destination to which no more may be sent. A request that is seen is judged by
    what counts it."""
    if budgets is None or action.method is not None:
        return None
    found = budgets.spent(Destination(host=parse_host(action.host), port=action.port))
    return None if found is None else msgspec.structs.replace(found, action=action)


def allow_more(budgets: Budgets | None, found: Decision) -> None:
    """Somebody said yes to sending more to a destination."""
    action = found.action
    if budgets is not None and isinstance(action, ConnectAction):
        to = Destination(host=parse_host(action.host), port=action.port)
        budgets.allow(to, tuple(reason.rule for reason in found.reasons))
