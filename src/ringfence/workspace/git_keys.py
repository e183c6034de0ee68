"""Which of Git's settings may pass from a session to the real repository: keys that cannot run code. Pure data and a
judgement of one change.

An allow-list, with a pattern for the value: a key that is missing here never passes, however harmless it may be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import msgspec

Values = Mapping[str, tuple[str, ...]]
"""Settings by key, as Git prints keys: section and name in lower case, the subsection as written."""

_BOOL = r"(?:true|false|yes|no|on|off|[01])?"
_NUMBER = r"-?[0-9]{1,9}[kmgKMG]?"
_WORD = r"[A-Za-z0-9._-]*"
_TEXT = r"[^\n\0]*"
_REF = r"(?!-)[^\s\0~^:?*\[\\]+"
_REFSPEC = r"[+^]?(?!-)[^\s\0:]+(?::(?:refs/(?:remotes|tags|notes|pull|merge-requests|changes)/[^\s\0:]*)?)?"
"""SECURITY: into no branch, which the person's next fetch would overwrite."""
_REMOTE = r"\.|(?!-)[^\s\0:/][^\s\0:]*"
_DATE = r"[A-Za-z0-9.: %/_-]*"
_URL = (
    r"(?:https?|ssh|git)://(?!-)[^\s\0\x01-\x1f\x7f]+"
    r"|(?:(?!-)[A-Za-z0-9_.+-]+@)?(?!-)[A-Za-z0-9][A-Za-z0-9.-]+:(?![:\\]|//)(?!-)[^\s\0\x01-\x1f\x7f:]+"
)
"""SECURITY: no `helper::address`, which runs a program of that name; no local path, whose hooks a push would run."""

_KEYS: tuple[tuple[str, str], ...] = (
    (r"branch\..+\.(?:remote|pushremote)", _REMOTE),
    (r"branch\..+\.merge", _REF),
    (r"branch\..+\.rebase", r"(?:" + _BOOL + r"|merges|m|interactive|i)"),
    (r"branch\..+\.(?:description|(?:vscode|gh|github)-[a-z-]+)", r"[^\0]*"),
    (r"branch\.(?:autosetupmerge|autosetuprebase|sort)", _WORD),
    (r"remote\..+\.(?:url|pushurl)", _URL),
    (r"remote\..+\.fetch", _REFSPEC),
    (r"remote\..+\.(?:tagopt|prune|prunetags|skipdefaultupdate|promisor|partialclonefilter|gh-resolved|followremotehead)",
     r"[A-Za-z0-9:=._/-]*"),
    (r"user\.(?:name|email)", _TEXT),
    (r"core\.repositoryformatversion", r"[01]"),
    (r"core\.bare", r"(?:false|no|off|0)"),
    (r"core\.(?:filemode|logallrefupdates|ignorecase|precomposeunicode|symlinks|quotepath|untrackedcache"
     r"|sparsecheckout|sparsecheckoutcone|preloadindex|trustctime)", r"(?:" + _BOOL + r"|always|keep)"),
    (r"core\.(?:autocrlf|eol|safecrlf|whitespace|abbrev|checkstat)", r"[A-Za-z0-9,=_-]*"),
    (r"extensions\.(?:objectformat|partialclone|worktreeconfig|compatobjectformat|refstorage)", _WORD),
    (r"submodule\..+\.url", _URL),
    (r"submodule\..+\.update", r"(?:checkout|rebase|merge|none)"),
    (r"submodule\..+\.(?:active|ignore|branch|fetchrecursesubmodules|shallow)", r"(?!-)[A-Za-z0-9._/-]*"),
    (r"submodule\.(?:active|recurse|fetchjobs|propagatebranches)", r"(?!-)[A-Za-z0-9._/ -]*"),
    # SECURITY: with `upstream` or `matching`, a push of one branch can land on another.
    (r"push\.default", r"(?:simple|current|nothing)"),
    (r"(?:pull|rebase|merge|push|fetch|status|log|stash|rerere|commit|tag|diff|grep|blame|index|pack|checkout|clone)"
     r"\.(?:rebase|ff|default|autosetupremote|followtags|autostash|autosquash|updaterefs|conflictstyle|stat|verbose"
     r"|prune|prunetags|parallel|writecommitgraph|recursesubmodules|showuntrackedfiles|short|branch|decorate"
     r"|abbrevcommit|follow|showsignature|includeuntracked|showpatch|showstat|enabled|autoupdate|status|cleanup|sort"
     r"|algorithm|renames|renamelimit|colormoved|mnemonicprefix|noprefix|context|interhunkcontext|submodule"
     r"|linenumber|extendregexp|patterntype|coloring|version|threads|window|depth|guess|defaultremote|workers)",
     r"[A-Za-z0-9,=._-]*"),
    (r"(?:log|blame)\.date", _DATE),
    (r"init\.defaultbranch", _REF),
    (r"column\.[a-z]+", r"[A-Za-z0-9, ]*"),
    (r"color\.[a-z]+(?:\.[a-z]+)?", r"[A-Za-z0-9# ]*"),
    (r"advice\.[a-z]+", _BOOL),
    (r"gc\.(?:auto|autopacklimit|autodetach|writecommitgraph)", r"(?:" + _NUMBER + r"|" + _BOOL + r")"),
    (r"maintenance\.auto", _BOOL),
    (r"lfs\.(?:repositoryformatversion|.+\.access)", _WORD),
)  # fmt: skip
_ADDRESS = re.compile(r"(?P<kind>remote|submodule)\.(?P<name>.+)\.(?:url|pushurl)", re.DOTALL)
_FOLLOWS = re.compile(r"branch\.(?P<name>.+)\.(?:remote|pushremote)", re.DOTALL)
_SHARED = ("remote.", "branch.", "submodule.", "extensions.", "push.")
_OWN_TREE = re.compile(r"(?:\.\./)+[A-Za-z0-9][^\0\n]*")


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """The repository as it was before the session."""

    settings: Values
    branches: frozenset[str] | None
    """The names of its branches; None where they are not known, and any could be one."""
    of_module: bool = False
    """Of a submodule, which names its own working tree."""
    of_worktree: bool = False
    """Of one working tree: it stands over the repository's settings, which are not in it."""


