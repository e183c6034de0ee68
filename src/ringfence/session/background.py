"""Work that goes on as long as a session and ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType


class Background:
    """A task group whose tasks are cancelled when the block is left, instead of waited for."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Background:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(kind, value, trace)

    def start(self, work: Coroutine[object, object, None]) -> None:
        """Start a piece of work. Its failure ends the session."""
        self._tasks.append(self._group.create_task(work))
