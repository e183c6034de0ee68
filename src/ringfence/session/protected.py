"""The secrets in files of the person's that are hidden inside: they may have got there in another way, and have no
business outside. They are read once, when a session starts, and kept in memory only."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator

from ringfence.egress.content.matching import Forms, Kind, Known

_IN_HOME = (
    *(".aws/credentials", ".netrc", ".npmrc", ".pypirc", ".git-credentials", ".docker/config.json"),
    *(".config/gh/hosts.yml", ".config/glab-cli/config.yml", ".kube/config", ".vault-token", ".pgpass", ".my.cnf"),
)
_IN_WORKSPACE = (".env", ".env.*", "*/.env", "*/.env.*", ".npmrc", ".netrc")
_MOST_BYTES = 65_536
_MOST_FILES = 64
_SHORTEST = 16


def protected(forms: Forms, home: str, workspace: str, is_hidden: Callable[[str], bool]) -> tuple[Known, ...]:
    """What has the form of a secret in the files that are hidden."""
    found: dict[str, Known] = {}
    for path, name in _files(home, workspace, is_hidden):
        data = _read(path)
        for match in forms.find(data):
            value = data[match.start : match.end]
            if len(value) >= _SHORTEST and value.isascii():
                text = value.decode("ascii")
                found.setdefault(text, Known(Kind.PROTECTED, name, text))
    return tuple(found.values())


def _files(home: str, workspace: str, is_hidden: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """Each with its name for people."""
    named = [(f"{home}/{name}", f"~/{name}") for name in _IN_HOME]
    escaped = glob.escape(workspace)
    for pattern in _IN_WORKSPACE:
        for path in sorted(glob.glob(f"{escaped}/{pattern}"))[:_MOST_FILES]:
            named.append((path, os.path.relpath(path, workspace)))
    for path, name in named[: len(_IN_HOME) + _MOST_FILES]:
        if os.path.isfile(path) and is_hidden(path):
            yield path, name


def _read(path: str) -> bytes:
    """The beginning of a file; nothing where it cannot be read, and then nobody inside can either."""
    try:
        with open(path, "rb") as stream:
            return stream.read(_MOST_BYTES)
    except OSError:
        return b""
