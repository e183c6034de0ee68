"""Breaking the glass: going ahead without waiting for approvals, with a reason, for a time, and never in silence.

It answers questions, nothing else: what a rule denies for good stays denied. Somebody else looks at it afterwards, and
until they have, nobody who broke a glass can break another.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ringfence.approvals.objects import BREAK_GLASS_SECONDS, NANOSECONDS, BreakGlass, Review
from ringfence.approvals.permission import Permission
from ringfence.approvals.stores.store import Store
from ringfence.model.display import visible
from ringfence.model.situations import RingfenceError
from ringfence.model.vote import PERSON


class GlassRefused(RingfenceError):
    """The glass cannot be broken, ended or reviewed like this."""


class Glass:
    """The broken glass of one store."""

    def __init__(self, store: Store, now_ns: Callable[[], int], new_id: Callable[[], str]) -> None:
        self._store = store
        self._now_ns = now_ns
        self._new_id = new_id

    def all(self) -> tuple[BreakGlass, ...]:
        """Every broken glass, newest first."""
        return tuple(self._store.broken_glass())

    def active(self, workspace: str, permission: Permission) -> BreakGlass | None:
        """The broken glass that holds here, by somebody whom the policy lets break it."""
        now = self._now_ns()
        for one in self._store.broken_glass():
            here = one.workspace == workspace and one.state(now) == "active"
            if here and permission.may_break_glass(one.who):
                return one
        return None

    def smash(
        self, *, who: str, reason: str, ticket: str, workspace: str, seconds: int, permission: Permission
    ) -> BreakGlass:
        """Break it; `GlassRefused` where that is not permitted."""
        name = visible(who.removeprefix(PERSON))
        if not permission.may_break_glass(who):
            raise GlassRefused(
                f"`{name}` may not go ahead without approval: the managed policy does not name them in"
                " `approvals.break_glass`",
                remedy="have the question answered: `ringfence approvals list`",
            )
        if not reason.strip():
            raise GlassRefused("the glass is not broken without a reason", remedy="say why: `--reason`")
        if not 1 <= seconds <= BREAK_GLASS_SECONDS:
            raise GlassRefused(f"a broken glass lasts at most {BREAK_GLASS_SECONDS // 60} minutes")
        with self._store.transaction():
            now = self._now_ns()
            for one in self._store.broken_glass():
                if one.who == who and one.state(now) == "unreviewed":
                    raise GlassRefused(
                        f"`{name}` broke the glass before, and nobody has reviewed that yet ({one.id})",
                        remedy=f"have somebody else do it: `ringfence approvals review {one.id}`",
                    )
            expires = now + seconds * NANOSECONDS
            broken = BreakGlass(
                id=self._new_id(),
                who=who,
                reason=reason,
                ticket=ticket,
                workspace=workspace,
                created_ns=now,
                expires_ns=expires,
            )
            self._store.put_break_glass(broken)
        return broken

    def end(self, glass_id: str) -> BreakGlass:
        """End it ahead of time."""
        with self._store.transaction():
            found = self._one(glass_id)
            if found.state(self._now_ns()) != "active":
                raise GlassRefused(f"{found.id} is over already")
            ended = msgspec.structs.replace(found, ended_ns=self._now_ns())
            self._store.put_break_glass(ended)
        return ended

    def review(self, glass_id: str, *, who: str, justified: bool, reason: str, permission: Permission) -> BreakGlass:
        """Say what was found afterwards; it also ends what still holds."""
        refusal = permission.refusal(who, override=False)
        if refusal:
            raise GlassRefused(refusal)
        if not reason.strip():
            raise GlassRefused("a review says what was found", remedy="`--reason`")
        with self._store.transaction():
            found = self._one(glass_id)
            if found.who == who:
                raise GlassRefused("nobody reviews what they did themselves", remedy="have somebody else do it")
            if found.review is not None:
                raise GlassRefused(f"{found.id} was reviewed before, by {visible(found.review.who)}")
            now = self._now_ns()
            ended = now if found.state(now) == "active" else found.ended_ns
            review = Review(who=who, justified=justified, reason=reason, at_ns=now)
            reviewed = msgspec.structs.replace(found, ended_ns=ended, review=review)
            self._store.put_break_glass(reviewed)
        return reviewed

    def _one(self, glass_id: str) -> BreakGlass:
        found = [one for one in self._store.broken_glass() if one.id == glass_id]
        if not found:
            raise GlassRefused(f"no glass was broken under the id `{visible(glass_id)}`")
        return found[0]
