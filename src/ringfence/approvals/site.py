"""What a gate guards: one session in one workspace, under one policy."""

from __future__ import annotations

import msgspec

from ringfence.approvals.permission import Permission


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Where the questions of a gate come from."""

    session: str
    workspace: str
    policy: str
    """The digest of the policy at the start, for decisions that could not be evaluated."""
    permission: Permission = Permission()
    """What the policy lets an answer do."""
    host: str = ""
    """The name of this machine."""
    timeout_seconds: int = 300
    """An unanswered question is a deny after this."""
    wait_seconds: float = 0
    """After this, whoever waits is told that the question is queued; 0 for never."""
