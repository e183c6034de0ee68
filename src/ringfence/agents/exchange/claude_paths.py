"""`Read(...)`, `Edit(...)` and the sandbox's paths of Claude Code as path rules.

Its patterns are those of .gitignore: `//x` is absolute, `/x` and `a/b` are below the project, a bare name means any
depth. Deny wins there whatever is more specific; here the most specific path wins, so what would reopen something that
is denied is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from ringfence.agents.exchange.draft import Draft, PathPart
from ringfence.agents.exchange.glob_overlap import may_meet, opens
from ringfence.model.decision import Verdict
from ringfence.policy.effective import Access
from ringfence.policy.globs import is_glob
from ringfence.policy.paths import covers
from ringfence.policy.presets import preset
from ringfence.policy.schema import escaped

_HOME, _WORKSPACE = "/home/someone", "/home/someone/project"
"""Stand-ins: patterns are compared by their texts alone."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """One path rule as the agent has it."""

    pattern: str
    """In our words."""
    access: Access
    """READ and WRITE open; DENY closes for both."""
    keeps_read: bool = False
    """With DENY: only writing is denied."""
    origin: str
    item: str


_HOME_IN_FULL = re.compile(r"^(?:/root|/home/[^/]+|/Users/[^/]+)(?=/|$)")


def path_wish(specifier: str, verdict: Verdict, *, writes: bool, origin: str, item: str) -> Wish:
    """A permission rule about reading or editing."""
    pattern = gitignore_pattern(specifier)
    if verdict is not Verdict.ALLOW:
        return Wish(pattern=pattern, access=Access.DENY, keeps_read=writes, origin=origin, item=item)
    return Wish(pattern=pattern, access=Access.WRITE if writes else Access.READ, origin=origin, item=item)


def gitignore_pattern(text: str) -> str:
    """A pattern of Claude Code in our words."""
    if text.startswith("//"):
        return _folder(text[1:])
    if text == "~" or text.startswith("~/"):
        return _folder(text)
    below = text.removeprefix("./")
    anchored = below != text or "/" in below.rstrip("/")
    name = _folder(below.strip("/"))
    if name in {"", "**", "*"}:
        return ":workspace"
    return f":workspace/{name}" if anchored and not name.startswith("**/") else f"**/{name.removeprefix('**/')}"


def sandbox_pattern(text: str) -> str:
    """A path of Claude Code's sandbox settings, where a leading `/` is absolute."""
    return _folder(text.replace("//", "/")) if text.startswith("/") else gitignore_pattern(text)


def add_wishes(draft: Draft, wishes: Iterable[Wish]) -> None:
    """All path rules at once, because what one opens another may deny."""
    wanted = list(wishes)
    denied = [wish for wish in wanted if wish.access is Access.DENY]
    for wish in wanted:
        if wish.access is not Access.DENY:
            _open(draft, wish, denied)
    for wish in denied:
        if wish.keeps_read:
            _protect(draft, wish, denied)
        elif draft.add_path(wish.pattern, Access.DENY, wish.origin, wish.item):
            draft.tighten(wish.origin, wish.item, "can be neither read nor written, by no program")


def _protect(draft: Draft, wish: Wish, denied: list[Wish]) -> None:
    """Deny writing alone: a path that can be read and not written."""
    if wish.pattern == ":workspace":
        draft.choose_preset("read-only", wish.origin)
        return
    if not _inside(wish.pattern) and not _opened(draft, wish.pattern):
        draft.cover(wish.origin, wish.item, "nothing outside the workspace can be written unless a policy opens it")
        return
    closed = [*_preset_denials(), *(one.pattern for one in denied if not one.keeps_read)]
    if any(_covers(pattern, wish.pattern) for pattern in closed):
        draft.cover(wish.origin, wish.item, "can be neither read nor written")
    else:
        guards = [_guard(wish.pattern, pattern) for pattern in closed if _reopens(wish.pattern, pattern)]
        if None in guards:
            # SECURITY: as the more specific rule it would open for reading what the other one denies.
            reason = "it overlaps with paths that may not be read, and a rule for it would open them; name the files"
            draft.lose(wish.origin, wish.item, reason, restricts=True)
            return
        draft.add_path(wish.pattern, Access.READ, wish.origin, wish.item)
        for guard in filter(None, guards):
            draft.add_path(guard, Access.DENY, wish.origin, wish.item)


def _guard(pattern: str, closed: str) -> str | None:
    """What both patterns name, as one pattern that is more specific than either; nothing where that takes more."""
    folder, _, name = pattern.rpartition("/")
    if folder == "**" and closed.startswith(":workspace/") and not is_glob(closed):
        return f"{closed}/**/{name}"
    if closed.startswith("**/") and "/" not in closed[3:] and folder and not is_glob(folder) and name == "*":
        return f"{folder}/{closed[3:]}"
    return None


def _reopens(pattern: str, closed: str) -> bool:
    """Whether a rule for a pattern would win over a denial. A denied name at any depth is that of a file."""
    if not is_glob(pattern):
        return _covers(closed, pattern)
    return opens(pattern, closed) if closed.startswith("**/") else may_meet(closed, pattern)


def _open(draft: Draft, wish: Wish, denied: list[Wish]) -> None:
    if _inside(wish.pattern):
        draft.cover(wish.origin, wish.item, "the workspace is open, as far as the preset and these rules go")
        return
    for other in denied:
        if other.keeps_read and wish.access is Access.READ:
            continue
        if _reopens(wish.pattern, other.pattern):
            reason = f"{other.item} denies some of it, and the more specific rule would win here"
            draft.lose(wish.origin, wish.item, reason, restricts=False)
            return
    # SECURITY: a secret is never opened by carrying settings over, also where its path names the home folder in full.
    named = {wish.pattern, _HOME_IN_FULL.sub("~", wish.pattern)}
    if any(_reopens(one, pattern) for one in named for pattern in _preset_denials()):
        reason = "it would open what the preset keeps closed; write the line yourself if that is meant"
        draft.lose(wish.origin, wish.item, reason, restricts=False)
        return
    draft.add_path(wish.pattern, wish.access, wish.origin, wish.item)


def open_folder(draft: Draft, path: str, origin: str, item: str) -> Wish | None:
    """A further working folder."""
    if path.startswith(("/", "~/")):
        return Wish(pattern=_folder(path), access=Access.WRITE, origin=origin, item=item)
    draft.lose(origin, item, f"`{escaped(path)}` depends on where the agent starts; name it in full", restricts=False)
    return None


def _folder(text: str) -> str:
    """`x/**` and `x/` are the folder x: what is denied below it stays denied."""
    short = text.removesuffix("/**").rstrip("/")
    return short or ("/" if text.startswith("/") else "")


def _inside(pattern: str) -> bool:
    return not pattern.startswith(("/", "~", ":")) or pattern.partition("/")[0] == ":workspace"


def _opened(draft: Draft, pattern: str) -> bool:
    opening: list[PathPart] = [part for part in draft.paths if part.access is Access.WRITE]
    return any(_covers(part.pattern, pattern) or may_meet(part.pattern, pattern) for part in opening)


def _preset_denials() -> list[str]:
    return [rule.pattern for rule in preset("workspace").filesystem if rule.access is Access.DENY]


def _covers(outer: str, inner: str) -> bool:
    return covers(outer, inner, home=_HOME, workspace=_WORKSPACE)
