"""Variables of the environment on their way into a policy: which are kept, which are set, and which nobody copies."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

from ringfence.agents.exchange.draft import Draft
from ringfence.policy.presets import preset
from ringfence.policy.schema import escaped

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|HEADERS|AUTH", re.IGNORECASE)


def keep_variable(draft: Draft, pattern: str, origin: str, *, except_for: Sequence[str] = ()) -> None:
    """Let a variable in, unless it is excluded as well."""
    item = f"kept variable `{escaped(pattern)}`"
    if not _NAME.fullmatch(pattern.removesuffix("*")):
        reason = "a kept variable is a name, or its beginning followed by `*`"
        draft.lose(origin, item, reason, restricts=False)
        return
    for other in except_for:
        if _meet(pattern, other) and not _NAME.fullmatch(other.removesuffix("*")):
            reason = f"`{escaped(other)}` excludes some of it; keep the names that are meant"
            draft.lose(origin, item, reason, restricts=False)
            return
    draft.keep.append((pattern, origin))


def exclude_variables(draft: Draft, pattern: str, origin: str) -> None:
    """Keep variables out. Those that nobody keeps are out anyway, so a pattern that we cannot write may not matter."""
    item = f"excluded variable `{escaped(pattern)}`"
    standing = [name for name, _ in preset("workspace").environment.keep if _meet(name, pattern)]
    if _NAME.fullmatch(pattern.removesuffix("*")):
        draft.remove.append((pattern, origin))
    elif standing:
        listed = ", ".join(f"`{name}`" for name in standing)
        draft.lose(origin, item, f"the presets keep {listed}", restricts=True)
    else:
        draft.cover(origin, item, "no variable is inherited unless it is named")


def set_variable(draft: Draft, name: str, value: str, origin: str) -> None:
    """Set a variable, unless it looks like a credential: a policy is read by many."""
    item = f"variable `{escaped(name)}`"
    if not _NAME.fullmatch(name):
        draft.lose(origin, item, "this is not the name of a variable", restricts=False)
    elif _SECRET.search(name):
        reason = f"it looks like a credential, which has no place in a policy; pass it with `--env {name}`"
        draft.lose(origin, item, reason, restricts=False)
    elif "\x00" in value:
        draft.lose(origin, item, "its value has a NUL character", restricts=False)
    else:
        draft.set.append((name, value, origin))


def _meet(one: str, other: str) -> bool:
    """Whether two patterns of names may name the same variable; a beginning with `*` is taken as its shortest name."""
    a, b = one.upper(), other.upper()
    beginnings = "*" in a and b.startswith("*")
    return beginnings or fnmatch.fnmatchcase(a.rstrip("*"), b) or fnmatch.fnmatchcase(b.rstrip("*"), a)
