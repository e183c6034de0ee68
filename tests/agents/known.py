"""A session's set-up of an agent that is known by name, on a made-up disk."""

from __future__ import annotations

import json

from tests.agents.disk import DictDisk

from ringfence.agents.agent import AgentRequest, AgentSetup
from ringfence.agents.known_by_name import ROWS, KnownByName


def set_up(
    name: str, files: dict[str, object], *words: str, cwd: str = "/w", disk: type[DictDisk] = DictDisk, **environ: str
) -> AgentSetup:
    there = {path: value if isinstance(value, bytes) else json.dumps(value).encode() for path, value in files.items()}
    row = next(row for row in ROWS if row.name == name)
    request = AgentRequest(
        argv=(name, *words),
        environ=environ,
        home="/h",
        workspace="/w",
        session="s",
        cwd=cwd,
        interpreter="/usr/bin/python3",
    )
    return KnownByName(row, "/h").prepare(request, disk(there))
