"""Follows symbolic links on the host, once, outside: where they lead, and whether somebody could have bent them."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ringfence.sandbox.plan import covers


class Links:
    """Resolves symbolic links on the host and remembers them, so that the same paths lead to the same places inside."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def real(self, path: str) -> str:
        """The canonical path."""
        current, rest, steps = "/", path.strip("/").split("/"), 0
        while rest:
            part = rest.pop(0)
            if part in ("", "."):
                continue
            if part == "..":
                current = os.path.dirname(current)
                continue
            step = os.path.join(current, part)
            try:
                target = os.readlink(step)
            except OSError:
                current = step
                continue
            steps += 1
            if steps > 40:
                return path
            self.found[step] = target
            rest = target.split("/") + rest
            current = "/" if target.startswith("/") else current
        return current


def strays(path: str, folders: Iterable[str]) -> bool:
    """Whether a link that lies in one of these folders leads a path out of all of them."""
    folders, links = tuple(folders), Links()
    real = links.real(path)
    bent = any(covers(folder, link) for link in links.found for folder in folders)
    return bent and not any(covers(folder, real) for folder in folders)
