"""One question, one answer: who allows a command that names a host has allowed it the connection to that host.

Without this, `curl https://host/` would be asked about twice: as a command, and as a connection. It holds for the host
and port that the question showed, for the rules that asked then, under the same policy, and for a few minutes.
"""

from __future__ import annotations

import msgspec

from ringfence.approvals import matchers
from ringfence.approvals.objects import NANOSECONDS, ONCE_SECONDS, Grant
from ringfence.model.action import Action, CommandAction, ConnectAction, EffectKind
from ringfence.model.decision import Decision

MAX_HOSTS = 1_000
"""Destinations that are kept; beyond, the oldest are asked about again."""


class _Named(msgspec.Struct, frozen=True):
    grant: Grant
    asking: frozenset[str]
    policy: str
    until_ns: int


class NamedHosts:
    """What approved commands of one session have named."""

    def __init__(self) -> None:
        self._named: dict[str, _Named] = {}
        self._opened: dict[str, set[str]] = {}
        """By grant the connections that it has allowed, as matchers."""

    def note(self, decision: Decision, grant: Grant, now_ns: int) -> None:
        """Keep the destinations of a command that a grant allowed, or the connection that it opened."""
        # SECURITY: a connection names its host as well, and a yes to one request is none to the others there.
        if not isinstance(decision.action, CommandAction):
            self._open(decision.action, grant)
            return
        asking = frozenset(matchers.asking(decision))
        until = min(now_ns + ONCE_SECONDS * NANOSECONDS, max(grant.expires_ns, now_ns))
        for effect in decision.effects:
            if effect.kind is EffectKind.CONNECT:
                self._named.pop(effect.object, None)
                self._named[effect.object] = _Named(grant, asking, decision.policy, until)
        while len(self._named) > MAX_HOSTS:
            del self._named[next(iter(self._named))]

    def answer(self, decision: Decision, now_ns: int) -> Grant | None:
        """The grant that has answered this connection already."""
        action = decision.action
        # SECURITY: what a rule denies, softly, is not answered by a yes to anything else.
        if not isinstance(action, ConnectAction) or decision.override:
            return None
        named = self._named.get(f"{action.host}:{action.port}")
        if named is None or now_ns >= named.until_ns or named.policy != decision.policy:
            return None
        # SECURITY: a rule that did not ask about the command, such as one on a path of the host, was not answered.
        asking = matchers.asking(decision)
        if not asking or not named.asking.issuperset(asking):
            return None
        self._open(action, named.grant)
        return named.grant

    def opened(self, grant_id: str) -> frozenset[str]:
        """The connections that a grant has allowed, for when it is taken back."""
        return frozenset(self._opened.get(grant_id, ()))

    def _open(self, action: Action, grant: Grant) -> None:
        if isinstance(action, ConnectAction):
            self._opened.setdefault(grant.id, set()).add(matchers.remembered(action))
            while len(self._opened) > MAX_HOSTS:
                del self._opened[next(iter(self._opened))]
