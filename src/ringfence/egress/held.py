"""How much of requests, answers and messages is held in memory at once, all connections together.

What one request may hold is bounded by whoever wants to see it; a client can have thousands of them. Whoever would hold
more than there is room for is refused, and what is held already goes on.
"""

from __future__ import annotations

from collections.abc import Callable


class Room:
    """The room for what is held; `full` is told of everybody who finds none."""

    def __init__(self, most: int, full: Callable[[], None]) -> None:
        self.most = most
        self.taken = 0
        self._full = full

    def share(self) -> Share:
        """The part of one request."""
        return Share(self)

    def resize(self, size: int, wanted: int) -> bool:
        """Whether a part of one size may have another one."""
        if wanted > size and self.taken + wanted - size > self.most:
            self._full()
            return False
        self.taken += wanted - size
        return True


class Share:
    """What one request takes of the room."""

    __slots__ = ("_room", "_size")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._size = 0

    def hold(self, size: int) -> bool:
        """Whether it may hold so many bytes from now on; otherwise it stays as it was."""
        may = self._room.resize(self._size, size)
        self._size = size if may else self._size
        return may
