"""How much may be sent: counts the bytes of a session by destination, and says where there are too many. Pure."""

from __future__ import annotations

from collections import Counter

import msgspec

from ringfence.egress import refusal
from ringfence.egress.http_head import RequestHead
from ringfence.egress.inspection import Held, Request, Steps
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Reason
from ringfence.model.host import HOST_LOOPBACK, Destination
from ringfence.model.host_pattern import HostPattern
from ringfence.policy.effective import ContentBudget

_MEGABYTE = 1_000_000


class _Counted:
    """One budget of a policy, with what was sent under it."""

    def __init__(self, number: int, rule: ContentBudget) -> None:
        self.rule = rule
        self.id = f"content.budget:{number}"
        self._hosts = tuple(map(HostPattern.parse, rule.hosts))
        self._left_out = tuple(map(HostPattern.parse, rule.left_out))
        self.sent: Counter[str] = Counter()
        self.allowed: Counter[str] = Counter()
        """How often somebody allowed as much again."""

    def means(self, to: Destination) -> bool:
        if to.host.name == HOST_LOOPBACK:
            return False
        return any(one.matches(to.host, to.port) for one in self._hosts) and not any(
            one.matches(to.host, to.port) for one in self._left_out
        )

    def key(self, to: Destination) -> str:
        """Under which name it is counted."""
        return to.host.name if self.rule.each else ""

    def left(self, to: Destination) -> int:
        key = self.key(to)
        return self.rule.megabytes * _MEGABYTE * (1 + self.allowed[key]) - self.sent[key]


class Budgets:
    """Those of one session."""

    def __init__(self, rules: tuple[ContentBudget, ...]) -> None:
        self._counted = tuple(_Counted(number, rule) for number, rule in enumerate(rules, 1))

    def counts(self, to: Destination) -> bool:
        """Whether what is sent to a destination is counted at all."""
        return any(one.means(to) for one in self._counted)

    def spend(self, to: Destination, size: int) -> Decision | None:
        """Count what is about to be sent; why it may not be, where that is too much. Then it is not counted."""
        over = [one for one in self._counted if one.means(to) and one.left(to) < size]
        if over:
            return _decision(to, over)
        self.count(to, size)
        return None

    def count(self, to: Destination, size: int) -> None:
        """Count what is sent whatever the budgets say."""
        for one in self._counted:
            if one.means(to):
                one.sent[one.key(to)] += size

    def spent(self, to: Destination) -> Decision | None:
        """Why nothing more may be sent to a destination; None where something may."""
        over = [one for one in self._counted if one.means(to) and one.left(to) <= 0]
        return _decision(to, over) if over else None

    def allow(self, to: Destination, ids: tuple[str, ...], size: int = 1) -> None:
        """Somebody said yes to going beyond these with so many bytes: as much again may be sent, unless there is room
        meanwhile. SECURITY: all who wait hear one yes, and it is meant once."""
        for one in self._counted:
            if one.id in ids and one.left(to) < size:
                one.allowed[one.key(to)] += 1

    def __call__(self, request: Request) -> Steps | None:
        """The steps for a request; see `Amendment`."""
        return _Counting(self, request) if self.counts(request.destination) else None


class _Counting(Steps):
    """Counts what one request sends."""

    def __init__(self, budgets: Budgets, request: Request) -> None:
        self._budgets = budgets
        self._request = request
        self._asked_for = 0
        """How many bytes somebody is asked about."""

    def request(self, head: RequestHead) -> RequestHead | Held:
        """The head, if there is room for it."""
        size = len(head.method) + len(head.path) + len(head.query) + 16
        size += sum(len(name) + len(value) + 4 for name, value in head.fields)
        decision = self._spend(size)
        return head if decision is None else Held(decision=decision, head=head)

    def sent(self, data: bytes) -> bytes | Held:
        """A piece of the body, if there is room for it."""
        decision = self._spend(len(data))
        return data if decision is None else Held(decision=decision, data=data)

    def message_sent(self, data: bytes, *, text: bool) -> bytes | Held:
        """A WebSocket message, if there is room for it."""
        return self.sent(data)

    def confirmed(self, held: Held) -> None:
        """Somebody said yes: as much again may be sent, and what was held is the first of it."""
        to = self._request.destination
        self._budgets.allow(to, tuple(one.rule for one in held.decision.reasons), self._asked_for)
        self._budgets.count(to, self._asked_for)

    def _spend(self, size: int) -> Decision | None:
        found = self._budgets.spend(self._request.destination, size)
        if found is None:
            return None
        self._asked_for = size
        action, policy = self._request.action, self._request.decision.policy
        return msgspec.structs.replace(found, action=action, policy=policy)


def _decision(to: Destination, over: list[_Counted]) -> Decision:
    reasons = [
        Reason(
            rule=one.id,
            layer=one.rule.origin.layer,
            source=one.rule.origin.source,
            verdict=one.rule.over,
            text=f"{one.rule.megabytes} MB may be sent to {_whom(one.rule)} in a session, and {_sent(one, to)} were",
        )
        for one in over
    ]
    reasons.sort(key=lambda one: -one.verdict.strictness)
    action = ConnectAction(host=to.host.name, port=to.port)
    found = refusal.built_in(action, reasons[0].rule, "", "raise `megabytes` of the budget, or begin another session")
    message = f"no more may be sent to `{to}` in this session"
    return msgspec.structs.replace(found, verdict=reasons[0].verdict, reasons=tuple(reasons), message=message)


def _whom(rule: ContentBudget) -> str:
    hosts = " ".join(rule.hosts)
    return f"each of `{hosts}`" if rule.each else f"`{hosts}`"


def _sent(one: _Counted, to: Destination) -> str:
    return f"{one.sent[one.key(to)] / _MEGABYTE:.1f}"
