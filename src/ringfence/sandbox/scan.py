"""Looks through a folder, by descriptor and without following links, for what deny patterns name and for what is
neither a file nor a folder. Decides nothing."""

from __future__ import annotations

import os
import re

import msgspec

from ringfence.sandbox.hard_links import is_one_of
from ringfence.sandbox.syscalls import open_beneath, open_plain

SCAN_LIMIT = 200_000
"""How many names are looked at for deny patterns."""

_LONGEST = 2000
"""Bytes of a relative path below which is not looked: what is longer can hardly be mounted over."""


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What was found below a folder; paths relative to it."""

    found: list[str]
    closed: list[str]
    """Folders that could not be looked into, so that what lies in them is not known."""
    special: list[str]
    """Neither files, folders nor links: sockets, pipes, devices."""
    linked: list[str] = []
    """Hard links of files that were asked for."""
    notices: tuple[str, ...] = ()


def matches(
    folder: str, patterns: tuple[str, ...], prefix: str = "", files: frozenset[tuple[int, int]] = frozenset()
) -> Looked:
    """What deny patterns name below a folder, and other names of `files`; a notice when not everything was looked at.

    The patterns are matched against the relative path with the prefix before it.
    """
    looked = Looked(found=[], closed=[], special=[], linked=[])
    inodes = {inode for _, inode in files}
    # SECURITY: a name may hold a line break, and whoever could rename a folder has chosen it.
    wanted = re.compile("|".join(f"(?:{_expression(pattern)})" for pattern in patterns) or "(?!)", re.DOTALL)
    pending = [""]
    seen = 0
    try:
        root = open_plain(folder, os.O_PATH | os.O_DIRECTORY)
    except NotADirectoryError:
        return looked
    try:
        while pending:
            inner = pending.pop()
            for name, is_folder, is_special, inode in _names(root, inner, looked.closed):
                seen += 1
                path = f"{inner}/{name}" if inner else name
                if is_special:
                    looked.special.append(path)
                if inode in inodes and not is_folder and is_one_of(root, path, files):
                    looked.linked.append(path)
                named = wanted.fullmatch(prefix + path)
                if named:
                    looked.found.append(path)
                # A repository is named and looked into all the same: files can be moved there.
                if is_folder and (not named or name == ".git"):
                    (pending if len(os.fsencode(path)) < _LONGEST else looked.closed).append(path)
            if seen > SCAN_LIMIT:
                text = f"sockets and what deny patterns name were looked for among the first {SCAN_LIMIT:,} names below"
                text += f" `{folder}` only; deny the folders by name to be sure"
                return msgspec.structs.replace(looked, notices=(text,))
    finally:
        os.close(root)
    return looked


def _names(root: int, folder: str, closed: list[str]) -> list[tuple[str, bool, bool, int]]:
    try:
        opened = open_beneath(root, folder or ".", os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError:
        # SECURITY: an agent can close a folder, and open it again in the next session, which has not looked into it.
        closed.append(folder)
        return []
    try:
        with os.scandir(opened) as entries:
            return [
                (entry.name, entry.is_dir(follow_symlinks=False), _is_special(entry), entry.inode())
                for entry in entries
            ]
    finally:
        os.close(opened)


def _is_special(entry: os.DirEntry[str]) -> bool:
    ordinary = entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)
    return not ordinary and not entry.is_symlink()


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
