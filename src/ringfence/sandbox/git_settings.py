"""Reads Git's settings far enough to know which files and folders they name: hooks folders and included settings.

Follows an included file into the files that it includes, on whatever condition. Believes nothing: what it reads is only
ever protected, never shown or run.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable

import msgspec

DEPTH = 10
"""How far includes are followed in turn; Git itself gives up there."""

FILES = 200
"""How many settings files are read for one sandbox."""

MACHINE = "/etc/gitconfig"
"""The settings of everybody on a machine."""

_SIZE = 1 << 20
_IGNORES = "core.excludesfile"
_TOKEN = re.compile(
    r"""
    [ \t\n]+ | [#;][^\n]*
    | \[ \s* (?P<section>[\w.-]+) (?: \s+ (?P<sub>"(?:[^"\\\n]|\\.)*") )? \s* \]
    | (?P<key>[A-Za-z][\w-]*) [ \t]* (?: = (?P<value>(?: "(?:[^"\\\n]|\\[\s\S])*" | \\[\s\S] | [^"\\\n#;] )*+ ) )?
    | .
    """,
    re.VERBOSE,
)
_PART = re.compile(r'\\([\s\S])|(")|([^"\\]+)')
_ESCAPES = {"n": "\n", "t": "\t", "b": "\b", "\n": ""}


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """Something that settings name."""

    path: str
    """Absolute, as Git puts it together: links and `..` are still in it."""
    is_folder: bool


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a search came to."""

    named: tuple[Named, ...]
    notices: tuple[str, ...] = ()


def personal(home: str) -> tuple[str, ...]:
    """Where Git looks for the settings of a person and of the machine, unless variables say otherwise."""
    return (f"{home}/.gitconfig", f"{home}/.config/git/config", MACHINE)


def named(files: Iterable[str], trees: Iterable[str], home: str) -> Found:
    """What settings files name; a relative hooks folder means one in each of the working trees."""
    trees, found, seen = tuple(trees), dict[Named, None](), set[str]()
    pending, notices = [(path, 0) for path in files], list[str]()
    while pending:
        path, depth = pending.pop(0)
        text = "" if path in seen else read(path)
        seen.add(path)
        if not text:
            continue
        for key, value in settings(text):
            if key == "core.hookspath":
                found |= {Named(path=each, is_folder=True): None for each in _places(value, trees, home)}
            elif key == "include.path":
                for each in _places(value, (os.path.dirname(path),), home):
                    found[Named(path=each, is_folder=False)] = None
                    pending.append((each, depth + 1))
        if len(seen) > FILES or (pending and pending[-1][1] > DEPTH):
            text = f"Git's settings include more than {FILES} files, or deeper than {DEPTH}: the rest is not protected"
            notices.append(text)
            break
    return Found(named=tuple(found), notices=tuple(notices))


def personal_ignores(files: Iterable[str], home: str, may_show: Callable[[str], bool]) -> tuple[str, str]:
    """The patterns that a person has Git ignore in every repository, where the file of them may be shown; and where a
    setting says that they lie, if one does."""
    # SECURITY: what is included is not followed. It may lie where an agent writes, and would name any file there is.
    files = tuple(files)
    given = [value for path in files if may_show(path) for key, value in settings(read(path)) if key == _IGNORES]
    usual = [f"{os.path.dirname(path)}/ignore" for path in files if path.endswith("/git/config")]
    named = [path for path in (_places(given[-1], (home,), home) if given else ()) if may_show(path)]
    places = named if given else [path for path in usual if may_show(path)]
    return "\n".join(read(path) for path in places), next(iter(named), "")


def settings(text: str) -> list[tuple[str, str]]:
    """The settings in a text, with lower-case names; an include counts whatever its condition."""
    found, section = [], ""
    for token in _TOKEN.finditer(text.removeprefix("\ufeff").replace("\r\n", "\n")):
        name = token["section"]
        if name is not None:
            section = name.lower() + (token["sub"] or "")
        elif token["key"] is not None and token["value"] is not None:
            kind = "include" if section.startswith(("includeif.", 'includeif"')) else section
            found.append((f"{kind}.{token['key'].lower()}", _unquoted(token["value"].strip(" \t\n"))))
    return found


def _unquoted(value: str) -> str:
    parts = []
    for part in _PART.finditer(value):
        escaped, _, plain = part.groups()
        parts.append(plain or _ESCAPES.get(escaped, escaped or ""))
    return "".join(parts)


def _places(value: str, folders: Iterable[str], home: str) -> list[str]:
    if not value or "\0" in value or value.startswith("%(prefix)/"):
        return []
    if value == "~" or value.startswith("~/"):
        return [home + value[1:]]
    return [os.path.join(folder, os.path.expanduser(value)) for folder in folders]


def read(path: str) -> str:
    """A settings file, or a file of ignores; empty where there is none that can be read."""
    try:
        # A pipe or a device in a settings file's place would be waited for, or do something.
        if not stat.S_ISREG(os.stat(path).st_mode):
            return ""
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
            return os.fsdecode(file.read(_SIZE))
    except (OSError, ValueError):
        return ""
