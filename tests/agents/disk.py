"""A disk made of a dictionary, for profiles."""

from __future__ import annotations

from collections.abc import Mapping

from ringfence.agents.hook_command import CLIENT
from ringfence.agents.mcp_wrapping import CLIENT as STAND_IN

CLIENT_SOURCE = b"# the client\n"


class DictDisk:
    """Files by path; a file of None exists and cannot be read."""

    def __init__(self, files: Mapping[str, bytes | None] = {}) -> None:
        self.files = {CLIENT: CLIENT_SOURCE, STAND_IN: CLIENT_SOURCE, **files}

    def read_file(self, path: str) -> bytes | None:
        return self.files.get(path)

    def exists(self, path: str) -> bool:
        return any(name == path or name.startswith(f"{path}/") for name in self.files)

    def is_link(self, path: str) -> bool:
        return False

    def list_folder(self, path: str) -> tuple[str, ...]:
        below = [name.removeprefix(f"{path}/") for name in self.files if name.startswith(f"{path}/")]
        return tuple(sorted({name.split("/")[0] for name in below}))
