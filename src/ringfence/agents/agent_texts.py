"""Texts that describe an agent inside the agent, and may bring servers of tools of their own in their head.

Such a server starts when that agent is used. The text is not ours to change, so that it is only told which those are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from ringfence.agents.agent import Disk, UnseenServers

_MOST = 500
_DEEPEST = 3
_KEY = re.compile(rb"mcp[-_]?servers", re.IGNORECASE)
# SECURITY: a repository can write a key with escapes, which reads as any other word.
_ESCAPED = re.compile(rb'"[^"\n]*\\[^"\n]*"[ \t]*:')


def texts_with_servers(folder: str, disk: Disk) -> Iterator[UnseenServers]:
    """Those in a folder whose head names servers."""
    paths = [*_below(folder, disk)]
    for path in paths[:_MOST]:
        if _brings_servers(disk.read_file(path)):
            yield UnseenServers(where=path, why="an agent's own servers stand in its text")
    if len(paths) > _MOST:
        yield UnseenServers(where=folder, why=f"only {_MOST} agents are looked at")


def _below(folder: str, disk: Disk) -> Iterator[str]:
    waiting, seen = [(folder, 0)], 0
    while waiting and seen <= _MOST:
        here, depth = waiting.pop()
        for name in disk.list_folder(here):
            seen += 1
            path = os.path.join(here, name)
            if name.lower().endswith(".md"):
                yield path
            elif depth < _DEEPEST and not name.startswith("."):
                waiting.append((path, depth + 1))


def _brings_servers(content: bytes | None) -> bool:
    head = (content or b"").removeprefix(b"\xef\xbb\xbf").lstrip().partition(b"\n---")[0]
    return head.startswith(b"---") and ((bool(_KEY.search(head)) and b"command" in head) or bool(_ESCAPED.search(head)))
