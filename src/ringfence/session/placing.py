"""Where a command can be started: what a sandbox and the host have in common, and what a command is started with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from ringfence.sandbox.launch import Pty


class Started(Protocol):
    """A command that was started."""

    pid: int

    async def wait(self) -> int:
        """Its exit code; 128+N when signal N ended it."""
        ...

    def signal(self, signum: int) -> None:
        """Send it a signal."""
        ...


class Starter(Protocol):
    """Where a command is started: a sandbox, or the host."""

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        stdin: int | Pty,
        stdout: int | Pty,
        stderr: int | Pty,
        umask: int = 0o022,
    ) -> Started:
        """Start it."""
        ...

    async def open_pty(self, rows: int, columns: int) -> Pty:
        """Open a terminal that it can have."""
        ...


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where and as what a command runs."""

    starter: Starter
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    profiles: tuple[str, ...] = ()
    """The ids of the profiles whose plan it has; none where it has the session's."""
