"""What the policy lets an answer do: who may give it, how far it may reach, and how long it may last.

Pure. Whether somebody is in a group of this machine is asked of a function that the session brings.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ringfence.approvals.objects import NANOSECONDS, REPO_DAYS, Grant, Scope
from ringfence.model.display import visible

_PERSON = "person:"
_ORDER = (Scope.ONCE, Scope.SESSION, Scope.REPO)

Lists = tuple[tuple[str, ...], ...]


class Permission(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the answers of one session."""

    widest: Scope = Scope.REPO
    days: int = REPO_DAYS
    approvers: Lists = ()
    """Lists of names and `@groups`; whoever answers has to be on every one."""
    overriders: Lists = ()
    is_member: Callable[[str, str], bool] = lambda _name, _group: False
    """Whether a user is in a group."""

    def refusal(self, approver: str, *, override: bool) -> str:
        """Why somebody's yes does not count; empty where it does."""
        name = approver.removeprefix(_PERSON)
        for what, lists in (("approve", self.approvers), ("override", self.overriders if override else ())):
            for names in lists:
                if not any(self._is(name, one) for one in names):
                    listed = ", ".join(f"`{one}`" for one in names)
                    return f"`{visible(name)}` may not {what} under this policy; {listed} may"
        return ""

    def covers(self, grant: Grant, now_ns: int) -> bool:
        """Whether a remembered answer still counts: its scope, its age and its author are what the policy permits."""
        if wider(grant.scope, self.widest) or self.refusal(grant.approver, override=False):
            return False
        return grant.scope is not Scope.REPO or now_ns < grant.created_ns + self.days * 24 * 3600 * NANOSECONDS

    def _is(self, name: str, one: str) -> bool:
        return self.is_member(name, one[1:]) if one.startswith("@") else name == one


def wider(scope: Scope, limit: Scope) -> bool:
    """Whether a scope reaches further than another."""
    return _ORDER.index(scope) > _ORDER.index(limit)
