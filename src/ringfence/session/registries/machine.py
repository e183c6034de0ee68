"""The settings of package managers on this machine: files and variables, read with care and never followed further."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

import msgspec

MAX_BYTES = 1024 * 1024


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where settings are looked for."""

    home: str
    workspace: str
    variables: Mapping[str, str]
    root: str = "/"
    """Where the settings of the whole machine lie; another folder in tests."""

    @property
    def config(self) -> str:
        """The user's folder of settings."""
        named = self.variables.get("XDG_CONFIG_HOME", "")
        return named if named.startswith("/") else os.path.join(self.home, ".config")

    def system(self, *names: str) -> tuple[str, ...]:
        """Files of the whole machine."""
        return tuple(os.path.join(self.root, name) for name in names)

    def is_trusted(self, path: str) -> bool:
        """Whether a file is outside the workspace, also where its links lead."""
        inside = (f"{self.workspace}/", f"{os.path.realpath(self.workspace)}/")
        return not any(one.startswith(inside) for one in (os.path.abspath(path), os.path.realpath(path)))

    def texts(self, paths: Iterable[str]) -> Iterable[tuple[str, str]]:
        """The files that are there, with their content."""
        for path in dict.fromkeys(paths):
            text = read(path)
            if text is not None:
                yield path, text

    def find(self, *names: str) -> str | None:
        """The first of some programs on PATH that does not lie in the workspace.

        SECURITY: it is run outside the sandbox, so a program that the repository brings is never taken.
        """
        for name in names:
            for folder in self.variables.get("PATH", "").split(":"):
                path = os.path.join(folder, name)
                if folder.startswith("/") and os.access(path, os.X_OK) and os.path.isfile(path):
                    if self.is_trusted(path):
                        return path
        return None


def read(path: str) -> str | None:
    """The text of a settings file; nothing where it is missing, cannot be read, or is no file of a sensible size."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        try:
            data = stream.read(MAX_BYTES + 1)
        except OSError:
            return None
    return data.decode("utf-8", "replace") if data is not None and len(data) <= MAX_BYTES else None
