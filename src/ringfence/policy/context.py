"""Where a policy is applied: what `~` and `:workspace` mean in it, and which file a person's own rules are written to.

Values only; whoever looks them up on a machine hands them in.
"""

from __future__ import annotations

import msgspec

USER_POLICY = "~/.config/ringfence/policy.toml"
"""Where a person's own policy is, unless the environment says otherwise."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Where a policy is applied: what `~` and `:workspace` mean."""

    home: str
    workspace: str
    user_policy: str = USER_POLICY
    """The person's own policy, as it is shown to people who are to write something into it."""
