"""Finds what has to be protected in a workspace: control files that exist, place holders for those that do not, and
files that a deny pattern hides. Looks only, by descriptor and without following links; the mounts are made inside."""

from __future__ import annotations

import os
import re
import stat

import msgspec

from ringfence.policy.control_files import CONTROL_FILES, ControlFile, Direct
from ringfence.sandbox.plan import covers
from ringfence.sandbox.stubs import Stub
from ringfence.sandbox.syscalls import open_beneath, open_plain

SCAN_LIMIT = 200_000
"""How many names are looked at for deny patterns."""

_CONFIG_LIMIT = 1 << 20
_PRUNED = (".git/objects",)


class Protection(msgspec.Struct, frozen=True, kw_only=True):
    """What the workspace's mounts have to do."""

    pinned: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    wanted: tuple[Stub, ...] = ()
    notices: tuple[str, ...] = ()


def protection(workspace: str, place_holders: frozenset[str]) -> Protection:
    """What to protect in a workspace, by the table of control files."""
    root = open_plain(workspace, os.O_PATH | os.O_DIRECTORY)
    pinned: list[str] = []
    read_only: list[str] = []
    wanted: list[Stub] = []
    notices: list[str] = []
    try:
        for row in CONTROL_FILES:
            if row.direct is Direct.REPORT:
                continue
            kind = None if row.pattern in place_holders else _kind(root, row.pattern)
            if kind is None:
                wanted += _place_holder(root, workspace, row)
            elif row.direct is Direct.PIN and kind == stat.S_IFDIR:
                pinned.append(row.pattern)
            else:
                read_only.append(row.pattern)
                notices += _about(row, kind)
        hooks = _hooks_path(root, workspace)
        if hooks is not None and not any(covers(f"/{each}", f"/{hooks}") for each in read_only):
            pinned += [each for each in _folders_above(hooks) if _kind(root, each) is not None]
            if _kind(root, hooks) is not None:
                read_only.append(hooks)
            elif _kind(root, os.path.dirname(hooks) or ".") is not None:
                wanted.append(Stub(workspace=workspace, name=hooks, content=None))
            else:
                notices.append(f"Git's settings name `{hooks}` for hooks, which does not exist and is not protected")
    finally:
        os.close(root)
    return Protection(pinned=tuple(pinned), read_only=tuple(read_only), wanted=tuple(wanted), notices=tuple(notices))


def stub_mount(stub: Stub) -> tuple[str, str]:
    """How a place holder is covered: (name, with what)."""
    # An empty folder that can be read: in a file's place it reads as an error either way, and Git warns of a closed
    # one.
    return stub.name, "itself" if stub.content is not None else "empty"


def matches(folder: str, patterns: tuple[str, ...], prefix: str = "") -> tuple[list[str], tuple[str, ...]]:
    """The paths below a folder that deny patterns name, relative to it; and a notice when not everything was looked at.

    The patterns are matched against the relative path with the prefix before it.
    """
    if not patterns:
        return [], ()
    wanted = re.compile("|".join(f"(?:{_expression(pattern)})" for pattern in patterns))
    found: list[str] = []
    pending = [""]
    seen = 0
    try:
        root = open_plain(folder, os.O_PATH | os.O_DIRECTORY)
    except NotADirectoryError:
        return [], ()
    try:
        while pending:
            inner = pending.pop()
            for name, is_folder in _names(root, inner):
                seen += 1
                path = f"{inner}/{name}" if inner else name
                if wanted.fullmatch(prefix + path):
                    found.append(path)
                elif is_folder and path not in _PRUNED:
                    pending.append(path)
            if seen > SCAN_LIMIT:
                text = f"deny patterns were looked for among the first {SCAN_LIMIT:,} names below `{folder}` only"
                return found, (text + "; deny the folders by name to be sure",)
    finally:
        os.close(root)
    return found, ()


def _names(root: int, folder: str) -> list[tuple[str, bool]]:
    try:
        opened = open_beneath(root, folder or ".", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return []
    try:
        with os.scandir(opened) as entries:
            return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    finally:
        os.close(opened)


def _expression(pattern: str) -> str:
    parts = []
    for token in re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]*\]|[^*?\[]+|\[", pattern):
        match token:
            case "**/":
                parts.append("(?:.*/)?")
            case "**":
                parts.append(".*")
            case "*":
                parts.append("[^/]*")
            case "?":
                parts.append("[^/]")
            case _ if token.startswith("[") and len(token) > 1:
                body = token[1:-1].replace("\\", "\\\\")
                parts.append("[^" + body[1:] + "]" if body[:1] in ("!", "^") else f"[{body}]")
            case _:
                parts.append(re.escape(token))
    return "".join(parts)


def _kind(root: int, name: str) -> int | None:
    try:
        opened = open_beneath(root, name, os.O_PATH | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        # A link among the folders above it: that link is pinned by its own row, or this row has nothing to hold on to.
        return None
    try:
        return stat.S_IFMT(os.fstat(opened).st_mode)
    finally:
        os.close(opened)


def _place_holder(root: int, workspace: str, row: ControlFile) -> list[Stub]:
    if row.direct is Direct.KEEP:
        return []
    parent = os.path.dirname(row.pattern)
    if parent and _kind(root, parent) != stat.S_IFDIR:
        return []
    return [Stub(workspace=workspace, name=row.pattern, content=row.stub)]


def _hooks_path(root: int, workspace: str) -> str | None:
    """The folder of the workspace that the repository's own settings name for hooks, if there is one."""
    try:
        opened = open_beneath(root, ".git/config", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(opened, "rb") as file:
        text = file.read(_CONFIG_LIMIT).decode(errors="replace")
    found = re.search(r"^\s*hookspath\s*=\s*\"?([^\"\n]+?)\"?\s*$", text, re.IGNORECASE | re.MULTILINE)
    if found is None:
        return None
    path = os.path.relpath(os.path.join(workspace, found[1]), workspace)
    inside = path != "." and not path.startswith("..") and not path.startswith(".git/hooks")
    return path if inside else None


def _folders_above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: number + 1]) for number in range(len(parts))]


def _about(row: ControlFile, kind: int) -> list[str]:
    if kind == stat.S_IFLNK:
        return [f"`{row.pattern}` is a symbolic link: it cannot be replaced, but what it leads to is not protected"]
    if row.pattern == ".git":
        return ["`.git` leads to a repository elsewhere, which the sandbox does not see: Git does not work inside"]
    return []
