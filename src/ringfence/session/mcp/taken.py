"""The lists of tools that were taken, by server: so that a server which changes its tools later is noticed.

One small file for each server in the user's state folder. It holds names and digests of each list, and of the last one
the beginning of what the server said about its tools, so that somebody who is asked about a change can be shown it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping

import msgspec

from ringfence.model.situations import RingfenceError
from ringfence.model.tool_list import ToolList


class _Taken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    server: str
    identity: str
    lists: list[dict[str, str]]
    """Every list that was taken, the last one last."""
    texts: dict[str, str] = {}
    """What was said about the tools of the last one, as far as that is kept."""


_MOST_LISTS = 16
MOST_SERVERS = 2_000
"""SECURITY: whoever is inside may claim servers without end. None is forgotten for another one, because a server that
is forgotten is new, and its tools are taken as they are."""


class TakenLists:
    """The lists of one user."""

    def __init__(self, folder: str, most: int = MOST_SERVERS) -> None:
        self._folder = folder
        self._most = most

    def get(self, server: str, identity: str, tools: ToolList) -> Mapping[str, str] | None:
        """The tools that this server had: those that it has now where it had them before, else the ones it had last;
        nothing where it is new. `RingfenceError` where that cannot be known."""
        now, lists = dict(tools.tools), self._read(server, identity).lists
        # What a server offers may depend on where it runs: a list that was taken once is not asked about again.
        return now if now in lists else lists[-1] if lists else None

    def texts(self, server: str, identity: str) -> Mapping[str, str]:
        """What was said about the tools of the list that was taken last. `RingfenceError` where that is not known."""
        return self._read(server, identity).texts

    def _read(self, server: str, identity: str) -> _Taken:
        path = self._path(server, identity)
        try:
            with open(path, "rb") as file:
                return msgspec.json.decode(file.read(), type=_Taken)
        except FileNotFoundError:
            return _Taken(server=server, identity=identity, lists=[])
        except (OSError, msgspec.MsgspecError) as error:
            # SECURITY: a list that cannot be read is no new server, whose tools would be taken as they are.
            raise RingfenceError(
                f"the list of tools that server `{server}` had cannot be read: {error}",
                remedy=f"look at `{path}`; without it the server's tools are taken as they are now",
            ) from error

    def take(self, server: str, identity: str, tools: ToolList) -> None:
        """From now on these are the tools of this server."""
        path = self._path(server, identity)
        now = dict(tools.tools)
        before = [one for one in self._read(server, identity).lists if one != now]
        lists = [*before, now][-_MOST_LISTS:]
        taken = _Taken(server=server, identity=identity, lists=lists, texts=dict(tools.texts))
        content = msgspec.json.encode(taken)
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            if not before and not os.path.exists(path) and len(os.listdir(self._folder)) >= self._most:
                raise RingfenceError(
                    f"the tools of {self._most} servers are remembered, and no more",
                    remedy=f"remove what is not needed from `{self._folder}`",
                )
            descriptor, fresh = tempfile.mkstemp(dir=self._folder, prefix=".")
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.replace(fresh, path)
        except OSError as error:
            raise RingfenceError(
                f"the list of tools of server `{server}` cannot be kept: {error.strerror or error}",
                remedy=f"make room for `{self._folder}`",
            ) from error

    def _path(self, server: str, identity: str) -> str:
        name = hashlib.sha256(f"{server}\0{identity}".encode()).hexdigest()
        return os.path.join(self._folder, f"{name}.json")
