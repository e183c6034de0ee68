"""What a path below a `.git` is to Git, told by its name. Pure.

An allow-list: what is not known to be a repository's state is refused, because Git may run or obey it.
"""

from __future__ import annotations

import re
from enum import StrEnum

_HASH = rb"(?:[0-9a-f]{40}|[0-9a-f]{64})"


class Role(StrEnum):
    """What Git does with a path."""

    STATE = "state"
    """Branches, the index, logs, an unfinished merge or rebase."""
    SETTINGS = "settings"
    """Key by key: those that can run code never pass."""
    OBJECT = "object"
    """Stored content, named by its hash: may be added, never changed."""
    DERIVED = "derived"
    """Made again when it is missing, or a moment's lock."""
    PLACE = "place"
    """A folder on the way to one of these."""
    REFUSED = "refused"
    """Programs, and whatever is not known."""


_OBJECT = re.compile(
    rb"objects/(?:[0-9a-f]{2}/(?:[0-9a-f]{38}|[0-9a-f]{62})"
    rb"|pack/pack-" + _HASH + rb"\.(?:pack|idx|rev|keep|mtimes|promisor))"
)
_DERIVED = re.compile(
    rb"objects/(?:info/(?:packs|commit-graph|commit-graphs(?:/.*)?)|pack/(?:multi-pack-index.*|pack-.*\.bitmap|tmp_.*)"
    rb"|[0-9a-f]{2}/tmp_obj_.*|tmp_obj.*|incoming-.*)"
    rb"|hooks(?:/[^/]+\.sample)?|info/refs|gc\.pid|gc\.log|fsmonitor--daemon.*|.*\.lock|branches|description"
)
_STATE = re.compile(
    rb"[A-Z][A-Z_]*_HEAD|HEAD|AUTO_MERGE|(?:COMMIT_EDIT|MERGE_|TAG_EDIT|SQUASH_|EDIT_DESCRIPTION)MSG?|EDIT_DESCRIPTION"
    rb"|MERGE_(?:MODE|RR|AUTOSTASH)|index|sharedindex\." + _HASH + rb"|packed-refs|shallow|locked"
    rb"|info/(?:exclude|sparse-checkout)|refs/.+|logs/.+|rr-cache/[0-9a-f]+/(?:preimage|postimage|thisimage)(?:\.[0-9]+)?"
    rb"|(?:rebase-merge|rebase-apply|sequencer)/[^/]+|BISECT_[A-Z_]+"
)
_SETTINGS = re.compile(rb"config|config\.worktree")
_PLACE = re.compile(
    rb"objects(?:/(?:info|pack|[0-9a-f]{2}))?|refs|logs|info|rr-cache(?:/[0-9a-f]+)?|rebase-merge|rebase-apply"
    rb"|sequencer|modules|worktrees|worktrees/[^/]+|branches"
)
_UNFINISHED = re.compile(rb"(?:worktrees/[^/]+/|modules/.*/)?(?:sequencer|rebase-merge|rebase-apply)/.+", re.DOTALL)
_REPLACED = re.compile(rb"(?:modules/.*/)?refs/replace/.+", re.DOTALL)
_STRATEGY = rb"(?:ort|recursive|resolve|ours|octopus|subtree)"
_OPTIONS = re.compile(
    rb"\[options\]\n(?:\t(?:strategy = " + _STRATEGY + rb"|(?!strategy =)[a-z-]+ = [A-Za-z0-9._-]*)\n)*"
)
"""As Git itself writes it."""
_POINTERS = re.compile(rb"worktrees/[^/]+/(?:gitdir|commondir)")
_OF_A_WORKTREE = re.compile(rb"worktrees/[^/]+/(.+)", re.DOTALL)


def below_git(path: bytes) -> bytes | None:
    """The part of a path below the innermost `.git`; None where it lies in no repository's own folder.

    Git takes other spellings for `.git` on some file systems: those count too.
    """
    parts = path.split(b"/")
    for number in range(len(parts) - 1, -1, -1):
        if _is_git(parts[number]):
            return b"/".join(parts[number + 1 :])
    return None