def refused(key: str, after: tuple[str, ...], start: Start) -> str | None:
    """Why a change of one setting does not pass; None where it does."""
    before = start.settings.get(key, ())
    # SECURITY: here an address that the repository has had all along looks new, and takes its place.
    if start.of_worktree and key.startswith(_SHARED):
        return "it belongs into the repository's settings, and would stand over them"
    value = _OWN_TREE if start.of_module and key == "core.worktree" else _known(key)
    if value is None:
        return "it is not among the settings that a session may change"
    if not all(value.fullmatch(each) for each in after):
        return "its value is not of a kind that a session may set"
    address = _ADDRESS.fullmatch(key)
    # SECURITY: not only what runs: an address that is changed, also in two steps over two sessions, or a branch that
    # is led to an address of the session's, sends the person's next push to somebody else.
    if address is not None and (before or _had(start, address["kind"], address["name"])):
        return "it says where your pushes go, and was there before"
    follows = _FOLLOWS.fullmatch(key)
    if follows is None or (not before and start.branches is not None and follows["name"] not in start.branches):
        return None
    usual = {".", *before, *(("origin",) if not before and _had(start, "remote", "origin") else ())}
    return None if usual.issuperset(after) else "it would change where pushes of a branch go that was there before"


def _known(key: str) -> re.Pattern[str] | None:
    return next((value for name, value in _compiled() if name.fullmatch(key)), None)


@cache
def _compiled() -> tuple[tuple[re.Pattern[str], re.Pattern[str]], ...]:
    # Not on import: every session imports this, and few look at a setting.
    return tuple((re.compile(key, re.DOTALL), re.compile(value)) for key, value in _KEYS)


def _had(start: Start, kind: str, name: str) -> bool:
    return any(key.startswith(f"{kind}.{name}.") for key in start.settings)
