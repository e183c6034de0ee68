"""The changes of a session as text, as a list and as JSON. No content of a file reaches the terminal unescaped."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator, Sequence

from ringfence.cli.screen import Palette
from ringfence.model.display import visible
from ringfence.session.snapshots import Snapshots
from ringfence.workspace.difference import Change, Difference
from ringfence.workspace.entries import Entry, Kind

MOST = 1024 * 1024
"""Bytes of a file that are compared line by line."""
_SETTINGS = (b".git/config", b".git/config.worktree")
_LETTERS = {Change.ADDED: "A", Change.CHANGED: "M", Change.DELETED: "D"}
_KINDS = {Kind.FILE: "file", Kind.LINK: "link", Kind.FOLDER: "folder"}


def as_json(one: Difference) -> str:
    """One change as a line of JSON; a name that is not UTF-8 has its bytes as lone surrogates, as Python reads it."""
    plain = {
        "schema": 1,
        "path": os.fsdecode(one.path),
        "change": one.change.value,
        "before": _facts(one.before),
        "after": _facts(one.after),
    }
    return json.dumps(plain, ensure_ascii=True)


def _facts(entry: Entry | None) -> dict[str, object] | None:
    if entry is None:
        return None
    facts: dict[str, object] = {"kind": _KINDS[entry.kind], "mode": f"{entry.mode:04o}"}
    if entry.kind is Kind.FILE:
        facts["size"] = entry.stamp.size
    if entry.kind is Kind.LINK:
        facts["target"] = os.fsdecode(entry.target)
    return facts


def as_stat(found: Sequence[Difference], paint: Palette) -> list[str]:
    """A line for each path."""
    lines = []
    for one in found:
        letter = _LETTERS[one.change]
        colour = {"A": paint.green, "M": paint.yellow, "D": paint.red}[letter]
        lines.append(f"{colour(letter)} {_name(one.path)}{note(one)}")
    counted = [f"{sum(one.change is change for one in found)} {change.value}" for change in Change]
    return [*lines, paint.dim(", ".join(counted))]


def note(one: Difference) -> str:
    """What a change is, where its letter does not say it all."""
    before, after = one.before, one.after
    if before is not None and after is not None:
        if before.kind is not after.kind:
            return f"  ({_KINDS[before.kind]} became {_KINDS[after.kind]})"
        if before.mode != after.mode and before.kind is not Kind.LINK:
            return f"  (mode {before.mode:04o} became {after.mode:04o})"
    entry = after or before
    return "" if entry is None or entry.kind is Kind.FILE else f"  ({_KINDS[entry.kind]})"


def as_text(found: Sequence[Difference], snapshots: Snapshots, paint: Palette) -> list[str]:
    """A unified diff, with the state of Git itself as a list."""
    lines: list[str] = []
    for one in found:
        if (one.path.startswith(b".git/") and one.path not in _SETTINGS) or one.path == b".git" or one.folder:
            lines.append(f"{_LETTERS[one.change]} {_name(one.path)}{note(one)}")
        else:
            lines.extend(_file(one, snapshots, paint))
    return lines


def _file(one: Difference, snapshots: Snapshots, paint: Palette) -> Iterator[str]:
    name = _name(one.path)
    yield paint.bold(f"{_LETTERS[one.change]} {name}{note(one)}")
    before, after = _lines(one.before, snapshots), _lines(one.after, snapshots)
    if before is None or after is None:
        yield "  (binary, or too large to be compared line by line)"
        return
    for line in difflib.unified_diff(before, after, f"a/{name}", f"b/{name}", lineterm=""):
        colour = {"+": paint.green, "-": paint.red, "@": paint.dim}.get(line[:1])
        yield colour(line) if colour is not None else line


def _lines(entry: Entry | None, snapshots: Snapshots) -> list[str] | None:
    if entry is None or entry.kind is Kind.FOLDER:
        return []
    if entry.kind is Kind.LINK:
        return [f"-> {_name(entry.target)}"]
    body = text_of(entry, snapshots)
    if body is None:
        return None
    lines = body.decode("utf-8", "replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    elif lines:
        lines[-1] += " (no newline at the end)"
    return [printable(line) for line in lines]


def text_of(entry: Entry, snapshots: Snapshots) -> bytes | None:
    """The content of a file that can be compared line by line."""
    body = snapshots.content(entry.chunks, MOST)
    return None if body is None or b"\0" in body else body


def printable(line: str) -> str:
    """A line of a file for a screen."""
    # A tab and a backslash are plain in a diff; everything that a terminal acts on is not.
    return "".join(each if each in "\t\\" else visible(each) for each in line)


def _name(path: bytes) -> str:
    return visible(os.fsdecode(path))