def role(rest: bytes) -> Role:
    """What a path below `.git` is; an empty one is `.git` itself."""
    if not rest:
        return Role.PLACE
    if rest.startswith(b"modules/"):
        return _of_a_module(rest.split(b"/")[1:])
    of_a_worktree = _OF_A_WORKTREE.fullmatch(rest)
    if of_a_worktree is not None:
        return Role.STATE if _POINTERS.fullmatch(rest) else _plain(of_a_worktree[1])
    return _plain(rest)


def in_object_folder(rest: bytes) -> bool:
    """Whether a path below `.git` is the folder of stored objects, or one of its folders."""
    return re.fullmatch(rb"(?:modules/.*/)?objects(?:/(?:info|pack|[0-9a-f]{2}))?", rest, re.DOTALL) is not None


def is_unfinished(rest: bytes) -> bool:
    """Whether a path below `.git` belongs to an operation that stopped half-way: its steps can run commands when
    somebody lets it go on."""
    return _UNFINISHED.fullmatch(rest) is not None


def replaces_objects(rest: bytes, content: bytes | None) -> bool:
    """Whether a file of a repository's state makes other content stand for an object, in every working tree."""
    listed = rest.rpartition(b"/")[2] == b"packed-refs" and (content is None or b" refs/replace/" in content)
    return listed or _REPLACED.fullmatch(rest) is not None


def odd_content(rest: bytes, content: bytes) -> str | None:
    """Why a file of a repository's state is not what its name says; None where it is. Settings could hide in it."""
    if _POINTERS.fullmatch(rest):
        text = content.strip()
        fine = text == b"../.." if rest.endswith(b"/commondir") else text.startswith(b"/") and b"\n" not in text
        return None if fine else "it leads Git elsewhere"
    name = rest.rpartition(b"/")[2]
    if is_unfinished(rest):
        # SECURITY: a strategy is a program, `git-merge-NAME`, and a name with slashes leads to one in the workspace.
        if name == b"opts" and _OPTIONS.fullmatch(content) is None:
            return "its options are not such as Git writes, or name a merge strategy that is none of Git's"
        if name == b"strategy" and re.fullmatch(_STRATEGY + rb"\n?", content) is None:
            return "it names a merge strategy that is none of Git's"
    kind = next((part for part in rest.split(b"/")[:-1] if part in (b"refs", b"logs")), None)
    if kind == b"refs":
        return None if re.fullmatch(rb"(?:" + _HASH + rb"|ref: [^\n]+)\n?", content) else "it is no reference of Git's"
    if kind == b"logs":
        fine = not content or re.match(_HASH + rb" " + _HASH + rb" ", content) is not None
        return None if fine else "it is no log of Git's"
    if name == b"HEAD":
        return None if re.fullmatch(rb"(?:" + _HASH + rb"|ref: refs/[^\n]+)\n?", content) else "it is no HEAD of Git's"
    if name == b"index":
        return None if content.startswith(b"DIRC") else "it is no index of Git's"
    return None


def _plain(rest: bytes) -> Role:
    for pattern, what in (
        (_DERIVED, Role.DERIVED),
        (_OBJECT, Role.OBJECT),
        (_SETTINGS, Role.SETTINGS),
        (_STATE, Role.STATE),
        (_PLACE, Role.PLACE),
    ):
        if pattern.fullmatch(rest):
            return what
    return Role.REFUSED


def _of_a_module(parts: list[bytes]) -> Role:
    """A submodule's repository lies in a folder of any depth: what is refused at one depth is refused."""
    for number in range(1, len(parts)):
        found = role(b"/".join(parts[number:]))
        if found is not Role.REFUSED or parts[number] in (b"hooks", b"info", b"objects"):
            return found
    # What is left is a part of a submodule's name.
    return Role.PLACE if len(parts) < _NAME_PARTS else Role.REFUSED


_NAME_PARTS = 8


def _is_git(part: bytes) -> bool:
    text = part.decode("utf-8", "replace").rstrip(". ").lower()
    plain = "".join(each for each in text if not "\u200b" <= each <= "\u200f" and not "\u202a" <= each <= "\u202e"
                    and not "\u2060" <= each <= "\u206f" and each != "\ufeff")  # fmt: skip
    return plain.partition(":")[0] in (".git", "git~1")
