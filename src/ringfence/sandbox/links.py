"""Follows symbolic links on the host, once, outside: where they lead, and whether somebody could have bent them."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ringfence.sandbox.plan import covers

_MOST = 40
"""Links on one way; beyond, it goes in circles."""


class Links:
    """Resolves symbolic links on the host and remembers them, so that the same paths lead to the same places inside."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        """The links on the way of every path that was asked for, and where they lead."""
        self._read: dict[str, str | None] = {}
        """What each name was when it was first looked at: where it leads, or nothing for what is no link."""

    def real(self, path: str) -> str:
        """The canonical path."""
        real, crossed = self.follow(path)
        self.found.update(crossed)
        return real

    def follow(self, path: str) -> tuple[str, dict[str, str]]:
        """The canonical path, and the links on the way to it."""
        current, rest = "/", path.strip("/").split("/")[::-1]
        crossed: dict[str, str] = {}
        steps = 0
        while rest:
            part = rest.pop()
            if part in ("", "."):
                continue
            if part == "..":
                current = os.path.dirname(current)
                continue
            step = f"/{part}" if current == "/" else f"{current}/{part}"
            target = self._target(step)
            if target is None:
                current = step
                continue
            steps += 1
            if steps > _MOST:
                return path, crossed
            crossed[step] = target
            rest += target.split("/")[::-1]
            current = "/" if target.startswith("/") else current
        return current, crossed

    def _target(self, step: str) -> str | None:
        if step not in self._read:
            try:
                self._read[step] = os.readlink(step)
            except OSError:
                self._read[step] = None
        return self._read[step]


def strays(path: str, folders: Iterable[str], links: Links | None = None) -> bool:
    """Whether a link that lies in one of these folders leads a path out of all of them. `links`: those that were read
    already."""
    folders = tuple(folders)
    real, crossed = (links or Links()).follow(path)
    bent = any(covers(folder, link) for link in crossed for folder in folders)
    return bent and not any(covers(folder, real) for folder in folders)
