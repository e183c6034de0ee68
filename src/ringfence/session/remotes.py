"""The remotes that a workspace's repository names, as `host/owner/name`. Read from its settings, without running Git.

SECURITY: a folder says of itself what its remotes are. So whatever depends on this only tightens.
"""

from __future__ import annotations

import os
import re

MAX_BYTES = 256 * 1024

_SECTION = re.compile(r"\s*\[\s*([A-Za-z0-9.-]+)(?:\s+\"[^\"]*\")?\s*\]")
_URL = re.compile(r"\s*(?:push)?url\s*=\s*\"?([^\s\"]+)", re.IGNORECASE)
_WITH_SCHEME = re.compile(
    r"[a-z][a-z0-9+.-]*://(?:[^/@]*@)?(?P<host>\[[^\]]*\]|[^/:]+)(?::[0-9]+)?/+(?P<path>.+)", re.I
)
_SCP = re.compile(r"(?:[^/@:]+@)?(?P<host>[^/:@]+):/*(?P<path>.+)")


def remotes(workspace: str) -> tuple[str, ...]:
    """The remotes of the workspace's repository, in lower case; none where it has none or they cannot be read."""
    found: dict[str, None] = {}
    remote = False
    for line in _settings(workspace).splitlines():
        section = _SECTION.match(line)
        if section is not None:
            remote = section[1].lower() == "remote"
        elif remote and (url := _URL.match(line)) is not None:
            name = plain(url[1])
            if name is not None:
                found[name] = None
    return tuple(found)


def plain(url: str) -> str | None:
    """A remote as `host/owner/name`; nothing for a folder of this machine."""
    match = _WITH_SCHEME.fullmatch(url) or _SCP.fullmatch(url)
    if match is None or url.startswith(("/", ".", "file:")):
        return None
    path = match["path"].strip("/").removesuffix(".git")
    return f"{match['host']}/{path}".lower()


def _settings(workspace: str) -> str:
    git = os.path.join(workspace, ".git")
    try:
        if os.path.isfile(git):
            git = _shared(workspace, _read(git).removeprefix("gitdir:").strip())
        return _read(os.path.join(git, "config"))
    except OSError:
        return ""


def _shared(workspace: str, own: str) -> str:
    """The repository that a linked working tree belongs to."""
    folder = os.path.join(workspace, own)
    common = os.path.join(folder, "commondir")
    return os.path.join(folder, _read(common).strip()) if os.path.isfile(common) else folder


def _read(path: str) -> str:
    if not os.path.isfile(path):
        return ""
    with open(path, "rb") as stream:
        return stream.read(MAX_BYTES).decode("utf-8", "replace")
